"""Layers that draw in training: dropout of entries, of features and of words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from unrolled import random as streams
from unrolled.batch import Sequence, Value, sum_rows
from unrolled.errors import ShapeError
from unrolled.layers.base import Layer
from unrolled.layers.values import numeric_array, require_data
from unrolled.parameters import Array, Backprop, Gradients, Mode, Shape


def draw_scale(shape: tuple[int, ...], rate: float, dtype: np.dtype[Any], mode: Mode) -> Array:
    """Zeros with probability `rate`, 1 / (1 - rate) elsewhere: what inverted dropout multiplies by."""
    random = mode.random or streams.generator()
    keep = random.random(shape, dtype=dtype.type) >= rate
    scale: Array = keep * dtype.type(0 if rate == 1 else 1 / (1 - rate))
    return scale


class Dropout(Layer):
    """In training, zero each entry with probability `rate` and scale the others by 1 / (1 - rate); else nothing.

    Args:
        rate: 0 to 1.
        noise_shape: shape of the drawn mask, e.g. (None, 1, None) to drop whole features; None: one draw an entry.
    Source:  Srivastava et al. 2014.
    """

    def __init__(self, rate: float, noise_shape: Iterable[int | None] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = self.fraction("rate", rate)
        self.noise_shape = None if noise_shape is None else self.shape_argument("noise_shape", noise_shape)

    @property
    def draws(self) -> bool:
        """Equal rows may come out differently in training."""
        return self.rate > 0

    def scale(self, shape: tuple[int, ...], mode: Mode) -> Array:
        """Zeros and 1 / (1 - rate), of a shape that broadcasts to `shape`."""
        noise = self.noise_shape or shape
        if len(noise) != len(shape):
            raise ShapeError(f"{self.label}: expected noise_shape with {len(shape)} axes as x {shape}, got {noise}.")
        drawn = tuple(full if axis is None else axis for axis, full in zip(noise, shape, strict=True))
        return draw_scale(drawn, self.rate, self.dtype, mode)

    def forward(self, x: Value, mode: Mode) -> tuple[Value, Backprop]:
        """Drop entries in training; a Sequence gets a row for every position first."""
        if not (mode.training and self.rate > 0):
            return x, lambda d_y, gradients: d_y
        scale = self.scale(x.shape, mode)
        if not isinstance(x, Sequence):
            return x * scale, lambda d_y, gradients: d_y * scale
        scale = np.broadcast_to(scale, x.shape).reshape(-1, x.shape[2])
        y = x.expand()

        def backprop(d_y: Array, gradients: Gradients) -> Array:
            return sum_rows(d_y * scale, x.index.reshape(-1), x.n)

        return y.with_values(y.table * scale), backprop

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        noise = None if self.noise_shape is None else list(self.noise_shape)
        return super().get_config() | {"rate": self.rate, "noise_shape": noise}


class SpatialDropout1D(Dropout):
    """Dropout of whole features: one draw a row and feature, the same for all its steps.

    Args:    rate: 0 to 1.
    Source:  Tompson et al. 2015.
    """

    input_rank = 3

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(rate, noise_shape=(None, 1, None), **kwargs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["noise_shape"]
        return config


class WordDropout(Layer):
    """In training, put the id of unknown words in the place of each word with probability `rate`; else nothing.

    Stands before the Embedding, which goes on to compute each distinct word once. Not in Keras.

        Sequential([WordDropout(0.1), Embedding(10000, 32, mask_zero=True), LSTM(32), Dense(1, activation="sigmoid")])

    Args:    rate: 0 to 1; token: the id of unknown words, 1; 0, padding, is never replaced.
    Input:   x (B, T) integers >= 0. Output: the same with some of them `token`.
    Source:  Bowman et al. 2016, "Generating sentences from a continuous space".
    """

    input_rank = 2

    def __init__(self, rate: float, token: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = self.fraction("rate", rate)
        if isinstance(token, bool) or not isinstance(token, int | np.integer) or token < 0:
            raise ValueError(f"{self.label}: expected token to be an id, an integer >= 0, got {token!r}.")
        self.token = int(token)

    @property
    def draws(self) -> bool:
        """Equal ids may come out differently in training."""
        return self.rate > 0

    def default_input_shape(self) -> Shape:
        """(None, T): an Embedding behind it can be built before any data."""
        return self.batch_input_shape or (None, None)

    def check_input(self, x: Any) -> Array:
        """A user's ids as they are, checked by the Embedding; here only their axes.

        Raises: TypeError or ShapeError naming this layer.
        """
        array = numeric_array(self.label, x)
        self.require_rank(array, 2)
        require_data(self.label, array)
        self.require_declared(array)
        whole = array.astype(np.int32, copy=False)
        if whole is not array and not np.array_equal(whole, array):
            raise TypeError(f"{self.label}: expected whole numbers (token ids) in x. Put it before an Embedding.")
        return whole

    def forward(self, x: Array, mode: Mode) -> tuple[Array, Backprop]:
        """Replace some ids in training."""
        if not (mode.training and self.rate > 0):
            return x, lambda d_y, gradients: None
        random = mode.random or streams.generator()
        dropped = (random.random(x.shape, dtype=np.float32) < self.rate) & (x != 0)
        return np.where(dropped, x.dtype.type(self.token), x), lambda d_y, gradients: None

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"rate": self.rate, "token": self.token}
