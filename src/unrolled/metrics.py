"""Metrics with Keras' names and meaning: means over all samples (and kept steps) seen since the last reset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from unrolled import losses
from unrolled.errors import closest, show_call
from unrolled.parameters import Array, Shape


class Metric:
    """The base of all metrics: subclass it and write `values` to add one.

    result = sum(values weights) / sum(weights) over everything since `reset_state`; masked steps have weight 0.

    Args:    name: its key in History.history.
    """

    default_name: ClassVar[str] = "metric"

    def __init__(self, name: str | None = None) -> None:
        self.name = name or self.default_name
        self.total = 0.0
        self.count = 0.0

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """One value per sample (B,) or per step (B, T); y_true may lack the last axis of y_pred.

        y_pred are the model's outputs (probabilities), never logits.
        """
        raise NotImplementedError(f"{type(self).__name__} must define values(y_true, y_pred)")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Array | None = None) -> None:
        """Add a batch. sample_weight (B,) or of the values' shape; mask of the values' shape, True = counts."""
        values = self.values(np.asarray(y_true), np.asarray(y_pred))
        if sample_weight is None and mask is None:
            self.total += float(values.sum(dtype=np.float64))
            self.count += values.size
            return
        weights = np.ones(values.shape)
        if sample_weight is not None:
            given = np.asarray(sample_weight)
            weights *= given.reshape(given.shape + (1,) * (values.ndim - given.ndim))
        if mask is not None:
            weights *= mask
        self.total += float((values * weights).sum())
        self.count += float(weights.sum())

    def result(self) -> float:
        """The mean so far; 0 before any sample."""
        return self.total / self.count if self.count else 0.0

    def reset_state(self) -> None:
        """Forget what was seen."""
        self.total = self.count = 0.0

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this metric again."""
        return {"name": self.name}

    def __repr__(self) -> str:
        return show_call(self)


class BinaryAccuracy(Metric):
    """How often (y > threshold) equals the label; the mean over K outputs counts as one sample's value."""

    default_name = "binary_accuracy"

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

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """See Metric.values."""
        return np.asarray(y_true.argmax(axis=-1) == y_pred.argmax(axis=-1))


class SparseCategoricalAccuracy(Metric):
    """How often the largest output is at the label's class number."""

    default_name = "sparse_categorical_accuracy"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """See Metric.values."""
        labels = y_true[..., 0] if y_true.ndim == y_pred.ndim else y_true
        return np.asarray(labels == y_pred.argmax(axis=-1))


class Accuracy(Metric):
    """How often y equals the label exactly; compile(metrics=["accuracy"]) means one of the three above."""

    default_name = "accuracy"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """See Metric.values."""
        return mean_of_last(with_last_axis(y_true, y_pred) == y_pred)


class MeanSquaredError(Metric):
    """Mean of (y - t)^2."""

    default_name = "mean_squared_error"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """See Metric.values."""
        return mean_of_last(np.square(y_pred - with_last_axis(y_true, y_pred)))


class RootMeanSquaredError(Metric):
    """Square root of the mean of (y - t)^2 over everything seen."""

    default_name = "root_mean_squared_error"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """See Metric.values."""
        return mean_of_last(np.square(y_pred - with_last_axis(y_true, y_pred)))

    def result(self) -> float:
        """The root of the mean so far."""
        return float(np.sqrt(super().result()))


class MeanAbsoluteError(Metric):
    """Mean of |y - t|."""

    default_name = "mean_absolute_error"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """See Metric.values."""
        return mean_of_last(np.abs(y_pred - with_last_axis(y_true, y_pred)))


class LossMetric(Metric):
    """A loss, or a function (y_true, y_pred) -> values, watched as a metric."""

    def __init__(self, function: losses.Loss | Callable[[Array, Array], Any], name: str) -> None:
        super().__init__(name)
        self.function = function

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """See Metric.values."""
        if isinstance(self.function, losses.Loss):
            labels = self.function.prepare(y_true, (None, *y_pred.shape[1:]), y_pred.dtype, f"metric {self.name}")
            return self.function.compute(labels, y_pred, self.function.from_logits, gradient=False)[0]
        values = np.asarray(self.function(y_true, y_pred), np.float64)
        return mean_of_last(values) if values.ndim == y_pred.ndim else values


def with_last_axis(y_true: Array, y_pred: Array) -> Array:
    """Labels (B,) or (B, T) as (B, 1) or (B, T, 1) where the outputs have that axis."""
    return y_true[..., None] if y_true.ndim == y_pred.ndim - 1 else y_true


def mean_of_last(values: Array) -> Array:
    """Mean over the last axis, if there is one beside the samples."""
    if values.ndim < 2:
        return values
    return values[..., 0] if values.shape[-1] == 1 else np.asarray(values.mean(axis=-1))


_CLASSES: dict[str, type[Metric]] = {
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "mae": MeanAbsoluteError,
    "root_mean_squared_error": RootMeanSquaredError,
}
_LOSSES = ("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy")


def get(metric: Any, label_shape: Shape | None = None, output_shape: Shape | None = None) -> Metric:
    """The metric of a name, class, object, loss or function; 'accuracy' and 'acc' by the shapes, as Keras does.

    Args:    metric: e.g. 'acc'; label_shape, output_shape: of the model's labels and outputs, for 'accuracy'.
    Raises:  ValueError for an unknown name (it lists the known ones), TypeError for anything else.
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, type) and issubclass(metric, Metric):
        return metric()
    if isinstance(metric, losses.Loss):
        return LossMetric(metric, metric.name)
    if isinstance(metric, dict):
        return _by_name(str(metric.get("class_name")))(**metric.get("config", {}))
    if isinstance(metric, str):
        if metric.lower() in ("accuracy", "acc"):
            return accuracy_for(label_shape, output_shape)(metric)
        if metric in _LOSSES:
            return LossMetric(losses.get(metric), metric)
        return _by_name(metric)(metric)
    if callable(metric):
        return LossMetric(metric, getattr(metric, "__name__", type(metric).__name__))
    raise TypeError(f"metrics: expected names such as 'acc', metrics.Metric objects or functions, got {metric!r}.")


def accuracy_for(label_shape: Shape | None, output_shape: Shape | None) -> type[Metric]:
    """Which accuracy fits: binary for one output, sparse for labels without the class axis, else categorical."""
    if label_shape is None or output_shape is None:
        return Accuracy
    if output_shape[-1] == 1:
        return BinaryAccuracy
    if len(label_shape) < len(output_shape) or label_shape[-1] == 1:
        return SparseCategoricalAccuracy
    return CategoricalAccuracy


def check(metrics: Any, argument: str = "metrics") -> list[Any]:
    """The list given to compile, every name known.

    Raises: TypeError if it is not a list; ValueError for an unknown name.
    """
    if metrics is None:
        return []
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        raise TypeError(f"compile: {argument} expected a list such as ['acc'], got {metrics!r}.")
    for metric in metrics:
        get(metric)
    return list(metrics)


def serialize(metric: Any) -> Any:
    """A name, or class name and arguments, for `get`.

    Raises: TypeError for a function, which cannot be saved.
    """
    if isinstance(metric, str | dict):
        return metric
    if isinstance(metric, type) and issubclass(metric, Metric):
        metric = metric()
    if isinstance(metric, Metric) and not isinstance(metric, LossMetric):
        return {"class_name": type(metric).__name__, "config": metric.get_config()}
    raise TypeError(f"metric {metric!r} cannot be saved: use a name or a Metric object.")


def _by_name(name: str) -> type[Metric]:
    classes = {cls.__name__: cls for cls in (*_CLASSES.values(), Accuracy)} | _CLASSES
    found = classes.get(name) or classes.get(name.lower())
    if found is None:
        known = ["accuracy", "acc", *_CLASSES, *_LOSSES]
        raise ValueError(f"unknown metric {name!r}{closest(name, known)} Known: {', '.join(known)}.")
    return found
