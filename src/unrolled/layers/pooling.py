"""One vector from all steps of a sequence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from unrolled.batch import Sequence, sum_rows
from unrolled.layers.base import Layer
from unrolled.parameters import Array, Backprop, Gradients, Mode, Shape, no_backprop

BLOCK = 1 << 18


def row_blocks(x: Sequence) -> Iterator[slice]:
    """Slices of rows whose padded values are small enough to stay in cache."""
    batch, steps, features = x.shape
    size = max(1, BLOCK // max(1, steps * features))
    for start in range(0, batch, size):
        yield slice(start, min(start + size, batch))


def max_over_time(x: Sequence, mode: Mode) -> tuple[Array, Backprop]:
    """The largest value of each feature over the kept steps (B, F); zeros for a row without any.

    Equal maxima share the gradient evenly, as in TensorFlow.
    """
    values, index, mask = x.values, x.index, x.mask
    batch, _, features = x.shape
    y = np.empty((batch, features), x.dtype)
    for rows in row_blocks(x):
        block = values[index[rows]]
        if mask is not None:
            block[~mask[rows]] = -np.inf
        y[rows] = block.max(axis=1)
    if mask is not None:
        y[~mask.any(axis=1)] = 0

    def backprop(d_y: Array, gradients: Gradients) -> Array:
        entries, shares = [], []
        for rows in row_blocks(x):
            hit = values[index[rows]] == y[rows][:, None]
            if mask is not None:
                hit &= mask[rows][..., None]
            share = d_y[rows] / np.maximum(hit.sum(axis=1), 1)
            row, step, feature = np.nonzero(hit)
            entries.append(index[rows][row, step].astype(np.int64) * features + feature)
            shares.append(share[row, feature])
        sums = np.bincount(np.concatenate(entries), np.concatenate(shares), minlength=x.n * features)
        return sums.astype(d_y.dtype).reshape(x.n, features)

    return y, backprop if mode.keep else no_backprop


def mean_over_time(x: Sequence, mode: Mode) -> tuple[Array, Backprop]:
    """The mean of each feature over the kept steps (B, F); zeros for a row without any."""
    values, index = x.values, x.index
    kept = np.ones(index.shape, x.dtype) if x.mask is None else x.mask.astype(x.dtype)
    weight = kept / np.maximum(kept.sum(axis=1, keepdims=True), 1)
    y = np.concatenate([(weight[rows, None] @ values[index[rows]])[:, 0] for rows in row_blocks(x)])

    def backprop(d_y: Array, gradients: Gradients) -> Array:
        spread = weight[..., None] * d_y[:, None]
        return sum_rows(spread.reshape(-1, x.shape[2]), index.reshape(-1), x.n)

    return y, backprop if mode.keep else no_backprop


class _GlobalPooling1D(Layer):
    """What both poolings share: shapes and keepdims."""

    input_rank = 3

    def __init__(self, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keepdims = bool(keepdims)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, T, F) to (B, F), or (B, 1, F) with keepdims."""
        return (input_shape[0], 1, input_shape[2]) if self.keepdims else (input_shape[0], input_shape[2])

    def pool(self, x: Sequence, mode: Mode) -> tuple[Array, Backprop]:
        """(B, F) and backprop from it to the values of x."""
        raise NotImplementedError

    def forward(self, x: Sequence, mode: Mode) -> tuple[Array | Sequence, Backprop]:
        """Pool over the kept steps."""
        self.require_rank(x, 3)
        y, backprop = self.pool(x, mode)
        if not self.keepdims:
            return y, backprop
        return Sequence(table=y, index=np.arange(len(y), dtype=np.int32)[:, None]), backprop

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"keepdims": self.keepdims}


class GlobalMaxPooling1D(_GlobalPooling1D):
    """The largest value of each feature over all steps that are not masked.

    Keras ignores the mask here; a padded step then wins over negative values. A row without any step gives zeros.

    Args:   keepdims: True keeps the time axis with size 1.
    Input:  (B, T, F). Output: (B, F).
    """

    def pool(self, x: Sequence, mode: Mode) -> tuple[Array, Backprop]:
        """See max_over_time."""
        return max_over_time(x, mode)


class GlobalAveragePooling1D(_GlobalPooling1D):
    """The mean of each feature over all steps that are not masked; a row without any step gives zeros.

    Args:   keepdims: True keeps the time axis with size 1.
    Input:  (B, T, F). Output: (B, F).
    """

    def pool(self, x: Sequence, mode: Mode) -> tuple[Array, Backprop]:
        """See mean_over_time."""
        return mean_over_time(x, mode)
