"""Accuracy in its kinds."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.metrics.base import Metric, mean_of_last, with_last_axis
from unrolled.parameters import Array


class BinaryAccuracy(Metric):
    """How often (y > threshold) equals the label; the mean over K outputs counts as one sample's value."""

    default_name = "binary_accuracy"
    better = "max"

    def __init__(self, name: str | None = None, threshold: float = 0.5) -> None:
        super().__init__(name)
        if not 0 < threshold < 1:
            raise ValueError(f"{self.name}: expected threshold between 0 and 1, got {threshold!r}.")
        self.threshold = threshold

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """See Metric.values."""
        return mean_of_last(with_last_axis(y_true, y_pred) == (y_pred > self.threshold))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this metric again."""
        return super().get_config() | {"threshold": self.threshold}


class CategoricalAccuracy(Metric):
    """How often the largest output is at the largest label (one-hot labels)."""

    default_name = "categorical_accuracy"
    better = "max"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """See Metric.values."""
        return np.asarray(y_true.argmax(axis=-1) == y_pred.argmax(axis=-1))


class SparseCategoricalAccuracy(Metric):
    """How often the largest output is at the label's class number."""

    default_name = "sparse_categorical_accuracy"
    better = "max"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """See Metric.values."""
        labels = y_true[..., 0] if y_true.ndim == y_pred.ndim else y_true
        return np.asarray(labels == y_pred.argmax(axis=-1))


class Accuracy(Metric):
    """How often y equals the label exactly; compile(metrics=["accuracy"]) means one of the three above."""

    default_name = "accuracy"
    better = "max"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """See Metric.values."""
        return mean_of_last(with_last_axis(y_true, y_pred) == y_pred)


class _TopK(Metric):
    """What the two kinds of top-k accuracy share."""

    def __init__(self, k: int = 5, name: str | None = None) -> None:
        super().__init__(name)
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise ValueError(f"{self.name}: expected k as a whole number of at least 1, got {k!r}.")
        self.k = int(k)

    def _hits(self, labels: Array, y_pred: Array) -> Array:
        """Whether fewer than k outputs exceed that of the label: ties count for the label, as in TensorFlow."""
        own = np.take_along_axis(y_pred, labels[..., None].astype(np.int64), axis=-1)
        return np.asarray((y_pred > own).sum(axis=-1) < self.k)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this metric again."""
        return super().get_config() | {"k": self.k}


class TopKCategoricalAccuracy(_TopK):
    """How often the label (one-hot) is among the k largest outputs. Args: k, 5."""

    default_name = "top_k_categorical_accuracy"
    better = "max"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """See Metric.values."""
        return self._hits(y_true.argmax(axis=-1), y_pred)


class SparseTopKCategoricalAccuracy(_TopK):
    """How often the label (a class number) is among the k largest outputs.

    Args: k: 5; from_sorted_ids: the outputs are class numbers, the best first, instead of one value for each class.
    """

    default_name = "sparse_top_k_categorical_accuracy"
    better = "max"

    def __init__(self, k: int = 5, name: str | None = None, from_sorted_ids: bool = False) -> None:
        super().__init__(k, name)
        self.from_sorted_ids = bool(from_sorted_ids)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """See Metric.values."""
        labels = y_true[..., 0] if y_true.ndim == y_pred.ndim else y_true
        if self.from_sorted_ids:
            return np.asarray((y_pred[..., : self.k] == labels[..., None]).any(axis=-1))
        return self._hits(labels, y_pred)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this metric again."""
        return super().get_config() | {"from_sorted_ids": self.from_sorted_ids}
