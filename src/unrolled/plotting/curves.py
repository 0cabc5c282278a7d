"""The course of a training, in the chapter's style: dots for training, lines for validation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unrolled.plotting.style import COLOURS, finish, new_figure, plain

LONG_NAMES = {"acc": "accuracy"}


def plot_history(history: Any, path: str | os.PathLike[str] | None = None, title: str | None = None) -> Any:
    """Metrics and loss over the epochs, one panel each: dots for training, a line for validation.

    Args:    history: what fit returned, or its .history, {"loss": [...], "val_loss": [...], ...}; path: of a picture
             to write, e.g. "curves.png" (the ending says the format); title: above all panels.
    Returns: the matplotlib Figure.
    Raises:  MissingExtraError if matplotlib is not installed; ValueError for a history without epochs.
    """
    figures: Mapping[str, Sequence[float]] = getattr(history, "history", history)
    names = [key for key in figures if not key.startswith("val_") and key not in ("loss", "learning_rate")]
    names += ["loss"] if "loss" in figures else []
    if not names or not figures[names[0]]:
        raise ValueError("plot_history: expected a history with at least one epoch, got one without. Call fit first.")
    figure = new_figure(len(names))
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        draw_metric(axes, figures, name)
    return finish(figure, path, title)


def draw_metric(axes: Any, figures: Mapping[str, Sequence[float]], key: str) -> None:
    """One metric over the epochs; a metric with a value for each class has a line for each."""
    name = LONG_NAMES.get(key, key.replace("_", " "))
    training, validation = figures[key], figures.get(f"val_{key}")
    epochs = range(1, len(training) + 1)
    several = np.ndim(training) > 1
    axes.plot(
        epochs, training, "o", color=None if several else COLOURS[0], label=None if several else f"Training {name}"
    )
    if validation:
        every = len(training) // len(validation)  # validation_freq, if it divides the number of epochs
        places = epochs[every - 1 :: every][: len(validation)]
        alone = "x" if len(validation) == 1 else ""  # a line of one point would not be seen
        axes.set_prop_cycle(None)
        axes.plot(
            places,
            validation,
            f"-{alone}",
            color=None if several else COLOURS[1],
            linewidth=2,
            label=None if several else f"Validation {name}",
        )
    plain(axes, f"Training and validation {name}" if validation else f"Training {name}", "Epoch", "")
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if len(training) == 1:
        axes.set_xlim(0, 2)
    if not several:
        axes.legend(frameon=False)
