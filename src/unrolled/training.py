"""compile, fit, evaluate, predict: what every model can do, with Keras' arguments and meaning.

Layers turn a batch into outputs and gradients; this module feeds them batches, turns outputs into a loss, and hands
gradients to the optimizer. fit works on arrays checked once; a step does nothing that could be done before the loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np

from unrolled import feed, losses, optimizers
from unrolled import metrics as metrics_module
from unrolled.callbacks import CallbackList, History, Logs
from unrolled.errors import TrainingDivergedError, warn_user
from unrolled.interrupt import CtrlC
from unrolled.loop import Fit, diverged, due
from unrolled.parameters import PREDICT
from unrolled.progress import show_logs
from unrolled.sources import (
    ArraySource,
    Data,
    Source,
    StreamSource,
    is_stream,
    refuse_beside_stream,
    slices,
    unpack,
)
from unrolled.steps import Steps


class Trainable(Steps):
    """What every model can do once it can take steps: the base of Sequential."""

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

    def better(self, name: str) -> str | None:
        """Whether "min" or "max" of a value of the logs is better; None if nobody says."""
        plain = name.removeprefix("val_")
        known = {"loss": "min"} | {called: metric.better for called, metric, _ in self._metrics}
        return known.get(plain)

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

        Ctrl-C stops after the running batch and returns the history so far; the model stays usable, and
        initial_epoch=n, after n whole epochs, goes on with the epoch that was stopped, from its beginning.

        Args:
            x, y: inputs and labels, arrays of N samples; or x a list of N rows of unequal length, of ids or arrays
                (T_i, D): no padding is needed, a batch is padded to its longest row and the padding masked (y then may
                be a list of rows with a label for each step). Or x a generator, an iterable or a utils.PyDataset of
                batches (x, y) or (x, y, sample_weight), read one at a time, and y left out.
            batch_size: samples per step, 32; the last batch of an epoch may be smaller.
            epochs, initial_epoch: train the epochs initial_epoch to epochs - 1.
            verbose: 0 silent, 1 ("auto") a bar per epoch, 2 a line per epoch.
            callbacks: list of callbacks.Callback.
            validation_split: this part from the end of x and y, taken before shuffling, is held out.
            validation_data: (x, y) or (x, y, sample_weight) to evaluate after each epoch, or a generator or iterable of
                such batches; takes precedence.
            shuffle: True, False, or "batch" (within each batch).
            class_weight: {class number: weight}; sample_weight: (N,), or (N, T) for an output per step.
            steps_per_epoch: batches that make an epoch; the data goes on where it stopped. Default: all batches. A
                generator that never ends needs it; one that ends before all epochs stops training with a warning.
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
        if is_stream(x):
            held = validation_split or None
            refuse_beside_stream("fit", y=y, sample_weight=sample_weight, batch_size=batch_size, validation_split=held)
            read = self._reader("fit", class_weight)
            source: Source = StreamSource(x, read, steps, shuffle, self.random)
            size, held_out = 32, None
        else:
            data = self._data(x, y, sample_weight, class_weight, "fit")
            held_out = None
            if validation_data is None and validation_split:
                data, held_out = feed.split(data, validation_split)
                if class_weight is not None:  # weighs the training only
                    held_out = held_out.without_weights()
            if batch_size is None and steps is not None:
                batch_size = math.ceil(len(data) / steps)
            size = feed.check_batch_size(batch_size, "fit")
            source = ArraySource(data, size, shuffle, steps, self.random)
        held_size = size if validation_batch_size is None else validation_batch_size
        held_size = feed.check_count(held_size, "fit: validation_batch_size")
        validate = self._validation(held_out, validation_data, validation_steps, held_size)
        if not isinstance(validation_freq, list | tuple | set):
            validation_freq = feed.check_count(validation_freq, "fit: validation_freq")
        run = Fit(self, verbose, callbacks, epochs, source)
        with run:
            run.start()
            for epoch in range(initial_epoch, epochs):
                run.start_epoch(epoch)
                if not run.train(source.epoch()):
                    self._no_more("fit", epoch == initial_epoch, f"before epoch {epoch + 1} of {epochs}")
                    break
                if validate is not None and due(epoch, validation_freq):
                    run.validate(validate)
                run.end_epoch()
                if source.ran_out:
                    self._no_more("fit", False, f"in epoch {epoch + 1} of {epochs}, after batch {run.batches}")
                if self.stop_training or source.ran_out:
                    break
        return run.history

    @staticmethod
    def _no_more(caller: str, nothing: bool, where: str) -> None:
        """Say that a generator has ended: an error if it gave nothing at all, else a warning, as in Keras."""
        remedy = "Yield steps_per_epoch * epochs batches, or pass an object that can be read again (utils.PyDataset)."
        if nothing:
            raise ValueError(f"{caller}: x yielded no batch. {remedy}")
        warn_user(f"{caller}: x yielded no more batches {where}; training stops here. {remedy}")

    def _reader(self, caller: str, class_weight: Any = None) -> Callable[[Any, int], Data]:
        """How a yielded batch becomes Data."""
        return lambda batch, number: self._data(
            *unpack(batch, caller.partition(":")[0], number), class_weight, caller
        ).whole()

    def _validation(
        self, held_out: Data | None, given: Any, steps: int | None, size: int
    ) -> Callable[[CallbackList, CtrlC | None], Logs] | None:
        """What evaluates after an epoch: rows held out, arrays, or a stream; None without validation."""
        limit = None if steps is None else feed.check_count(steps, "fit: validation_steps")
        if given is not None and is_stream(given):
            source = StreamSource(given, self._reader("fit: validation_data"), limit)
            return lambda hooks, guard: self._evaluate_stream(source, "fit: validation_data", hooks, guard)[0]
        data = held_out if given is None else self._data(*_unpack(given), None, "fit: validation_data")
        if data is None:
            return None
        shown = data if limit is None else data.rows(slice(0, limit * size))
        return lambda hooks, guard: self._evaluate(shown, size, hooks, guard)

    def _evaluate_stream(
        self, source: StreamSource, caller: str, hooks: CallbackList, guard: CtrlC | None = None
    ) -> tuple[Logs, int]:
        logs, seen = self._evaluate_parts(source.epoch(), None, hooks, guard)
        if not seen:
            raise ValueError(
                f"{caller}: yielded no batch. A generator can be read once: give validation_steps (or steps), or an "
                "object that can be read again."
            )
        if source.ran_out:
            warn_user(f"{caller}: yielded fewer batches than {source.count}.")
        return logs, seen

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
        if is_stream(x):
            refuse_beside_stream("evaluate", y=y, sample_weight=sample_weight, batch_size=batch_size)
            limit = None if steps is None else feed.check_count(steps, "evaluate: steps")
            source = StreamSource(x, self._reader("evaluate"), limit)
            hooks = CallbackList(callbacks, self, {"verbose": verbose, "epochs": 1, "steps": source.count})
            logs, seen = self._evaluate_stream(source, "evaluate: x", hooks)
            if verbose:
                print(f"{seen} samples - {show_logs(logs)}", flush=True)
            return self._result(logs, return_dict)
        data = self._data(x, y, sample_weight, None, "evaluate")
        size = feed.check_batch_size(batch_size, "evaluate")
        if steps is not None:
            data = data.rows(slice(0, feed.check_count(steps, "evaluate: steps") * size))
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
    ) -> Any:
        """Outputs for inputs x, (N, K) or (N, T, K); for unequal rows with outputs per step a list of (T_i, K).

        The samples are passed forward in groups chosen by the library, so the result does not depend on batch_size;
        that only matters for stateful layers, and together with steps (the first steps * batch_size samples). Nothing
        is printed.

        Raises: ValueError or TypeError for inputs that do not fit.
        """
        limit = None if steps is None else feed.check_count(steps, "predict: steps")
        parts: Iterable[Data]
        if is_stream(x):
            refuse_beside_stream("predict", batch_size=batch_size)
            parts = StreamSource(x, lambda batch, _: self._input_data(_first(batch)).whole(), limit).epoch()
        else:
            size = feed.check_batch_size(batch_size, "predict")
            data = self._input_data(x)
            if limit is not None:
                data = data.rows(slice(0, limit * size))
            group = size if self.stateful else feed.forward_rows(data.x, 1, self._width())
            parts = (data.take(rows) for rows in slices(len(data), group))
        hooks = CallbackList(callbacks, self, {"verbose": verbose, "epochs": 1, "steps": 1})
        hooks.call("on_predict_begin", {})
        outputs: list[Any] = []
        for number, part in enumerate(parts):
            hooks.call("on_predict_batch_begin", number, {})
            outputs.append(self._output_rows(part))
            hooks.call("on_predict_batch_end", number, {})
        hooks.call("on_predict_end", {})
        if not outputs:
            raise ValueError("predict: x yielded no batch.")
        if all(isinstance(y, np.ndarray) and y.shape[1:] == outputs[0].shape[1:] for y in outputs):
            return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
        return [row for y in outputs for row in y]

    def predict_on_batch(self, x: Any) -> Any:
        """Outputs for one batch, passed forward at once."""
        return self._output_rows(self._input_data(x).whole())

    def _input_data(self, x: Any) -> Data:
        return Data(self._inputs(x, "x"))

    def _output_rows(self, batch: Data) -> Any:
        """Outputs as an array; a list of each row's own steps where the rows were padded here."""
        y = self._forward(batch, PREDICT, logits=False).y
        if batch.mask is None or y.ndim < 3:
            return y
        return [row[keep] for row, keep in zip(y, batch.mask, strict=True)]

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
        batch = self._data(x, y, sample_weight, class_weight, "train_on_batch", at_once=True).whole()
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


def _unpack(data: Any) -> tuple[Any, Any, Any]:
    if isinstance(data, tuple | list) and len(data) in (2, 3):
        return data[0], data[1], data[2] if len(data) == 3 else None
    raise TypeError(f"fit: expected validation_data as (x, y) or (x, y, sample_weight), got {type(data).__name__}.")


def _first(batch: Any) -> Any:
    """The inputs of a yielded batch: of (x,), (x, y), (x, y, sample_weight) the first; anything else is x."""
    return batch[0] if isinstance(batch, tuple) and len(batch) in (1, 2, 3) else batch
