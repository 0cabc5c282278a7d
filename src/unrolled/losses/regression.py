"""Losses of predicted numbers."""

from __future__ import annotations

import numpy as np

from unrolled.losses.base import Loss
from unrolled.parameters import Array


class MeanSquaredError(Loss):
    """Mean over the last axis of (y - t)^2;  d_y = 2 (y - t) / K. Labels have the output's shape."""

    default_name = "mean_squared_error"

    def compute(self, y_true: Array, y: Array, logits: bool, gradient: bool = True) -> tuple[Array, Array | None]:
        """Values and their gradient; see Loss.compute."""
        error = y - y_true
        return (error * error).mean(axis=-1), error * y.dtype.type(2 / y.shape[-1]) if gradient else None


class MeanAbsoluteError(Loss):
    """Mean over the last axis of |y - t|;  d_y = sign(y - t) / K. Labels have the output's shape."""

    default_name = "mean_absolute_error"

    def compute(self, y_true: Array, y: Array, logits: bool, gradient: bool = True) -> tuple[Array, Array | None]:
        """Values and their gradient; see Loss.compute."""
        error = y - y_true
        return np.abs(error).mean(axis=-1), np.sign(error) / y.dtype.type(y.shape[-1]) if gradient else None
