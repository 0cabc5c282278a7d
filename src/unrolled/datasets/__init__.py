"""Data sets: Keras' `imdb`, `reviews` and `japanese_vowels` from packages, and what published runs recorded."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from unrolled.datasets import imdb, japanese_vowels, reviews

__all__ = ["imdb", "japanese_vowels", "recorded", "reviews"]


def recorded() -> dict[str, Any]:
    """Figures that published runs of the chapter recorded: to quote beside our own, and the weights of two toys.

    Returns: "imdb": loss and accuracy by epoch, and seconds; "airline"; "parameters": counts by layer; "toys": weights
             and predictions. Each with the setup that it belongs to.
    Source:  Chollet, Deep Learning with Python, 6.2; Ayyadevara, Neural Networks with Keras Cookbook, chapter 11.
    """
    figures: dict[str, Any] = json.loads(resources.files(__name__).joinpath("recorded.json").read_text("utf-8"))
    return figures
