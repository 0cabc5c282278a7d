"""Metrics with Keras' names and meaning, over all samples (and kept steps) seen since the last reset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unrolled import losses
from unrolled.errors import closest
from unrolled.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from unrolled.metrics.base import Metric
from unrolled.metrics.confusion import (
    AUC,
    FalseNegatives,
    FalsePositives,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from unrolled.metrics.f_score import F1Score, FBetaScore
from unrolled.metrics.regression import LossMetric, MeanAbsoluteError, MeanSquaredError, RootMeanSquaredError
from unrolled.parameters import Shape

__all__ = [
    "AUC", "Accuracy", "BinaryAccuracy", "CategoricalAccuracy", "F1Score", "FBetaScore", "FalseNegatives",
    "FalsePositives", "LossMetric", "MeanAbsoluteError", "MeanSquaredError", "Metric", "Precision", "Recall",
    "RootMeanSquaredError", "SparseCategoricalAccuracy", "SparseTopKCategoricalAccuracy", "TopKCategoricalAccuracy",
    "TrueNegatives", "TruePositives", "accuracy_for", "check", "get", "serialize",
]  # fmt: skip

_CLASSES: dict[str, type[Metric]] = {
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "mae": MeanAbsoluteError,
    "root_mean_squared_error": RootMeanSquaredError,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "auc": AUC,
    "precision": Precision,
    "recall": Recall,
    "f1_score": F1Score,
    "fbeta_score": FBetaScore,
    "true_positives": TruePositives,
    "true_negatives": TrueNegatives,
    "false_positives": FalsePositives,
    "false_negatives": FalseNegatives,
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
            return accuracy_for(label_shape, output_shape)(name=metric)
        if metric in _LOSSES:
            return LossMetric(losses.get(metric), metric)
        return _by_name(metric)(name=metric)
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
