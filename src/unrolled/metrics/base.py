"""What all metrics share."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from unrolled.errors import ShapeError, show_call
from unrolled.parameters import Array


class Metric:
    """The base of all metrics: subclass it and write `values` to add one.

    result = sum(values weights) / sum(weights) over everything since `reset_state`; masked steps have weight 0.

    Args:    name: its key in History.history.
    Attributes: better: "max" or "min", what callbacks with mode="auto" look for; None if that cannot be said.
    """

    default_name: ClassVar[str] = "metric"
    better: Literal["max", "min"] | None = None

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

    def result(self) -> Any:
        """The mean so far, a float; 0 before any sample. (Some metrics have a result for each class or threshold.)"""
        return self.total / self.count if self.count else 0.0

    def reset_state(self) -> None:
        """Forget what was seen."""
        self.total = self.count = 0.0

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this metric again."""
        return {"name": self.name}

    def __repr__(self) -> str:
        return show_call(self)


class Rows(NamedTuple):
    """One row for each sample or kept step: labels and outputs (N, K), weights (N,) or None."""

    labels: Array
    outputs: Array
    weights: Array | None


def as_rows(name: str, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Array | None = None) -> Rows:
    """A batch as rows without the masked steps; class numbers become one-hot labels.

    Raises: ShapeError if labels and outputs do not fit.
    """
    labels, outputs = np.asarray(y_true), np.asarray(y_pred)
    if outputs.ndim == 1:
        labels, outputs = labels.reshape(len(labels), -1), outputs[:, None]
    classes = outputs.shape[-1]
    if labels.ndim == outputs.ndim - 1:
        labels = labels[..., None]
    if labels.shape == (*outputs.shape[:-1], 1) and classes > 1:
        labels = labels == np.arange(classes)
    if labels.shape != outputs.shape:
        raise ShapeError(
            f"{name}: expected labels of the outputs' shape {outputs.shape}, or class numbers {outputs.shape[:-1]}, "
            f"got {np.shape(y_true)}."
        )
    weights = None
    if sample_weight is not None:
        given = np.asarray(sample_weight, np.float64)
        given = given[..., 0] if given.ndim == outputs.ndim else given
        given = given.reshape(given.shape + (1,) * (outputs.ndim - 1 - given.ndim))
        weights = np.broadcast_to(given, outputs.shape[:-1]).reshape(-1)
    labels, outputs = labels.reshape(-1, classes), outputs.reshape(-1, classes)
    if mask is not None:
        keep = mask.reshape(-1)
        labels, outputs = labels[keep], outputs[keep]
        weights = None if weights is None else weights[keep]
    return Rows(labels, outputs, weights)


def with_last_axis(y_true: Array, y_pred: Array) -> Array:
    """Labels (B,) or (B, T) as (B, 1) or (B, T, 1) where the outputs have that axis."""
    return y_true[..., None] if y_true.ndim == y_pred.ndim - 1 else y_true


def mean_of_last(values: Array) -> Array:
    """Mean over the last axis, if there is one beside the samples."""
    if values.ndim < 2:
        return values
    return values[..., 0] if values.shape[-1] == 1 else np.asarray(values.mean(axis=-1))
