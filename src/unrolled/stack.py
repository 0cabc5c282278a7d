"""Layers in a row: how they are put together, find their shapes and make their weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from unrolled.errors import NotBuiltError, ShapeError, UnknownAxisError
from unrolled.layers import InputLayer, Layer, TimeDistributed
from unrolled.layers.weights import Weighted, assign_all
from unrolled.parameters import Array, Parameter, Shape
from unrolled.summary import show_shape


class Stack(Weighted):
    """Layers in a row, built as soon as the input's shape is known: what Sequential is before it runs."""

    def __init__(self, layers: Iterable[Layer] | None, name: str) -> None:
        super().__init__()
        self.name = name
        self._layers: list[Layer] = []
        self._input: Shape | None = None
        if isinstance(layers, Layer):
            raise TypeError(
                f"{self.label}: expected a list of layers, got one layer. Write Sequential([{layers.name}])."
            )
        for layer in layers or ():
            self.add(layer)

    @property
    def label(self) -> str:
        """How errors call this model."""
        return f'Sequential "{self.name}"'

    # ---- layers

    @property
    def layers(self) -> list[Layer]:
        """The layers in order (a new list)."""
        return list(self._layers)

    def add(self, layer: Layer) -> None:
        """Put a layer at the end.

        Raises: TypeError if it is no layer; ValueError if its name is taken; ShapeError if it does not fit.
        """
        if not isinstance(layer, Layer):
            remedy = f" Write {layer.__name__}(...)." if isinstance(layer, type) else ""
            remedy = " Add its layers one by one." if isinstance(layer, Stack) else remedy
            raise TypeError(f"{self.label}: expected a layer, got {layer!r}.{remedy}")
        if isinstance(layer, InputLayer):
            if self._layers:
                raise ValueError(
                    f"{self.label}: expected Input as the first entry, got it after {self._layers[-1].label}."
                )
            self._input = layer.batch_input_shape
            return
        if any(have.name == layer.name for have in self._layers):
            raise ValueError(f'{self.label}: expected layers of different names, got "{layer.name}" twice. Set name=.')
        if not self._layers:
            self._take_input(layer)
        self._layers.append(layer)
        try:
            self._build(self._input)
        except UnknownAxisError:
            pass  # the data will tell
        except Exception:
            self._layers.pop()
            raise

    def _take_input(self, layer: Layer) -> None:
        if self._input is None:
            self._input = layer.default_input_shape()
        elif layer.batch_input_shape is None:
            layer.batch_input_shape = self._input

    def pop(self) -> Layer:
        """Take the last layer away and return it.

        Raises: ValueError if there is none.
        """
        if not self._layers:
            raise ValueError(f"{self.label}: has no layers to take away.")
        return self._layers.pop()

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of a name or index.

        Raises: ValueError naming the layers there are.
        """
        for i, layer in enumerate(self._layers):
            if name == layer.name or (name is None and index in (i, i - len(self._layers))):
                return layer
        names = ", ".join(layer.name for layer in self._layers) or "none"
        raise ValueError(f"{self.label}: there is no layer {name if name is not None else index!r}. Layers: {names}.")

    # ---- building

    @property
    def built(self) -> bool:
        """Whether all layers have their weights."""
        for layer in self._layers:  # asked at every step, as is float_type
            if not layer.built:
                return False
        return bool(self._layers)

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for inputs of this shape, batch axis included: build((None, 500)).

        Raises: ShapeError if a layer does not fit.
        """
        shape = self._input if input_shape is None else self._first().shape_argument("input_shape", input_shape)
        if shape is None:
            raise ShapeError(
                f"{self.label}: expected input_shape with the batch axis, for example build((None, 26, 8))."
            )
        self._input = shape
        self._build(shape)

    def _build(self, shape: Shape | None) -> None:
        for i, layer in enumerate(self._layers):
            if shape is None:
                return
            if i and len(shape) == 2 and (layer.input_rank == 3 or isinstance(layer, TimeDistributed)):
                raise ShapeError(
                    f"{self.label}: {layer.label} needs sequences (batch, time, features), and "
                    f"{self._layers[i - 1].label} gives {show_shape(shape)}.\n"
                    "Make the recurrent layer before it return_sequences=True, or put RepeatVector(n) between them."
                )
            layer.ensure_built(shape)
            shape = layer.compute_output_shape(shape)
            if isinstance(shape, list) or (shape and isinstance(shape[0], tuple)):
                raise ValueError(
                    f"{self.label}: {layer.label} returns {len(shape)} outputs, and a Sequential passes on one. "
                    "Use return_state=False and a merge_mode, or call the layer itself."
                )

    def build_from_data(self, x: Any) -> None:
        """Make the weights that are not there yet; the number of steps stays open where no layer needs it."""
        if self.built:
            return
        first = self._first()
        first.require_rank(x, first.input_rank)
        shape = (None, *np.shape(x)[1:])
        try:
            self._build((None, None, *shape[2:]) if len(shape) == 3 else shape)
        except UnknownAxisError:
            self._build(shape)
        self._input = first.input_shape

    def _everywhere(self) -> Iterator[Layer]:
        """All layers, and those inside them."""
        found = list(self._layers)
        while found:
            yield (layer := found.pop(0))
            found += layer.sublayers

    def _first(self) -> Layer:
        if not self._layers:
            raise NotBuiltError(f"{self.label}: has no layers. Add some, for example Dense(1, activation='sigmoid').")
        return self._layers[0]

    def check_input(self, x: Any) -> Array:
        """Inputs as the first layer wants them, or its error."""
        return self._first().check_input(x)

    def check_batch(self, x: Any) -> Array:
        """The same for a batch that is passed forward at once."""
        return self._first().check_batch(x)

    @property
    def input_shape(self) -> Shape | None:
        """Shape of the input, batch axis included; None if not known yet."""
        return self._input

    @property
    def output_shape(self) -> Any:
        """Shape of the output, batch axis included; None if not known yet."""
        return self._layers[-1].output_shape if self._layers else None

    # ---- weights

    @property
    def weights(self) -> list[Parameter]:
        """All parameters in the order of the layers."""
        return [p for layer in self._layers for p in layer.weights]

    @property
    def float_type(self) -> np.dtype[Any]:
        """Float type of the first parameter."""
        for layer in self._layers:
            for parameter in layer.weights:
                return parameter.dtype
        return np.dtype(np.float32)

    @property
    def trainable(self) -> bool:
        """Whether any layer is trainable; setting it sets all."""
        return any(layer.trainable for layer in self._layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self._layers:
            layer.trainable = value

    def set_weights(self, weights: Iterable[Any]) -> None:
        """Overwrite all weights; nothing is written unless all arrays fit.

        Raises: ShapeError listing the expected shapes; NotBuiltError before there are weights.
        """
        self._require_built("set_weights")
        assign_all(self.label, self.weights, weights)

    def count_params(self) -> int:
        """Number of entries of all weights.

        Raises: NotBuiltError before there are weights.
        """
        self._require_built("count_params")
        return super().count_params()

    def _require_built(self, what: str) -> None:
        if not self.built:
            raise NotBuiltError(
                f"{self.label}: {what} needs weights, and the input's shape is not known yet. Give the first layer an "
                "input_shape, call build(input_shape), or fit."
            )
