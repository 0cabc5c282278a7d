"""The progress of fit and evaluate: a bar (with the package rich, on a terminal), or one line per epoch."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from typing import Any

from unrolled.callbacks import Callback, Logs
from unrolled.printing import show_value

INTERVAL = 0.25  # seconds between two drawings of the bar: a drawing takes about 2 ms


class ProgressLogger(Callback):
    """Prints the progress of fit.

    verbose 1: a line for each epoch, and while it runs a bar with loss, metrics, samples per second and time left if
    rich is installed and the output is a terminal or notebook; 2: only the line; 0: nothing.

    Args:    unit: what a sample is called, e.g. "reviews".
    """

    def __init__(self, unit: str = "samples") -> None:
        super().__init__()
        self.unit = unit
        self.samples = 0
        self.batch_size = 1
        self._bar: Any = None
        self._next = 0.0

    @property
    def verbose(self) -> int:
        """0, 1 or 2."""
        verbose = self.params.get("verbose", 1)
        return 1 if verbose == "auto" else int(verbose)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Start the clock and the bar."""
        self._epoch, self._start = epoch, time.perf_counter()
        self._next = self._start + INTERVAL
        if self.verbose == 1 and self._bar is None:
            self._bar = new_bar(self.unit)
        if self._bar is not None:
            self._task = self._bar.add_task(self._title(), total=self.samples or None, left="", rate="", logs="")
            self._bar.start()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Draw the bar if it is time to."""
        if self._bar is None or (now := time.perf_counter()) < self._next:
            return
        self._next = now + INTERVAL
        seen = (batch + 1) * self.batch_size
        seen = min(seen, self.samples) if self.samples else seen  # 0: not known yet
        speed = seen / (now - self._start)
        self._bar.update(
            self._task,
            completed=seen,
            left=f"{show_seconds((self.samples - seen) / speed)} left" if self.samples else "",
            rate=f"{speed:,.0f} {self.unit}/s",
            logs=show_logs(logs),
        )
        self._bar.refresh()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Note how long the training part took."""
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Print the epoch's results."""
        if self.verbose == 0:
            return
        now = time.perf_counter()
        trained = getattr(self, "_trained", now)
        seconds = (trained if trained > self._start else now) - self._start
        rate = f"{self.samples / max(seconds, 1e-9):,.0f} {self.unit}/s"
        self._close()
        print(f"{self._title()} - {now - self._start:.1f}s - {rate} - {show_logs(logs)}", flush=True)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Leave the terminal as it was."""
        self._close()

    def close(self) -> None:
        """Leave the terminal as it was, whatever happened."""
        self._close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_bar": None}

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.refresh()
            self._bar.stop()
            self._bar = None

    def _title(self) -> str:
        return f"Epoch {self._epoch + 1}/{self.params.get('epochs', 1)}"


def new_bar(unit: str) -> Any:
    """A rich progress bar, or None where there is no rich or no terminal."""
    if find_spec("rich") is None:
        return None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(file=sys.stdout)
    if not (console.is_terminal or console.is_jupyter):
        return None
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(max(8, min(24, console.width - 76))),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[logs]}"),
        console=console,
        auto_refresh=False,
        transient=True,  # the epoch's line takes its place
    )


def show_seconds(seconds: float) -> str:
    """A duration: 12 s, or 3:05 from two minutes on."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{int(seconds // 60)}:{int(seconds % 60):02d}"


def show_logs(logs: Logs | None) -> str:
    """Logs in one line: loss: 0.3412 - acc: 0.8532."""
    return " - ".join(f"{key}: {show_value(value)}" for key, value in (logs or {}).items())
