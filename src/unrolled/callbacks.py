"""Callbacks with Keras' hooks, called by fit and evaluate with the epoch or batch (from 0) and the logs so far."""

from __future__ import annotations

import csv
import inspect
import math
import os
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

from unrolled.errors import warn_user

Logs = dict[str, float]
HOOKS = tuple(
    f"on_{what}_{when}"
    for what in ("train", "test", "predict", "epoch", "train_batch", "test_batch", "predict_batch")
    for when in ("begin", "end")
)


class Callback:
    """The base of all callbacks: subclass it and override the hooks that are needed.

    Attributes: model, the model being trained (set model.stop_training = True to stop after this batch);
                params, a dict of "verbose", "epochs" and "steps".
    """

    def __init__(self) -> None:
        self.model: Any = None
        self.params: dict[str, Any] = {}

    def set_model(self, model: Any) -> None:
        """Called once before training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called once before training."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called when fit starts."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called when fit ends, also after Ctrl-C; logs of the last epoch."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called when an evaluation starts, validation within fit too."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called when an evaluation ends."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called when predict starts."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called when predict ends."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before each epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after each epoch and its validation; logs have loss, metrics, and val_ of both."""

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of on_train_batch_begin."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of on_train_batch_end."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each training step."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each training step; logs are means over the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch of an evaluation."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each group of samples that predict passes forward."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each group of samples that predict passes forward."""


class CallbackList:
    """Calls the callbacks that override a hook, in order; others cost nothing.

    Raises: TypeError for anything that is not a Callback.
    """

    def __init__(self, callbacks: Any, model: Any, params: dict[str, Any]) -> None:
        given = [] if callbacks is None else [callbacks] if isinstance(callbacks, Callback) else list(callbacks)
        for callback in given:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks: expected callbacks.Callback objects, got {callback!r}.")
        self.callbacks: list[Callback] = given
        for callback in given:
            callback.set_model(model)
            callback.set_params(params)
        self._hooks = {hook: [getattr(c, hook) for c in given if overrides(c, hook)] for hook in HOOKS}

    def has(self, hook: str) -> bool:
        """Whether any callback overrides this hook."""
        return bool(self._hooks[hook])

    def call(self, hook: str, *arguments: Any) -> None:
        """Call a hook of every callback that overrides it."""
        for method in self._hooks[hook]:
            method(*arguments)


def overrides(callback: Callback, hook: str) -> bool:
    """Whether a callback does something in a hook."""
    names = [hook, hook.replace("train_", "")] if hook.startswith("on_train_batch") else [hook]
    return any(name in vars(callback) or getattr(type(callback), name) is not getattr(Callback, name) for name in names)


class History(Callback):
    """What fit returns: the logs of each epoch.

    Attributes: history, {"loss": [...], "acc": [...], "val_loss": [...]}; epoch, [0, 1, ...]; params; model.
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def __repr__(self) -> str:
        return f"<History, epochs={len(self.epoch)}: {', '.join(self.history) or 'nothing'}>"

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start a new list of epochs."""
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Append the logs."""
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)


class LambdaCallback(Callback):
    """A callback made of functions, e.g. LambdaCallback(on_epoch_end=lambda epoch, logs: print(logs)).

    Args: any hook by name; functions of (epoch or batch, logs), or of (logs) for on_train_begin and on_train_end.
    """

    def __init__(self, **functions: Callable[..., Any]) -> None:
        super().__init__()
        for name, function in functions.items():
            if name not in (*HOOKS, "on_batch_begin", "on_batch_end"):
                raise TypeError(f"LambdaCallback: unknown hook {name!r}. Known: {', '.join(HOOKS)}.")
            if function is not None:
                setattr(self, name, function)


class TerminateOnNaN(Callback):
    """Stops training quietly when the loss is NaN or infinite (without it, fit raises TrainingDivergedError)."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Stop if the loss is not finite."""
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            print(f"Batch {batch}: Invalid loss, terminating training")
            self.model.stop_training = True


class _Monitor(Callback):
    """What callbacks that watch one value share: which one, and which direction is better."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            raise ValueError(f'{type(self).__name__}: expected mode "auto", "min" or "max", got {mode!r}.')
        rising = ("acc", "accuracy", "auc", "precision", "recall", "f1_score", "f1")
        if mode == "auto":
            mode = "max" if monitor.lower().endswith(rising) else "min"
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
