"""A model of one dense layer in NumPy, to test training apart from the layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled import losses
from unrolled.batch import Sequence
from unrolled.parameters import Array, Gradients, Mode, Parameter
from unrolled.training import Trainable


class SmallModel(Trainable):
    """y = activation(x W + b) for x (B, D), or for each step of x (B, T, D) with a mask where x is all zeros."""

    def __init__(self, units: int = 1, activation: str | None = "sigmoid", dtype: Any = "float32", masks: bool = False):
        super().__init__()
        self.name = "small"
        self.units, self.activation, self.dtype, self.masks = units, activation, np.dtype(dtype), masks
        self.logits_activation = activation
        self.random = np.random.default_rng(7)
        self._parameters: list[Parameter] = []
        self._rank = 2

    @property
    def parameters(self) -> list[Parameter]:
        return self._parameters

    @property
    def output_shape(self) -> Any:
        return (None, self.units) if self._rank == 2 else (None, None, self.units)

    def build_from_data(self, x: Any) -> None:
        if not self._parameters:
            self._rank = x.ndim
            kernel = np.random.default_rng(3).normal(size=(x.shape[-1], self.units)).astype(self.dtype)
            self._parameters = [
                Parameter("kernel", kernel, path="small/kernel"),
                Parameter("bias", np.zeros(self.units, self.dtype), path="small/bias"),
            ]

    def check_input(self, x: Any) -> Array:
        return np.ascontiguousarray(x, self.dtype)

    def forward(self, x: Any, mode: Mode, logits: bool = False) -> Any:
        kernel, bias = self._parameters
        flat = x.reshape(-1, x.shape[-1])
        z = flat @ kernel.value + bias.value
        y = z if logits or self.activation is None else losses.probabilities(z, self.activation)

        def backprop(d_y: Array, gradients: Gradients) -> None:
            d_z = d_y
            if not logits and self.activation == "softmax":
                d_z = y * (d_y - (d_y * y).sum(axis=-1, keepdims=True))
            elif not logits and self.activation == "sigmoid":
                d_z = d_y * y * (1 - y)
            gradients.add(kernel, flat.T @ d_z)
            gradients.add(bias, d_z.sum(axis=0))

        if x.ndim == 2:
            return y, backprop
        index = np.arange(len(flat), dtype=np.int32).reshape(x.shape[:2])
        return Sequence(table=y, index=index, mask=x.any(axis=-1) if self.masks else None), backprop

    def get_weights(self) -> list[Array]:
        return [p.numpy() for p in self.parameters]

    def set_weights(self, weights: list[Array]) -> None:
        for parameter, value in zip(self.parameters, weights, strict=True):
            parameter.assign(value)


# Rows of 4 steps with 2 features; steps of zeros are masked.
MASKED_X = np.array(
    [
        [[0.75, -1.75], [-0.25, -0.25], [1.75, -0.25], [0.75, -0.75]],
        [[0.25, 1.75], [1.25, 2.25], [2.25, -1.25], [0.0, 0.0]],
        [[1.25, 1.75], [1.75, 2.25], [0.0, 0.0], [0.0, 0.0]],
        [[-1.25, 0.75], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]],
        [[2.25, 0.25], [-0.25, -1.75], [-0.25, 0.75], [-1.75, -0.75]],
        [[-0.25, 2.25], [-1.25, -0.25], [0.0, 0.0], [0.0, 0.0]],
    ]
)
MASKED_Y = np.array([[1, 2, 0, 1], [1, 1, 0, 2], [0, 2, 2, 0], [2, 0, 0, 0], [1, 1, 2, 0], [0, 1, 0, 1]])

# Twenty rows for one sigmoid.
X = (np.arange(40).reshape(20, 2) % 7 - 3) / 3
Y = (np.arange(20) % 3 == 0).astype(int)


def binary_model(**compiled):
    model = SmallModel()
    model.build_from_data(X)
    model.set_weights([np.array([[0.4], [-0.7]]), np.zeros(1)])
    model.compile(**{"optimizer": "rmsprop", "loss": "binary_crossentropy", "metrics": ["acc", "mse"]} | compiled)
    return model
