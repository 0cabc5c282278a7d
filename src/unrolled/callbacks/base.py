"""The hooks, the list that calls them, and the callbacks that only listen."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from unrolled.printing import history_table

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

    def _repr_html_(self) -> str:
        """A table of the epochs, for notebooks."""
        return history_table(self.history, self.epoch).to_html()

    def plot(self, path: str | os.PathLike[str] | None = None, title: str | None = None) -> Any:
        """Draw metrics and loss over the epochs; see plotting.plot_history.

        Args: path: of a picture to write. Returns: the matplotlib Figure.
        """
        from unrolled.plotting import plot_history

        return plot_history(self, path, title)

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
