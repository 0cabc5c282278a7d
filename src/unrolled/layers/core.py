"""Dense and the layers without weights: activation, changes of shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from unrolled import activations, initializers
from unrolled.batch import Sequence, Value
from unrolled.engine import dense, dense_backward
from unrolled.errors import ShapeError
from unrolled.layers.base import Layer
from unrolled.layers.dropout import Dropout, SpatialDropout1D  # noqa: F401  Keras' old texts look for them here
from unrolled.layers.values import distinct_values, like, positions
from unrolled.layers.watch import report, watched
from unrolled.parameters import Array, Backprop, Gradients, Mode, Shape, no_backprop

LOGITS = ("sigmoid", "softmax")


class InputLayer(Layer):
    """The shape of one sample, as the first entry of a Sequential; it computes nothing and is not listed."""

    def __init__(
        self, input_shape: Any = None, batch_size: int | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if input_shape is not None:
            self.batch_input_shape = (batch_size, *self.shape_argument("shape", input_shape))
        elif self.batch_input_shape is None:
            raise ValueError(f"{self.label}: expected shape, for example Input(shape=(None, 8)).")

    def forward(self, x: Value, mode: Mode) -> tuple[Value, Backprop]:
        """X itself."""
        return x, lambda d_y, gradients: d_y


def Input(  # noqa: N802  Keras' name
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    name: str | None = None,
    batch_shape: Any = None,
) -> InputLayer:
    """The shape of one sample, first in a Sequential: Sequential([Input(shape=(None, 8)), LSTM(32), ...]).

    Args: shape: without the batch axis, None for an axis that may vary; batch_shape: with it. dtype is accepted and not
          needed: ids and floats are told apart by the layer that reads them.
    """
    return InputLayer(shape, batch_size, dtype, name=name, batch_input_shape=batch_shape)


class Dense(Layer):
    """A dense map of the last axis.

    y = activation(x W + b)

    Args:
        units: size of the output, an integer > 0.
        activation: a name of unrolled.activations; None is linear.
        use_bias: True adds b.
        kernel_initializer, bias_initializer: names or objects of unrolled.initializers.
    Input:   x (B, ..., D), or a sequence: then every step is mapped, equal steps once.
    Output:  (B, ..., units)
    Raises:  ShapeError if the last axis is not the D seen at build.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = self.positive_integer("units", units)
        self.activation = self.named("activation", activations.get, activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = self.named("kernel_initializer", initializers.get, kernel_initializer)
        self.bias_initializer = self.named("bias_initializer", initializers.get, bias_initializer)
        self.logits_activation = self.activation.name if self.activation.name in LOGITS else None

    def build(self, input_shape: Shape) -> None:
        """kernel (D, units), bias (units,)."""
        features = self.known_features(input_shape)
        self.kernel = self.add_weight("kernel", (features, self.units), self.kernel_initializer)
        self.bias = self.add_weight("bias", (self.units,), self.bias_initializer) if self.use_bias else None
        super().build(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(..., D) to (..., units)."""
        return (*input_shape[:-1], self.units)

    def forward_logits(self, x: Value, mode: Mode) -> tuple[Value, Backprop]:
        """X W + b."""
        kernel, bias = self.kernel, self.bias
        self.require_features(x, kernel.shape[0])
        values = distinct_values(x)
        z = dense(values, kernel.value, None if bias is None else bias.value)
        report("logits", self, x=x, z=z)

        def backprop(d_z: Array, gradients: Gradients) -> Array | None:
            if watched():
                report("dense back", self, x=values, d_z=d_z.reshape(-1, self.units))
            learns = kernel.trainable
            d_kernel, d_bias, d_x = dense_backward(values, kernel.value, d_z, learns, mode.input_gradient)
            if learns:
                gradients.add(kernel, d_kernel)
                if bias is not None:
                    gradients.add(bias, d_bias)
            return d_x

        return like(x, z), backprop if mode.keep else no_backprop

    def forward(self, x: Value, mode: Mode) -> tuple[Value, Backprop]:
        """activation(x W + b)."""
        z, back = self.forward_logits(x, mode)
        return activate(self.activation, z, back, mode)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {
            "units": self.units,
            "activation": self.activation.name,
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
        }


def activate(f: activations.Activation, z: Value, back: Backprop, mode: Mode) -> tuple[Value, Backprop]:
    """f(z) after a map whose backprop is `back`."""
    if f is activations.linear:
        return z, back
    y = f.forward(distinct_values(z))

    def backprop(d_y: Array, gradients: Gradients) -> Any:
        return back(f.backward(y, d_y), gradients)

    return like(z, y), backprop if mode.keep else no_backprop


class Activation(Layer):
    """An activation function as a layer.

    Args: activation: a name of unrolled.activations; softmax runs over the last axis.
    """

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = self.named("activation", activations.get, activation)
        self.logits_activation = self.activation.name if self.activation.name in LOGITS else None

    def forward_logits(self, x: Value, mode: Mode) -> tuple[Value, Backprop]:
        """X itself."""
        return x, lambda d_y, gradients: d_y

    def forward(self, x: Value, mode: Mode) -> tuple[Value, Backprop]:
        """activation(x)."""
        return activate(self.activation, x, lambda d_y, gradients: d_y, mode)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"activation": self.activation.name}


class Reshape(Layer):
    """The same numbers in another shape.

    Args:    target_shape: without the batch axis; one entry may be -1.
    Raises:  ShapeError if the sizes do not fit.
    """

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        axes = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)
        if sum(axis == -1 for axis in axes) > 1:
            raise ValueError(f"{self.label}: expected at most one -1 in target_shape, got {axes}.")
        self.shape_argument("target_shape", [1 if axis == -1 else axis for axis in axes])
        self.target_shape = tuple(int(axis) for axis in axes)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The target with -1 worked out; None where the input's size is open."""
        known = math.prod(axis for axis in self.target_shape if axis != -1)
        if None in input_shape[1:]:
            return (input_shape[0], *(None if axis == -1 else axis for axis in self.target_shape))
        size = math.prod(axis for axis in input_shape[1:] if axis is not None)
        if size % known or (-1 not in self.target_shape and size != known):
            raise ShapeError(
                f"{self.label}: expected rows that fit target_shape {self.target_shape}, got {size} numbers a row, "
                f"shape {input_shape[1:]}."
            )
        return (input_shape[0], *(size // known if axis == -1 else axis for axis in self.target_shape))

    def forward(self, x: Value, mode: Mode) -> tuple[Value, Backprop]:
        """Reshape every row."""
        array = x.to_array() if isinstance(x, Sequence) else x
        self.compute_output_shape(array.shape)  # checks that it fits
        y = array.reshape((len(array), *self.target_shape))

        def backprop(d_y: Array, gradients: Gradients) -> Array:
            d_array = d_y.reshape(array.shape)
            return x.collect(d_array) if isinstance(x, Sequence) else d_array

        return (positions(y) if y.ndim == 3 else y), backprop

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"target_shape": list(self.target_shape)}


class Flatten(Reshape):
    """All axes but the first joined into one: (B, T, F) to (B, T*F)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__((-1,), **kwargs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["target_shape"]
        return config


class RepeatVector(Layer):
    """A vector as n equal steps: (B, F) to (B, n, F). A recurrent layer behind it projects every vector once.

    Args: n: number of steps, an integer > 0.
    """

    input_rank = 2

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = self.positive_integer("n", n)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, F) to (B, n, F)."""
        return (input_shape[0], self.n, input_shape[1])

    def forward(self, x: Array, mode: Mode) -> tuple[Sequence, Backprop]:
        """One distinct row for each vector."""
        self.require_rank(x, 2)
        index = np.repeat(np.arange(len(x), dtype=np.int32)[:, None], self.n, axis=1)
        return Sequence(table=x, index=index), lambda d_y, gradients: d_y

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"n": self.n}


class Masking(Layer):
    """Mask the steps whose features all equal mask_value; layers behind it skip them.

    Args: mask_value: number, default 0.
    """

    input_rank = 3

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(mask_value, bool) or not isinstance(mask_value, int | float | np.number):
            raise TypeError(f"{self.label}: expected mask_value to be a number, got {mask_value!r}.")
        self.mask_value = float(mask_value)

    def forward(self, x: Sequence, mode: Mode) -> tuple[Sequence, Backprop]:
        """The same steps, zeros and a mask where they equal mask_value."""
        self.require_rank(x, 3)
        values = x.values
        keep = (values != self.mask_value).any(axis=1)
        mask = keep[x.index] if x.mask is None else keep[x.index] & x.mask
        y = Sequence(table=values * keep[:, None], index=x.index, mask=mask)
        return y, lambda d_y, gradients: d_y * keep[:, None]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"mask_value": self.mask_value}
