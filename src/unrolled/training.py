"""compile, fit, evaluate, predict: what every model can do, with Keras' arguments and meaning.

Layers turn a batch into outputs and gradients; this module feeds them batches, turns outputs into a loss, and hands
gradients to the optimizer. fit works on arrays checked once; a step does nothing that could be done before the loop.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from unrolled import _native, feed, losses, optimizers
from unrolled import metrics as metrics_module
from unrolled.batch import Sequence
from unrolled.callbacks import CallbackList, History, Logs
from unrolled.errors import NotCompiledError, ShapeError, TrainingDivergedError
from unrolled.feed import Data
from unrolled.interrupt import CtrlC
from unrolled.loop import Fit, diverged, due, endless
from unrolled.parameters import PREDICT, Array, Backprop, Gradients, Mode, Parameter, RowGradient, Shape
from unrolled.progress import show_logs


class Output(NamedTuple):
    """One pass's outputs or logits as an array (B, K) or (B, T, K), their mask, and the way back."""

    y: Array
    mask: Array | None
    sequence: Sequence | None
    backprop: Backprop


class Trainable(ABC):
    """What a model needs to be trained: the base of Sequential.

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
    @abstractmethod
    def output_shape(self) -> Any:
        """Shape of the outputs with None for the samples (and for free axes)."""

    @abstractmethod
    def forward(self, x: Any, mode: Mode, logits: bool = False) -> tuple[Array | Sequence, Backprop]:
        """One pass: outputs, or the logits before the last activation; and backprop(d_outputs, gradients)."""

    @abstractmethod
    def build_from_data(self, x: Any) -> None:
        """Make the parameters if they are not there yet."""

    @property
    def stateful(self) -> bool:
        """Whether batches must be passed forward one by one, in the size that was asked for."""
        return False

    @abstractmethod
    def check_input(self, x: Any) -> Array:
        """The inputs in the form that `forward` wants, or a clear error."""

    # ---- compile

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        *,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
    ) -> None:
        """Say how the model is trained.

        Args:    optimizer: name or optimizers.Optimizer; loss: name or losses.Loss; metrics: list of names or
                 metrics.Metric ("acc" and "accuracy" mean the kind that fits labels and outputs), which do not see
                 weights; weighted_metrics: the same, which do. The last three are accepted and change nothing.
        Raises:  ValueError or TypeError for unknown names, which lists the known ones.
        """
        new_optimizer = optimizers.get(optimizer)
        new_loss = None if loss is None else losses.get(loss)
        asked = (metrics_module.check(metrics), metrics_module.check(weighted_metrics, "weighted_metrics"))
        self.optimizer, self.loss, self._metrics_asked = new_optimizer, new_loss, asked
        self._metrics = []

    @property
    def compiled(self) -> bool:
        """Whether compile was called."""
        return self.optimizer is not None

    @property
    def metrics_names(self) -> list[str]:
        """Names of what evaluate returns, in order."""
        return ["loss", *(name for name, _, _ in self._metrics)]

    def get_compile_config(self) -> dict[str, Any] | None:
        """Optimizer, loss and metrics as plain data; None before compile."""
        if self.optimizer is None:
            return None
        return {
            "optimizer": optimizers.serialize(self.optimizer),
            "loss": None if self.loss is None else losses.serialize(self.loss),
            "metrics": [metrics_module.serialize(m) for m in self._metrics_asked[0]],
            "weighted_metrics": [metrics_module.serialize(m) for m in self._metrics_asked[1]],
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as `get_compile_config` says."""
        self.compile(**config)

    # ---- fit, evaluate, predict

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Collection[int] = 1,
    ) -> History:
        """Train for a number of epochs.

        Ctrl-C stops after the running batch and returns the history so far; the model stays usable.

        Args:
            x, y: inputs and labels, arrays of N samples.
            batch_size: samples per step, 32; the last batch of an epoch may be smaller.
            epochs, initial_epoch: train the epochs initial_epoch to epochs - 1.
            verbose: 0 silent, 1 ("auto") a bar per epoch, 2 a line per epoch.
            callbacks: list of callbacks.Callback.
            validation_split: this part from the end of x and y, taken before shuffling, is held out.
            validation_data: (x, y) or (x, y, sample_weight) to evaluate after each epoch; takes precedence.
            shuffle: True, False, or "batch" (within each batch).
            class_weight: {class number: weight}; sample_weight: (N,), or (N, T) for an output per step.
            steps_per_epoch: batches that make an epoch; the data goes on where it stopped. Default: all batches.
            validation_steps, validation_batch_size: batches to validate with (all), their size (batch_size).
            validation_freq: validate every so many epochs, or at these epochs (a list, from 1).
        Returns: History; .history has "loss", the metrics, and "val_" of each.
        Raises:  NotCompiledError; ValueError or TypeError for data that does not fit; TrainingDivergedError if the loss
                 or a gradient becomes NaN or infinite.
        """
        self._compiled_loss("fit")
        epochs, initial_epoch = (
            feed.check_count(epochs, "fit: epochs", 0),
            feed.check_count(initial_epoch, "fit: initial_epoch", 0),
        )
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(f'fit: expected verbose 0, 1, 2 or "auto", got {verbose!r}.')
        if shuffle not in (True, False, "batch"):
            raise ValueError(f'fit: expected shuffle True, False or "batch", got {shuffle!r}.')
        steps = None if steps_per_epoch is None else feed.check_count(steps_per_epoch, "fit: steps_per_epoch")
        data = self._data(x, y, sample_weight, class_weight, "fit")
        held_out = None
        if validation_data is not None:
            held_out = self._data(*_unpack(validation_data), None, "fit: validation_data")
        elif validation_split:
            data, held_out = feed.split(data, validation_split)
            if class_weight is not None:  # weighs the training only
                held_out = Data(held_out.x, held_out.y)
        if batch_size is None and steps is not None:
            batch_size = math.ceil(len(data) / steps)
        size = feed.check_batch_size(batch_size, "fit")
        held_size = size if validation_batch_size is None else validation_batch_size
        held_size = feed.check_count(held_size, "fit: validation_batch_size")
        if held_out is not None and validation_steps is not None:
            held_out = held_out.take(slice(0, feed.check_count(validation_steps, "fit: validation_steps") * held_size))
        if not isinstance(validation_freq, list | tuple | set):
            validation_freq = feed.check_count(validation_freq, "fit: validation_freq")
        count = steps or math.ceil(len(data) / size)
        run = Fit(self, verbose, callbacks, epochs, count)
        run.logger.samples, run.logger.batch_size = (
            min(count * size, len(data)) if steps is None else count * size,
            size,
        )
        stream = endless(data, size, shuffle, self.random) if steps else None
        with run:
            run.start()
            for epoch in range(initial_epoch, epochs):
                run.start_epoch(epoch)
                run.train(islice(stream, count) if stream else feed.batches(data, size, shuffle, self.random))
                if held_out is not None and due(epoch, validation_freq):
                    run.validate(held_out, held_size)
                run.end_epoch()
                if self.stop_training:
                    break
        return run.history

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics on data, without training.

        Rows are passed forward in groups larger than batch_size where that changes nothing.

        Args:    x, y, sample_weight: as in fit; batch_size: 32; steps: number of batches, all by default;
                 verbose: 1 ("auto") and 2 print one line, 0 nothing; return_dict: names too.
        Returns: the loss, or a list [loss, metrics...], or a dict.
        Raises:  as fit.
        """
        self._compiled_loss("evaluate")
        data = self._data(x, y, sample_weight, None, "evaluate")
        size = feed.check_batch_size(batch_size, "evaluate")
        if steps is not None:
            data = data.take(slice(0, feed.check_count(steps, "evaluate: steps") * size))
        hooks = CallbackList(callbacks, self, {"verbose": verbose, "epochs": 1, "steps": math.ceil(len(data) / size)})
        logs = self._evaluate(data, size, hooks)
        if verbose:
            print(f"{len(data)} samples - {show_logs(logs)}", flush=True)
        return self._result(logs, return_dict)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Array:
        """Outputs for inputs x, (N, K) or (N, T, K).

        The samples are passed forward in groups chosen by the library, so the result does not depend on batch_size;
        that only matters for stateful layers, and together with steps (the first steps * batch_size samples). Nothing
        is printed.

        Raises: ValueError or TypeError for inputs that do not fit.
        """
        size = feed.check_batch_size(batch_size, "predict")
        checked = self._inputs(x, "x")
        if steps is not None:
            checked = checked[: feed.check_count(steps, "predict: steps") * size]
        hooks = CallbackList(callbacks, self, {"verbose": verbose, "epochs": 1, "steps": 1})
        hooks.call("on_predict_begin", {})
        outputs = []
        group = size if self.stateful else feed.forward_rows(checked, 1, self._width())
        for number, rows in enumerate(feed.slices(len(checked), group)):
            hooks.call("on_predict_batch_begin", number, {})
            outputs.append(self._forward(checked[rows], PREDICT, logits=False).y)
            hooks.call("on_predict_batch_end", number, {})
        hooks.call("on_predict_end", {})
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)

    def predict_on_batch(self, x: Any) -> Array:
        """Outputs for one batch, passed forward at once."""
        return self._forward(self._inputs(x, "x"), PREDICT, logits=False).y

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One training step on one batch; loss and metrics of that batch before the step.

        Args, Returns, Raises: as fit and evaluate.
        """
        self._compiled_loss("train_on_batch")
        batch = self._data(x, y, sample_weight, class_weight, "train_on_batch")
        self._reset_metrics()
        problem, loss = self._train_step(batch)
        if problem is not None:
            raise TrainingDivergedError(diverged("train_on_batch", "", loss, problem, self.optimizer), tensor=problem)
        return self._result(self._logs(loss), return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Loss and metrics of one batch, without training."""
        self._compiled_loss("test_on_batch")
        batch = self._data(x, y, sample_weight, None, "test_on_batch")
        return self._result(self._evaluate(batch, len(batch), CallbackList(None, self, {})), return_dict)

    # ---- one step

    def _train_step(self, batch: Data, guard: CtrlC | None = None) -> tuple[str | None, float]:
        """One step. Returns the first bad tensor (then nothing was changed) or None, and the loss."""
        assert self.loss is not None and self.optimizer is not None
        parameters = self.parameters
        if self.optimizer.averages is not None:
            self.optimizer.averages.back_to_training()
        mode = Mode(training=True, keep=True, random=self.random, input_gradient=False)
        out = self._forward(batch.x, mode, self._logits)
        loss, d_y = self._loss(batch, out, gradient=True)
        assert d_y is not None
        if not math.isfinite(loss):
            return self._first_bad(batch, out), loss
        gradients = Gradients()
        out.backprop(d_y if out.sequence is None else out.sequence.collect(d_y), gradients)
        bad = _first_bad_gradient(gradients)
        if bad is not None:
            return bad, loss
        if guard is None:
            self.optimizer.apply(gradients, parameters)
        else:
            with guard.whole():  # Ctrl-C never leaves half an update
                self.optimizer.apply(gradients, parameters)
        self._update_metrics(batch, out)
        return None, loss

    def _forward(self, x: Array, mode: Mode, logits: bool) -> Output:
        y, backprop = self.forward(x, mode, logits)
        if isinstance(y, Sequence):
            return Output(y.to_array(), y.mask, y, backprop)
        return Output(y, None, None, backprop)

    def _loss(self, batch: Data, out: Output, gradient: bool) -> tuple[float, Array | None]:
        """The reduced loss of a batch and its gradient with respect to the outputs."""
        assert self.loss is not None and batch.y is not None
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
            if not np.isfinite(parameter.value).all():
                return f'the parameter "{parameter.path}"'
        if batch.x.dtype.kind == "f" and not np.isfinite(batch.x).all():
            return "the input x"
        if not np.isfinite(out.y).all():
            return "the logits" if self._logits else "the outputs"
        return "the loss itself, of finite outputs"

    def _evaluate(self, data: Data, size: int, hooks: CallbackList, guard: CtrlC | None = None) -> Logs:
        """Loss and metrics over the data in batches of `size` (which matters for the loss only where masks do)."""
        watched = hooks.has("on_test_batch_begin") or hooks.has("on_test_batch_end")
        group = size if watched or self.stateful else feed.forward_rows(data.x, size, self._width())
        self._reset_metrics()
        total, seen = 0.0, 0
        hooks.call("on_test_begin", {})
        for number, rows in enumerate(feed.slices(len(data), group)):
            if guard is not None:
                guard.check()
            hooks.call("on_test_batch_begin", number, {})
            part = data.take(rows)
            out = self._forward(part.x, PREDICT, self._logits)
            for inner in feed.slices(len(part), size if out.mask is not None else len(part)):
                mask = None if out.mask is None else out.mask[inner]
                loss, _ = self._loss(part.take(inner), out._replace(y=out.y[inner], mask=mask), gradient=False)
                total += loss * (inner.stop - inner.start)
            self._update_metrics(part, out)
            seen += len(part)
            hooks.call("on_test_batch_end", number, self._logs(total / seen))
        logs = self._logs(total / seen)
        hooks.call("on_test_end", logs)
        return logs

    # ---- data and metrics

    def _width(self) -> int:
        """The widest array of a step: gates of a recurrent layer, units of a dense one, features of an Embedding."""
        return max((p.shape[-1] for p in self.parameters if p.shape), default=1)

    def _inputs(self, x: Any, name: str) -> Array:
        checked = feed.check_samples(x, name)
        self.build_from_data(checked)
        return self.check_input(checked)

    def _data(self, x: Any, y: Any, sample_weight: Any, class_weight: Any, caller: str) -> Data:
        """Checked arrays; also settles the metrics and whether the loss takes logits."""
        assert self.loss is not None
        where = caller.partition(": ")[2]
        x_name, y_name = (f"{where} x", f"{where} y") if where else ("x", "y")
        samples = feed.check_samples(x, x_name)
        if y is None:
            raise TypeError(f"{caller}: expected labels y, got None.")
        labels = feed.as_numbers(y, y_name)
        feed.check_lengths(samples, labels, x_name, y_name)
        self.build_from_data(samples)
        checked = self.check_input(samples)
        shape: Shape = tuple(self.output_shape)
        dtype = self.parameters[0].dtype if self.parameters else np.dtype(np.float32)
        prepared = self.loss.prepare(labels, shape, dtype, y_name)
        per_step = prepared.shape[1] if len(shape) == 3 else None
        weight = feed.check_weights(sample_weight, class_weight, labels, per_step, dtype, caller)
        self._logits = self.loss.takes_logits(self.logits_activation)
        if not self._metrics and any(self._metrics_asked):
            self._metrics = _resolve(*self._metrics_asked, labels.shape, shape)
        return Data(checked, np.ascontiguousarray(prepared), weight)

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
        assert batch.y is not None
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


def _first_bad_gradient(gradients: Gradients) -> str | None:
    found = list(gradients)
    entries = [g.values if isinstance(g, RowGradient) else np.ascontiguousarray(g) for _, g in found]
    bad = _native.first_not_finite(entries)
    return None if bad < 0 else f'the gradient of "{found[bad][0].path}"'


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


def _unpack(data: Any) -> tuple[Any, Any, Any]:
    if isinstance(data, tuple | list) and len(data) in (2, 3):
        return data[0], data[1], data[2] if len(data) == 3 else None
    raise TypeError(f"fit: expected validation_data as (x, y) or (x, y, sample_weight), got {type(data).__name__}.")
