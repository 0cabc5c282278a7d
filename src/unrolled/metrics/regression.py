"""Errors of predicted numbers, and losses watched as metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unrolled import losses
from unrolled.metrics.base import Metric, mean_of_last, with_last_axis
from unrolled.parameters import Array


class MeanSquaredError(Metric):
    """Mean of (y - t)^2."""

    default_name = "mean_squared_error"
    better = "min"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """See Metric.values."""
        return mean_of_last(np.square(y_pred - with_last_axis(y_true, y_pred)))


class RootMeanSquaredError(Metric):
    """Square root of the mean of (y - t)^2 over everything seen."""

    default_name = "root_mean_squared_error"
    better = "min"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """See Metric.values."""
        return mean_of_last(np.square(y_pred - with_last_axis(y_true, y_pred)))

    def result(self) -> float:
        """The root of the mean so far."""
        return float(np.sqrt(super().result()))


class MeanAbsoluteError(Metric):
    """Mean of |y - t|."""

    default_name = "mean_absolute_error"
    better = "min"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """See Metric.values."""
        return mean_of_last(np.abs(y_pred - with_last_axis(y_true, y_pred)))


class LossMetric(Metric):
    """A loss, or a function (y_true, y_pred) -> values, watched as a metric."""

    def __init__(self, function: losses.Loss | Callable[[Array, Array], Any], name: str) -> None:
        super().__init__(name)
        self.function = function
        self.better = "min" if isinstance(function, losses.Loss) else None

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """See Metric.values."""
        if isinstance(self.function, losses.Loss):
            labels = self.function.prepare(y_true, (None, *y_pred.shape[1:]), y_pred.dtype, f"metric {self.name}")
            return self.function.compute(labels, y_pred, self.function.from_logits, gradient=False)[0]
        values = np.asarray(self.function(y_true, y_pred), np.float64)
        return mean_of_last(values) if values.ndim == y_pred.ndim else values
