"""Sequential: layers in a row, trained as Keras trains them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from unrolled import losses, saving
from unrolled import random as streams
from unrolled.batch import Sequence, Value
from unrolled.errors import FileFormatError, PaddingWarning, UnknownAxisError, warn_user
from unrolled.layers import Dense, Embedding, Layer, Recurrent, WordDropout
from unrolled.layers.base import automatic_name, deserialize, serialize
from unrolled.layers.recurrence import Head
from unrolled.layers.values import as_array, as_value, cast, check_mask
from unrolled.layers.watch import report, watched
from unrolled.parameters import Array, Backprop, Gradients, Mode, no_backprop
from unrolled.sources import Data
from unrolled.stack import Stack
from unrolled.steps import Attempt, Output
from unrolled.summary import summary_lines, summary_table
from unrolled.training import Trainable

LARGEST_HEAD = 1 << 14  # entries of a Dense kernel that is packed anew for every block of rows


class Sequential(Stack, Trainable):
    """Layers in a row.

    Sequential([Embedding(10000, 32), LSTM(32), Dense(1, activation="sigmoid")])

    Weights are made as soon as the input's shape is known: from Embedding, Input or input_shape at once, otherwise with
    the first data.

    Args:
        layers: list of layers; more can follow with add.
        name: "sequential", "sequential_1", ... by default.
    """

    def __init__(self, layers: Iterable[Layer] | None = None, name: str | None = None) -> None:
        self.random = streams.spawn()  # before the layers draw their weights from the same stream
        self._padding_seen = False
        super().__init__(layers, name or automatic_name("Sequential"))

    def set_weights(self, weights: Iterable[Any]) -> None:
        """Overwrite all weights; nothing is written unless all arrays fit. A running average of them starts anew.

        Raises: ShapeError listing the expected shapes; NotBuiltError before there are weights.
        """
        super().set_weights(weights)
        if self.optimizer is not None and self.optimizer.averages is not None:
            self.optimizer.averages.start_anew()

    def summary(
        self,
        line_length: int | None = None,
        print_fn: Callable[[str], Any] | None = None,
        explain: bool = False,
    ) -> None:
        """Print layers, output shapes and numbers of parameters, line by line with print_fn (default: print).

        explain: also how each number comes about: 32*40 + 40*40 + 40 = 2,920.
        """
        for line in summary_lines(self.name, self._layers, line_length, explain):
            (print_fn or print)(line)

    def _repr_html_(self) -> str:
        """The summary as a table, for notebooks."""
        return summary_table(self.name, self._layers).to_html()

    # ---- running

    @property
    def logits_activation(self) -> str | None:  # type: ignore[override]
        """ "sigmoid" or "softmax" if the last layer ends in it."""
        return self._layers[-1].logits_activation if self._layers else None

    def forward(
        self,
        x: Any,
        mode: Mode,
        logits: bool = False,
        mask: Array | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> tuple[Value, Backprop]:
        """Run all layers on a checked batch.

        Layers below the first one that learns keep nothing, and that one skips the gradient of its input, unless
        mode.input_gradient asks for it.

        Args:    logits: leave the last layer's sigmoid or softmax out; mask (B, T): True = a real step, the others do
                 not run; start: begin with this layer, x is its input; stop: end before this one.
        Returns: outputs (a Sequence if they have steps) and backprop(d_outputs, gradients).
        """
        wants_x = mode.keep and mode.input_gradient
        value = as_value(x, mask, share=not wants_x) if isinstance(x, np.ndarray) else x
        if isinstance(value, Sequence):
            mask = None  # it has it
        lowest = 0 if wants_x else self._lowest_learning()
        steps: list[tuple[Backprop, np.dtype[Any]]] = []
        last = len(self._layers) - 1
        for i in range(start, last + 1 if stop is None else stop):
            layer = self._layers[i]
            keep = mode.keep and i >= lowest
            inner = Mode(mode.training, keep, mode.random, input_gradient=wants_x or i > lowest)
            run = layer.forward_logits if logits and i == last else layer.forward
            taken = cast(value, layer.dtype)
            value, back = run(taken, inner)
            if mask is not None and isinstance(value, Sequence):  # ids have become vectors
                value, mask = value.masked(mask), None
            report("layer", layer, x=taken, y=value)
            if keep:
                steps.append((back, layer.dtype))
            if not self._padding_seen and isinstance(layer, Embedding):
                self._look_for_padding(i, value)
        y = value

        def backprop(d_y: Any, gradients: Gradients) -> Any:
            for back, dtype in reversed(steps):
                d_y = back(cast(d_y, dtype), gradients)
            return d_y.reshape(x.shape) if wants_x and isinstance(x, np.ndarray) and d_y is not None else d_y

        return y, backprop if mode.keep else no_backprop

    def _lowest_learning(self) -> int:
        """The first layer with a weight that learns; the number of layers if there is none."""
        for i, layer in enumerate(self._layers):
            for parameter in layer.weights:
                if parameter.trainable:
                    return i
        return len(self._layers)

    def _attempt(self, batch: Data, mode: Mode, gradients: Gradients) -> Attempt:
        """Where a recurrent layer, a dense one and cross-entropy come last, they go forward and back at once."""
        lowest, below = self._lowest_learning(), len(self._layers) - 2
        head = self._head(batch) if lowest <= below else None  # it goes back at least through the recurrent layer
        if head is None:
            return super()._attempt(batch, mode, gradients)
        recurrent, dense = self._layers[-2:]
        assert isinstance(recurrent, Recurrent) and isinstance(dense, Dense)
        value, back_below = self.forward(batch.x, mode, mask=batch.mask, stop=below)
        inner = Mode(mode.training, mode.keep, mode.random, input_gradient=lowest < below)
        first = self._layers[0]  # if nothing below reads d_x, it need not be there yet
        later = below == 0 or (below == 1 and first.passes_gradients_on and first.dtype == recurrent.dtype)
        ran = recurrent.forward_to(head, cast(value, recurrent.dtype), inner, gradients, later)
        if head.learns:
            gradients.add(dense.kernel, ran.d_kernel)
            if dense.bias is not None:
                gradients.add(dense.bias, ran.d_bias)
        out = Output(ran.logits, None, None, no_backprop)
        return Attempt(ran.loss, out, lambda: back_below(ran.d_x, gradients) if inner.input_gradient else None)

    def _head(self, batch: Data) -> Head | None:
        """What stands above a recurrent layer, if these two come last and the engine can run it row by row."""
        if not self._logits or type(self).forward is not Sequential.forward or watched():
            return None
        recurrent, dense = self._layers[-2:]
        if not isinstance(recurrent, Recurrent) or recurrent.return_sequences or type(dense) is not Dense:
            return None
        kind = type(recurrent)  # somebody's own may run otherwise
        plain = kind.forward is Recurrent.forward and kind.run is Recurrent.run and recurrent.dtype == dense.dtype
        if not plain or dense.kernel.size > LARGEST_HEAD:
            return None
        assert self.loss is not None and isinstance(batch.y, np.ndarray)
        asked = self.loss.of_engine(batch.y)
        if asked is None or batch.y.shape != (len(batch.x), dense.units) or batch.y.dtype != dense.dtype:
            return None
        labels, softmax = asked
        weights = losses.shares((len(labels),), dense.dtype, batch.weight, None, self.loss.reduction)
        kernel, bias = dense.kernel, dense.bias
        return Head(
            kernel.value, None if bias is None else bias.value, labels, softmax, weights, learns=kernel.trainable
        )

    def __call__(self, x: Any, training: bool = False, mask: Any = None) -> Any:
        """Outputs for one batch, as an array.

        Args: training: True switches dropout on; mask (B, T) bool, True = keep, for inputs with time steps.
        """
        batch = Data(self._inputs(x, "x")).whole()
        if mask is not None:
            if isinstance(batch.x, np.ndarray):
                check_mask(batch.x, mask, self.label)
            batch = replace(batch, mask=np.asarray(mask))
        y, _ = self.forward(batch.x, Mode(training=training, random=self.random), mask=batch.mask)
        return as_array(y)

    def trace(self, x: Any, words: Any = None, classes: list[str] | None = None) -> Any:
        """What the engine computes for an input: every gate and state of every step of every recurrent layer.

        Args:    x: one input (T,) of ids or (T, D), or a batch of them, also of unequal length; a text with words=a
                 fitted TextVectorizer; words: names for ids: a vocabulary, {id: word} or {word: id}, a function, or the
                 list of T tokens; classes: names of the outputs.
        Returns: a Trace; for several rows Traces, which run when asked for, a few rows at a time. The numbers are the
                 kernels' own: trace.output has the bits that predict gives that row, in any batch.
        Raises:  as predict.
        """
        from unrolled.inspect.traces import trace

        return trace(self, x, words, classes)

    @property
    def takes_ids(self) -> bool:
        """Whether the first layer reads ids."""
        return isinstance(self._first(), Embedding | WordDropout)

    @property
    def stateful(self) -> bool:
        """Whether a layer carries its states from batch to batch."""
        return any(layer.stateful for layer in self._everywhere() if isinstance(layer, Recurrent))

    def reset_states(self) -> None:
        """Forget the states that stateful layers carry from batch to batch."""
        for layer in self._everywhere():
            if isinstance(layer, Recurrent):
                layer.reset_states()

    def _look_for_padding(self, position: int, y: Sequence) -> None:
        """Warn once if a recurrent layer reads on through trailing zeros that nothing masks."""
        if not y.trail.tobytes().strip(b"\0"):  # all zero. At every step: NumPy's own code for it is not near
            return
        trailing = int(np.count_nonzero((y.trail > 0) & (y.trail < y.shape[1])))
        if not trailing:
            return
        for layer in self._layers[position + 1 :]:
            if isinstance(layer, Recurrent) and not layer.go_backwards and not layer.return_sequences:
                self._padding_seen = True
                warn_user(
                    f"{trailing} of {y.shape[0]} rows end in zeros, and {layer.label} runs on through them: its last "
                    "state has to survive the padding. Use pad_sequences(..., padding='pre'), or Embedding(..., "
                    "mask_zero=True).",
                    PaddingWarning,
                )
                return

    # ---- configuration and files

    def get_config(self) -> dict[str, Any]:
        """Name, layers and input shape, ready for JSON."""
        return {
            "name": self.name,
            "layers": [serialize(layer) for layer in self._layers],
            "input_shape": None if self._input is None else list(self._input),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Sequential:
        """A new model with fresh weights from what get_config returned."""
        model = cls([deserialize(layer) for layer in config["layers"]], name=config["name"])
        if config["input_shape"] is not None and model._layers:
            model._input = tuple(config["input_shape"])
            with suppress(UnknownAxisError):
                model._build(model._input)
        return model

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights, configuration, optimizer and random state to one safetensors file, whatever its name.

        `load_model` gives a model whose fit continues bit for bit.
        """
        saving.write_file(path, *self.contents())

    def contents(self, optimizer: bool = True) -> tuple[dict[str, Array], dict[str, Any]]:
        """What save writes: arrays and header. Without the optimizer, the model that is read is not compiled."""
        arrays = {f"weights/{p.path}": p.now() for p in self.weights}
        state = self.optimizer.get_state() if optimizer and self.optimizer is not None else {}
        arrays |= {f"optimizer/{k}": v for k, v in state.items() if isinstance(v, np.ndarray)}
        return arrays, {
            "kind": "model",
            "model": self.get_config(),
            "weights": [p.path for p in self.weights],
            "compile": self.get_compile_config() if optimizer else None,
            "optimizer": {k: v for k, v in state.items() if not isinstance(v, np.ndarray)},
            "random": self.random.bit_generator.state,
        }

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write the weights alone to one safetensors file."""
        self._require_built("save_weights")
        header = {"kind": "weights", "weights": [p.path for p in self.weights]}
        saving.write_file(path, {f"weights/{p.path}": p.now() for p in self.weights}, header)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Take the weights of a file that save or save_weights wrote; layers are matched by order, not by name.

        Raises: FileFormatError for a file of another kind; ShapeError if the weights are not those of this model.
        """
        arrays, header = saving.read_file(path)
        self.set_weights(_weights(path, arrays, header))

    def __repr__(self) -> str:
        return f"<{self.label}, {len(self._layers)} layers{'' if self.built else ', not built'}>"


def load_model(path: str | os.PathLike[str], compile: bool = True) -> Sequential:
    """The model that model.save wrote: weights, optimizer with its state, and random state.

    The global random stream is not touched.

    Args:   compile: False leaves the optimizer, loss and metrics out.

    Raises: FileNotFoundError; FileFormatError if the file is broken, truncated, of another kind or of a newer format.
    """
    return model_from(path, *saving.read_file(path), compile)


def model_from(
    path: str | os.PathLike[str], arrays: dict[str, Array], header: dict[str, Any], compile: bool = True
) -> Sequential:
    """The model of a file's arrays and header, which contents described; path is for errors."""
    if header.get("kind") != "model":
        raise FileFormatError(f'"{path}" holds weights alone. Make the model and call model.load_weights(path).')
    weights = _weights(path, arrays, header)
    try:
        with streams.using(np.random.Generator(np.random.PCG64(0))):
            model = Sequential.from_config(header["model"])
        if weights:
            model.set_weights(weights)
        if compile and header["compile"] is not None:
            model.compile_from_config(header["compile"])
            if model.optimizer is not None:
                state = {k.removeprefix("optimizer/"): v for k, v in arrays.items() if k.startswith("optimizer/")}
                model.optimizer.set_state({**header["optimizer"], **state}, model.parameters)
        model.random.bit_generator.state = header["random"]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(f'"{path}" does not describe a model that this version can make: {error}') from error
    return model


def _weights(path: str | os.PathLike[str], arrays: dict[str, Array], header: dict[str, Any]) -> list[Array]:
    try:
        return [arrays[f"weights/{name}"] for name in header["weights"]]
    except (KeyError, TypeError) as error:
        raise FileFormatError(f'"{path}" lacks weights that its header names: {error}. Save the model again.') from None
