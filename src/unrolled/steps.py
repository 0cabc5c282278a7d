"""One step of training, one pass of evaluation: from a batch to a loss, gradients and an update."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from unrolled import feed, losses, optimizers
from unrolled import metrics as metrics_module
from unrolled.batch import Sequence
from unrolled.callbacks import CallbackList, History, Logs
from unrolled.errors import NotCompiledError, ShapeError
from unrolled.interrupt import CtrlC
from unrolled.parameters import PREDICT, Array, Backprop, Gradients, Mode, Parameter, Shape
from unrolled.sources import Data, Ragged, read_ragged, slices


class Output(NamedTuple):
    """One pass's outputs or logits as an array (B, K) or (B, T, K), their mask, and the way back."""

    y: Array
    mask: Array | None
    sequence: Sequence | None
    backprop: Backprop


class Attempt(NamedTuple):
    """A training pass up to its loss, and the rest of the way back, which adds the gradients that are not there yet."""

    loss: float
    out: Output
    back: Callable[[], Any]


class Steps(ABC):
    """What a model needs to take steps: the base of Trainable.

    A subclass has `parameters`, `forward`, `build_from_data`, `check_input`, `random`, `output_shape`, `name`, and says
    with `logits_activation` whether its last layer ends in "sigmoid" or "softmax".

    Attributes: optimizer, loss (None before compile); history, of the last fit; stop_training, set by callbacks.
    """

    name: str
    random: np.random.Generator
    logits_activation: str | None

    def __init__(self) -> None:
        self.optimizer: optimizers.Optimizer | None = None
        self.loss: losses.Loss | None = None
        self.history: History | None = None
        self.stop_training = False
        self._metrics_asked: tuple[list[Any], list[Any]] = ([], [])
        self._metrics: list[tuple[str, metrics_module.Metric, bool]] = []  # (name in the logs, metric, takes weights)
        self._logits = False

    @property
    @abstractmethod
    def parameters(self) -> list[Parameter]:
        """All parameters in order, built."""

    @property
    def float_type(self) -> np.dtype[Any]:
        """Float type of the first parameter."""
        return next((p.dtype for p in self.parameters), np.dtype(np.float32))

    @property
    @abstractmethod
    def output_shape(self) -> Any:
        """Shape of the outputs with None for the samples (and for free axes)."""

    @abstractmethod
    def forward(
        self, x: Any, mode: Mode, logits: bool = False, mask: Array | None = None
    ) -> tuple[Array | Sequence, Backprop]:
        """One pass: outputs, or the logits before the last activation; and backprop(d_outputs, gradients).

        mask (B, T): the real steps of x, True = keep; None: all, or what the layers find.
        """

    @abstractmethod
    def build_from_data(self, x: Any) -> None:
        """Make the parameters if they are not there yet."""

    @property
    def takes_ids(self) -> bool:
        """Whether a sample of one axis is a sequence of ids, so that samples may be of unequal length."""
        return False

    @property
    def stateful(self) -> bool:
        """Whether batches must be passed forward one by one, in the size that was asked for."""
        return False

    @abstractmethod
    def check_input(self, x: Any) -> Array:
        """The inputs in the form that `forward` wants, or a clear error."""

    def check_batch(self, x: Any) -> Array:
        """The same for a batch that is passed forward at once; that may raise some of the errors."""
        return self.check_input(x)

    # ---- one step

    def _train_step(self, batch: Data, guard: CtrlC | None = None) -> tuple[str | None, float]:
        """One step. Returns the first bad tensor (then nothing was changed) or None, and the loss."""
        assert self.loss is not None and self.optimizer is not None
        parameters = self.parameters
        if self.optimizer.averages is not None:
            self.optimizer.averages.back_to_training()
        mode = Mode(training=True, keep=True, random=self.random, input_gradient=False)
        gradients = Gradients(fleeting=True)
        loss, out, back = self._attempt(batch, mode, gradients)
        if not math.isfinite(loss):
            return self._first_bad(batch, out), loss
        back()
        if guard is None:
            bad = self.optimizer.apply(gradients, parameters, check=True)
        else:
            with guard.whole():  # Ctrl-C never leaves half an update
                bad = self.optimizer.apply(gradients, parameters, check=True)
        if bad is not None:
            return f'the gradient of "{bad.path}"', loss
        self._update_metrics(batch, out)
        return None, loss

    def _attempt(self, batch: Data, mode: Mode, gradients: Gradients) -> Attempt:
        """Forward and to the loss; then, or in `back`, the gradients of all parameters that learn."""
        out = self._forward(batch, mode, self._logits)
        loss, d_y = self._loss(batch, out, gradient=True)
        assert d_y is not None
        d_out: Array = d_y
        return Attempt(
            loss, out, lambda: out.backprop(d_out if out.sequence is None else out.sequence.collect(d_out), gradients)
        )

    def _forward(self, batch: Data, mode: Mode, logits: bool) -> Output:
        more = {} if batch.mask is None else {"mask": batch.mask}
        y, backprop = self.forward(batch.x, mode, logits, **more)
        if isinstance(y, Sequence):
            return Output(y.to_array(), y.mask, y, backprop)
        return Output(y, None, None, backprop)

    def _loss(self, batch: Data, out: Output, gradient: bool) -> tuple[float, Array | None]:
        """The reduced loss of a batch and its gradient with respect to the outputs."""
        assert self.loss is not None and isinstance(batch.y, np.ndarray)
        expected = out.y.shape[: batch.y.ndim]
        if batch.y.shape != expected:
            raise ShapeError(
                f"y: expected labels of shape (N, {', '.join(map(str, expected[1:]))}), one for each output, "
                f"got (N, {', '.join(map(str, batch.y.shape[1:]))})."
            )
        with np.errstate(over="ignore", invalid="ignore"):  # a loss that is not finite is reported by the caller
            values, d_y = self.loss.compute(batch.y, out.y, self._logits, gradient)
            loss, share = losses.reduce(values, batch.weight, out.mask, self.loss.reduction)
        if d_y is not None:
            d_y *= share if isinstance(share, float) else share[..., None]
        return loss, d_y

    def _first_bad(self, batch: Data, out: Output) -> str:
        """Name the first tensor on the way from the parameters to the loss that is not finite."""
        for parameter in self.parameters:
            if not np.isfinite(parameter.now()).all():
                return f'the parameter "{parameter.path}"'
        if isinstance(batch.x, np.ndarray) and batch.x.dtype.kind == "f" and not np.isfinite(batch.x).all():
            return "the input x"
        if not np.isfinite(out.y).all():
            return "the logits" if self._logits else "the outputs"
        return "the loss itself, of finite outputs"

    def _evaluate(self, data: Data, size: int, hooks: CallbackList, guard: CtrlC | None = None) -> Logs:
        """Loss and metrics over the data in batches of `size` (which matters for the loss only where masks do)."""
        watched = hooks.has("on_test_batch_begin") or hooks.has("on_test_batch_end")
        group = size if watched or self.stateful else feed.forward_rows(data.x, size, self._width())
        return self._evaluate_parts((data.take(rows) for rows in slices(len(data), group)), size, hooks, guard)[0]

    def _evaluate_parts(
        self, parts: Iterable[Data], size: int | None, hooks: CallbackList, guard: CtrlC | None = None
    ) -> tuple[Logs, int]:
        """Loss and metrics over batches as they come, and the number of samples; size: as in _evaluate, None: all."""
        self._reset_metrics()
        total, seen = 0.0, 0
        hooks.call("on_test_begin", {})
        for number, part in enumerate(parts):
            if guard is not None:
                guard.check()
            hooks.call("on_test_batch_begin", number, {})
            out = self._forward(part, PREDICT, self._logits)
            for inner in slices(len(part), size if size is not None and out.mask is not None else len(part)):
                mask = None if out.mask is None else out.mask[inner]
                loss, _ = self._loss(part.take(inner), out._replace(y=out.y[inner], mask=mask), gradient=False)
                total += loss * (inner.stop - inner.start)
            self._update_metrics(part, out)
            seen += len(part)
            hooks.call("on_test_batch_end", number, self._logs(total / seen))
        logs = self._logs(total / seen) if seen else {}
        hooks.call("on_test_end", logs)
        return logs, seen

    # ---- data and metrics

    def _width(self) -> int:
        """The widest array of a step: gates of a recurrent layer, units of a dense one, features of an Embedding."""
        return max((p.shape[-1] for p in self.parameters if p.shape), default=1)

    def _inputs(self, x: Any, name: str) -> Array | Ragged:
        """Checked inputs; rows of unequal length stay without padding."""
        return self._check(self._read(x, name), x, name)

    def _read(self, x: Any, name: str) -> Array | Ragged:
        ragged = read_ragged(name, x)
        return feed.check_samples(x, name) if ragged is None else ragged

    def _check(self, samples: Array | Ragged, x: Any, name: str, at_once: bool = False) -> Array | Ragged:
        if isinstance(samples, Ragged):
            return self._ragged_inputs(samples, x, name)
        self.build_from_data(samples)
        return self.check_batch(samples) if at_once else self.check_input(samples)

    def _ragged_inputs(self, ragged: Ragged, x: Any, name: str) -> Ragged:
        if ragged.values.ndim == 1 and not self.takes_ids:
            feed.check_samples(x, name)  # raises: rows of a model without time must be of one length
        self.build_from_data(np.broadcast_to(np.zeros(1, ragged.values.dtype), ragged.shape))
        if ragged.values.size == 0:
            raise ShapeError(f"{name}: expected at least one step in all rows together, got {len(ragged)} empty rows.")
        try:
            checked = self.check_input(ragged.values[None])
        except (ValueError, TypeError) as error:
            for number, row in enumerate(x):  # whose fault it is
                try:
                    if len(row):
                        self.check_input(np.asarray(row)[None])
                except (ValueError, TypeError) as fault:
                    raise type(fault)(f"{name}[{number}]: {fault}") from None
            raise error
        return Ragged(checked[0], ragged.starts)

    def _data(self, x: Any, y: Any, sample_weight: Any, class_weight: Any, caller: str, at_once: bool = False) -> Data:
        """Checked arrays; also settles the metrics and whether the loss takes logits. at_once: as check_batch."""
        assert self.loss is not None
        where = caller.partition(": ")[2]
        x_name, y_name = (f"{where} x", f"{where} y") if where else ("x", "y")
        samples = self._read(x, x_name)
        if y is None:
            raise TypeError(f"{caller}: expected labels y, got None.")
        by_step = read_ragged(y_name, y) if isinstance(samples, Ragged) else None
        labels = feed.as_labels(y if by_step is None else by_step.values[None], y_name)
        feed.check_lengths(samples, labels if by_step is None else by_step, x_name, y_name)
        if isinstance(samples, Ragged) and by_step is not None:
            feed.check_steps(samples.lengths, by_step.lengths, x_name, y_name)
        checked = self._check(samples, x, x_name, at_once)
        shape: Shape = tuple(self.output_shape)
        dtype = self.float_type
        prepared = self.loss.prepare(labels, shape, dtype, y_name)
        per_step = prepared.shape[1] if len(shape) == 3 and by_step is None else None
        weighed = labels if by_step is None else np.zeros((len(samples), 1, 1))  # refuses classes, a label a step
        weight = feed.check_weights(sample_weight, class_weight, weighed, per_step, dtype, caller)
        self._logits = self.loss.takes_logits(self.logits_activation)
        if not self._metrics and any(self._metrics_asked):
            self._metrics = _resolve(*self._metrics_asked, labels.shape, shape)
        prepared = np.ascontiguousarray(prepared)
        if by_step is not None:
            return Data(checked, Ragged(prepared[0], by_step.starts), weight)
        return Data(checked, prepared, weight)

    def _compiled_loss(self, caller: str) -> None:
        if self.optimizer is None:
            raise NotCompiledError(
                f'{caller}: "{self.name}" is not compiled. Call compile(optimizer="rmsprop", '
                'loss="binary_crossentropy", metrics=["acc"]) first.'
            )
        if self.loss is None:
            raise NotCompiledError(
                f'{caller}: "{self.name}" was compiled without a loss. Call compile(..., loss="binary_crossentropy").'
            )

    def _reset_metrics(self) -> None:
        for _, metric, _ in self._metrics:
            metric.reset_state()

    def _update_metrics(self, batch: Data, out: Output) -> None:
        if not self._metrics:
            return
        assert isinstance(batch.y, np.ndarray)
        y = losses.probabilities(out.y, str(self.logits_activation)) if self._logits else out.y
        for _, metric, weighted in self._metrics:
            metric.update_state(batch.y, y, batch.weight if weighted else None, out.mask)

    def _logs(self, loss: float) -> Logs:
        logs = {"loss": loss}
        for name, metric, _ in self._metrics:
            logs[name] = metric.result()
        return logs

    def _result(self, logs: Logs, return_dict: bool) -> Any:
        if return_dict:
            return logs
        return logs["loss"] if len(logs) == 1 else list(logs.values())


def _resolve(
    plain: list[Any], weighted: list[Any], label_shape: Shape, output_shape: Shape
) -> list[tuple[str, metrics_module.Metric, bool]]:
    """Metric objects with their names in the logs; a repeated name gets weighted_ in front or a number behind."""
    found: list[tuple[str, metrics_module.Metric, bool]] = []
    for asked, takes_weights in [(m, False) for m in plain] + [(m, True) for m in weighted]:
        metric = metrics_module.get(asked, label_shape, output_shape)
        name, taken = metric.name, {"loss", *(name for name, _, _ in found)}
        if name in taken and takes_weights:
            name = f"weighted_{name}"
        base, number = name, 0
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        found.append((name, metric, takes_weights))
    return found
