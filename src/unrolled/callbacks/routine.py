"""Callbacks that act at every batch or epoch, whatever the logs say."""

from __future__ import annotations

import csv
import inspect
import math
import os
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

from unrolled.callbacks.base import Callback, Logs


class TerminateOnNaN(Callback):
    """Stops training quietly when the loss is NaN or infinite (without it, fit raises TrainingDivergedError)."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Stop if the loss is not finite."""
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            print(f"Batch {batch}: Invalid loss, terminating training")
            self.model.stop_training = True


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch: schedule(epoch, rate) -> rate, epoch from 0; verbose 1 prints.

    A schedule(epoch) of one argument is called with that.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        if not callable(schedule):
            raise TypeError(f"LearningRateScheduler: expected a function schedule(epoch, rate), got {schedule!r}.")
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Ask the schedule."""
        arguments = (epoch, self.model.optimizer.learning_rate)
        try:
            inspect.signature(self.schedule).bind(*arguments)
        except TypeError:
            arguments = arguments[:1]  # type: ignore[assignment]
        rate = self.schedule(*arguments)
        if not isinstance(rate, int | float | np.integer | np.floating):
            raise TypeError(f"LearningRateScheduler: expected a number from schedule({epoch}, rate), got {rate!r}.")
        self.model.optimizer.learning_rate = float(rate)
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {rate:g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Log the rate."""
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.learning_rate


class CSVLogger(Callback):
    """Writes the logs of each epoch as a line of a CSV file.

    Args:    filename: path; separator: ","; append: go on in an existing file, False.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename, self.separator, self.append = os.fspath(filename), separator, append
        self._keys: list[str] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start the file, or find its columns."""
        self._keys = None
        if self.append and os.path.exists(self.filename):
            with open(self.filename, newline="") as file:
                self._keys = next(csv.reader(file, delimiter=self.separator), ["epoch"])[1:] or None
        else:
            open(self.filename, "w").close()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a line, and the header before the first."""
        logs = logs or {}
        with open(self.filename, "a", newline="") as file:
            if self._keys is None:
                self._keys = list(logs)
                self._write(file, ["epoch", *self._keys])
            self._write(file, [epoch, *(logs.get(key, "NA") for key in self._keys)])

    def _write(self, file: TextIO, row: list[Any]) -> None:
        csv.writer(file, delimiter=self.separator).writerow(row)


class SwapEMAWeights(Callback):
    """Evaluates and predicts with the averages of the weights, for an optimizer with use_ema=True.

    The weights are exchanged with their averages before each evaluation (validation within fit too) and prediction,
    and back after it.

    Args:    swap_on_epoch: also exchange them at the end of each epoch, until the next one begins: for ModelCheckpoint
             and EarlyStopping behind this callback in the list, so that they keep the averages. False by default.
    Raises:  ValueError if the optimizer has no averages.
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = bool(swap_on_epoch)
        self._swapped = False  # by a test or predict hook, which brings them back

    def _averages(self) -> Any:
        averages = getattr(self.model.optimizer, "averages", None)
        if averages is None:
            raise ValueError(
                "SwapEMAWeights: expected a model whose optimizer has use_ema=True, got "
                f"{self.model.optimizer!r}. Compile with, for example, optimizers.Adam(use_ema=True)."
            )
        return averages

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Complain now if there are no averages, not after an epoch."""
        self._averages()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Go on from the weights of training."""
        if self.swap_on_epoch:
            self._averages().back_to_training()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Show the averages to the callbacks behind this one."""
        if self.swap_on_epoch and not self._averages().in_model:
            self._averages().swap()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Use the averages."""
        averages = self._averages()
        self._swapped = not averages.in_model
        if self._swapped:
            averages.swap()

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Bring the weights of training back."""
        if self._swapped:
            self._averages().back_to_training()
            self._swapped = False

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Use the averages."""
        self.on_test_begin(logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Bring the weights of training back."""
        self.on_test_end(logs)
