"""One vector from all steps of a sequence."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from unrolled import _native
from unrolled.batch import Sequence
from unrolled.layers.base import Layer
from unrolled.parameters import Array, Backprop, Gradients, Mode, Shape, no_backprop


class _GlobalPooling1D(Layer):
    """What the poolings share: shapes, keepdims and the one native pass over the kept steps."""

    input_rank = 3
    largest: ClassVar[bool] = False
    mean: ClassVar[bool] = False

    def __init__(self, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keepdims = bool(keepdims)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, T, F) to (B, F) (2F where both are wanted), or (B, 1, F) with keepdims."""
        features = input_shape[2]
        width = None if features is None else features * (self.largest + self.mean)
        return (input_shape[0], 1, width) if self.keepdims else (input_shape[0], width)

    def forward(self, x: Sequence, mode: Mode) -> tuple[Array | Sequence, Backprop]:
        """Pool over the kept steps."""
        self.require_rank(x, 3)
        batch, steps, features = x.shape
        mask = None if x.mask is None else np.ascontiguousarray(x.mask)
        index = np.ascontiguousarray(x.index)
        largest, ties, mean = _native.pool(x.table, x.rows, index, mask, self.largest, self.mean)
        y = np.concatenate([largest, mean], axis=1) if self.largest and self.mean else largest if self.largest else mean

        def backprop(d_y: Array, gradients: Gradients) -> Array:
            d_y = d_y.reshape(batch, -1)
            d_largest = d_mean = None
            if self.largest:
                d_largest = d_y[:, :features] / ties
            if self.mean:
                kept = np.full((batch, 1), steps) if mask is None else mask.sum(axis=1, keepdims=True)
                d_mean = d_y[:, -features:] / np.maximum(kept, 1).astype(x.dtype)
            return _native.pool_backward(
                x.table, x.rows, index, mask, largest if self.largest else None, d_largest, d_mean
            )

        back = backprop if mode.keep else no_backprop
        if not self.keepdims:
            return y, back
        return Sequence(table=y, index=np.arange(len(y), dtype=np.int32)[:, None]), back

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"keepdims": self.keepdims}


class GlobalMaxPooling1D(_GlobalPooling1D):
    """The largest value of each feature over all steps that are not masked.

    Keras ignores the mask here; a padded step then wins over negative values. A row without any step gives zeros. Equal
    largest values share the gradient evenly, as in TensorFlow.

    Args:   keepdims: True keeps the time axis with size 1.
    Input:  (B, T, F). Output: (B, F).
    """

    largest = True


class GlobalAveragePooling1D(_GlobalPooling1D):
    """The mean of each feature over all steps that are not masked; a row without any step gives zeros.

    Args:   keepdims: True keeps the time axis with size 1.
    Input:  (B, T, F). Output: (B, F).
    """

    mean = True


class GlobalMaxAveragePooling1D(_GlobalPooling1D):
    """GlobalMaxPooling1D and GlobalAveragePooling1D side by side, in one pass. Not in Keras.

    Args:   keepdims: True keeps the time axis with size 1.
    Input:  (B, T, F). Output: (B, 2F): the largest values, then the means.
    Source: "concat pooling" without the last state, Howard & Ruder 2018.
    """

    largest = mean = True
