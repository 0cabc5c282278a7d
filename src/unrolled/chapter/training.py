"""What the two trained sections share: a clock for every epoch, and tables of epochs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from unrolled.callbacks import Callback
from unrolled.chapter.blocks import Cell, Figures, Row


class Clock(Callback):
    """Seconds of each epoch, with and without its validation."""

    def __init__(self) -> None:
        super().__init__()
        self.whole: list[float] = []
        self.training: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start."""
        self._start = time.perf_counter()
        self._trained: float | None = None

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """The training part of the epoch is over."""
        self._trained = time.perf_counter() - self._start

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note both."""
        self.whole.append(time.perf_counter() - self._start)
        self.training.append(self._trained if self._trained is not None else self.whole[-1])


def epoch_row(name: str, cells: Sequence[Cell], width: int) -> Row:
    """A run's figures over the epochs, filled up to `width` epochs."""
    return [name, *cells, *(["–"] * (width - len(cells)))]


def recorded_row(figures: Figures, name: str, path: str, form: str, width: int) -> Row:
    """A recorded list over the epochs."""
    count = len(figures.read(path) or ())
    return epoch_row(name, [figures.recorded(f"{path}/{k}", form) for k in range(count)], width)


def here_row(figures: Figures, path: str, values: Sequence[float] | None, form: str, width: int) -> Row:
    """Our list over the epochs; "not run" where there is none."""
    if values is None:
        return epoch_row("here", ["not run"], width)
    return epoch_row("here", [figures.here(f"{path}/{k}", v, form) for k, v in enumerate(values)][:width], width)
