"""Callbacks that watch one value of the logs: stop early, save the best, lower the learning rate."""

from __future__ import annotations

import math
import os
from typing import Any

from unrolled.callbacks.base import Callback, Logs
from unrolled.errors import warn_user


class _Monitor(Callback):
    """What callbacks that watch one value share: which one, and which direction is better."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            raise ValueError(f'{type(self).__name__}: expected mode "auto", "min" or "max", got {mode!r}.')
        self.monitor, self.mode, self.min_delta = monitor, mode, abs(min_delta)
        self.best: float | None = None

    def value(self, logs: Logs | None) -> float | None:
        """The watched value; warns if the logs do not have it."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            warn_user(
                f"{type(self).__name__}: no {self.monitor!r} in the logs, only {', '.join(logs or {}) or 'nothing'}; "
                "it does nothing. Set monitor to one of these, or give fit validation data."
            )
        elif self.mode == "auto":  # the model knows its metrics by now
            better = self.model.better(self.monitor)
            if better is None:
                raise ValueError(
                    f'{type(self).__name__}: whether a larger or a smaller "{self.monitor}" is better is not known. '
                    'Pass mode="max" or mode="min".'
                )
            self.mode = better
        return value

    def improves(self, value: float, reference: float | None) -> bool:
        """Whether value is better than reference by more than min_delta; NaN never is, and anything beats NaN."""
        if math.isnan(value):
            return False
        if reference is None or math.isnan(reference):
            return True
        return value + self.min_delta < reference if self.mode == "min" else value - self.min_delta > reference


class EarlyStopping(_Monitor):
    """Stops when a value has not improved for `patience` epochs.

    Args:    monitor: "val_loss"; min_delta: least change that counts, 0; patience: epochs, 0; verbose: 1 prints;
             mode: "auto", "min", "max"; baseline: a value that must be beaten, or None; restore_best_weights: go back
             to the best epoch's weights at the end, False; start_from_epoch: epochs to wait before watching, 0.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier training."""
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = None
        self.best_weights: Any = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare with the best so far."""
        current = self.value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self.improves(current, self.best):
            self.best, self.best_epoch = current, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.improves(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Restore the best weights if asked to."""
        if self.stopped_epoch > 0 and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class ModelCheckpoint(_Monitor):
    """Saves the model after each epoch, or after each that improves a value.

    Args:    filepath: may have fields, e.g. "model-{epoch:02d}-{val_loss:.2f}.safetensors" (epoch from 1);
             monitor: "val_loss"; verbose: 1 prints; save_best_only: False; mode: "auto", "min", "max".
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        mode: str = "auto",
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath, self.verbose, self.save_best_only = os.fspath(filepath), verbose, save_best_only

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save if this epoch counts."""
        if self.save_best_only:
            current = self.value(logs)
            if current is None or not self.improves(current, self.best):
                return
            self.best = current
        try:
            path = self.filepath.format(epoch=epoch + 1, **(logs or {}))
        except KeyError as error:
            raise ValueError(
                f"ModelCheckpoint: filepath {self.filepath!r} has the field {error}, the logs have only "
                f"epoch, {', '.join(logs or {})}."
            ) from None
        self.model.save(path)
        if self.verbose:
            print(f"Epoch {epoch + 1}: saving model to {path}")


class ReduceLROnPlateau(_Monitor):
    """Multiplies the learning rate by `factor` when a value has not improved for `patience` epochs.

    Args:    monitor: "val_loss"; factor: 0.1; patience: 10; verbose: 1 prints; mode: "auto", "min", "max";
             min_delta: 1e-4; cooldown: epochs to wait after a change, 0; min_lr: 0.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if not 0 <= factor < 1:
            raise ValueError(f"ReduceLROnPlateau: expected factor of at least 0 and below 1, got {factor!r}.")
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier training."""
        self.best = None
        self.wait = self.cooling = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare with the best so far."""
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.learning_rate
        current = self.value(logs)
        if current is None:
            return
        if self.cooling > 0:
            self.cooling -= 1
            self.wait = 0
        if self.improves(current, self.best):
            self.best, self.wait = current, 0
        elif self.cooling <= 0:
            self.wait += 1
            rate = self.model.optimizer.learning_rate
            if self.wait >= self.patience and rate > self.min_lr:
                self.model.optimizer.learning_rate = max(rate * self.factor, self.min_lr)
                self.cooling, self.wait = self.cooldown, 0
                if self.verbose:
                    print(f"Epoch {epoch + 1}: learning rate {self.model.optimizer.learning_rate:g}")
