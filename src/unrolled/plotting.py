"""Pictures of a training, in the chapter's style: dots for training, lines for validation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from unrolled.errors import require_extra

LONG_NAMES = {"acc": "accuracy"}
COLOURS = ("#1f4e9c", "#c2571a")  # training, validation


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
    figure = require_extra("matplotlib.figure", "plot", "plotting").Figure(
        figsize=(5.2 * len(names), 4.0), dpi=144, layout="constrained"
    )
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _draw(axes, LONG_NAMES.get(name, name.replace("_", " ")), figures[name], figures.get(f"val_{name}"))
    if title:
        figure.suptitle(title)
    if path is not None:
        figure.savefig(path)
    return figure


def _draw(axes: Any, name: str, training: Sequence[float], validation: Sequence[float] | None) -> None:
    epochs = range(1, len(training) + 1)
    axes.plot(epochs, training, "o", color=COLOURS[0], label=f"Training {name}")
    if validation:
        every = len(training) // len(validation)  # validation_freq, if it divides the number of epochs
        places = epochs[every - 1 :: every][: len(validation)]
        axes.plot(places, validation, "-", color=COLOURS[1], linewidth=2, label=f"Validation {name}")
    axes.set_title(f"Training and validation {name}" if validation else f"Training {name}")
    axes.set_xlabel("Epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
