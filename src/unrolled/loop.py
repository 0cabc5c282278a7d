"""One call of fit: epochs, batches, hooks, history, Ctrl-C and divergence."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from unrolled import optimizers
from unrolled.callbacks import CallbackList, History, Logs, TerminateOnNaN
from unrolled.errors import TrainingDivergedError
from unrolled.interrupt import CtrlC
from unrolled.progress import ProgressLogger
from unrolled.sources import Data, Source

if TYPE_CHECKING:
    from unrolled.training import Trainable


class Fit:
    """One call of fit: hooks, history, Ctrl-C, and where it is."""

    def __init__(self, model: Trainable, verbose: Any, callbacks: Any, epochs: int, source: Source) -> None:
        given = CallbackList(callbacks, None, {}).callbacks
        self.model, self.epochs, self.source, self.steps = model, epochs, source, source.count
        self.history = next((c for c in given if isinstance(c, History)), None) or History()
        self.logger = next((c for c in given if isinstance(c, ProgressLogger)), None) or ProgressLogger()
        everyone = [*given, *(c for c in (self.history, self.logger) if c not in given)]
        if verbose == 0:
            everyone.remove(self.logger)
        self.hooks = CallbackList(everyone, model, {"verbose": verbose, "epochs": epochs, "steps": self.steps})
        self.logger.samples, self.logger.batch_size = source.samples, source.size
        self.logger.unit = source.unit or self.logger.unit
        self.quiet_nan = any(isinstance(c, TerminateOnNaN) for c in given)
        self.guard = CtrlC()
        self.epoch = self.batches = self.finished = 0
        self.logs: Logs = {}
        self.last: Logs = {}
        model.history = self.history

    def __enter__(self) -> None:
        self.model.stop_training = False
        self.guard.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        self.guard.__exit__()
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self._finish_averages()
            self.hooks.call("on_train_end", self.last)
        self.logger.close()
        if kind is None or not issubclass(kind, KeyboardInterrupt):
            return False
        print(
            f"Stopped by Ctrl-C in epoch {self.epoch + 1} of {self.epochs}, after batch {self.batches}"
            f"{self._of_steps()}; the history has {_epochs(self.history)}, the model keeps its weights.",
            file=sys.stderr,
        )
        return True

    def _finish_averages(self) -> None:
        optimizer = self.model.optimizer
        if optimizer is not None and optimizer.averages is not None and optimizer.iterations > 0:
            optimizer.averages.finish()

    def start(self) -> None:
        """Call the hooks of the beginning."""
        self.hooks.call("on_train_begin", {})

    def start_epoch(self, epoch: int) -> None:
        """Begin an epoch."""
        self.epoch, self.batches = epoch, 0
        self.model._reset_metrics()
        self.hooks.call("on_epoch_begin", epoch, {})

    def _of_steps(self) -> str:
        return "" if self.steps is None else f" of {self.steps}"

    def train(self, batches: Iterator[Data]) -> bool:
        """Take one step for each batch of an epoch; False if there was none."""
        model, hooks, guard = self.model, self.hooks, self.guard
        begin, end = hooks.has("on_train_batch_begin"), hooks.has("on_train_batch_end")
        total, seen = 0.0, 0
        for number, batch in enumerate(batches):
            if begin:
                hooks.call("on_train_batch_begin", number, {})
            guard.check()
            problem, loss = model._train_step(batch, guard)
            if problem is not None:
                if not self.quiet_nan:
                    raise self._diverged(number, loss, problem)
                loss = math.nan
            total += loss * len(batch)
            seen += len(batch)
            self.batches = number + 1
            if end:
                hooks.call("on_train_batch_end", number, model._logs(total / seen))
            if model.stop_training:
                break
        guard.check()
        self.logs = model._logs(total / max(seen, 1))
        if self.steps is None and self.batches:  # known from now on
            self.steps = self.logger.samples = self.batches
        return self.batches > 0

    def validate(self, evaluate: Callable[[CallbackList, CtrlC], Logs]) -> None:
        """Evaluate the held-out data."""
        logs = evaluate(self.hooks, self.guard)
        self.logs |= {f"val_{key}": value for key, value in logs.items()}

    def end_epoch(self) -> None:
        """Hand the epoch's logs to the callbacks."""
        self.hooks.call("on_epoch_end", self.epoch, self.logs)
        self.last = self.logs

    def _diverged(self, number: int, loss: float, problem: str) -> TrainingDivergedError:
        where = f" in epoch {self.epoch + 1}, batch {number + 1}{self._of_steps()}"
        return TrainingDivergedError(
            diverged("fit", where, loss, problem, self.model.optimizer),
            history=self.history,
            epoch=self.epoch + 1,
            batch=number + 1,
            tensor=problem,
        )


def _epochs(history: History) -> str:
    count = len(history.epoch)
    return f"{count} epoch{'' if count == 1 else 's'}"


def diverged(caller: str, where: str, loss: float, problem: str, optimizer: optimizers.Optimizer | None) -> str:
    """The text of TrainingDivergedError."""
    what = "a gradient became NaN or infinite" if math.isfinite(loss) else f"the loss became {loss}"
    assert optimizer is not None
    remedy = f"Use a lower learning rate (now {optimizer.learning_rate:g})"
    if optimizer.clipnorm is None and optimizer.global_clipnorm is None:
        remedy += f" or clip the gradients: optimizers.{type(optimizer).__name__}(..., clipnorm=1.0)"
    if problem == "the input x":
        remedy = "Remove or replace NaN and infinity in x"
    elif problem.startswith("the parameter"):
        remedy = "Build the model anew or load weights without NaN"
    return f"{caller}: {what}{where}. First bad tensor: {problem}. The weights are those before this batch. {remedy}."


def due(epoch: int, frequency: Any) -> bool:
    """Whether validation_freq asks for validation after this epoch."""
    return (epoch + 1) % frequency == 0 if isinstance(frequency, int) else epoch + 1 in frequency
