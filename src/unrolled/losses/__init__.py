"""Losses with Keras' names, defaults and formulas; each gives its values and its gradient.

A loss maps labels t and outputs y (B, K) or (B, T, K) to one value per sample (B,) or per step (B, T). Cross-entropies
take the logits when the model ends in the activation that belongs to them (sigmoid for binary, softmax for
categorical); behind any other activation they take the outputs as probabilities, clipped to [1e-7, 1 - 1e-7].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unrolled.errors import closest
from unrolled.losses.base import Loss, reduce, shares, weigh
from unrolled.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    log_softmax,
    probabilities,
)
from unrolled.losses.regression import MeanAbsoluteError, MeanSquaredError
from unrolled.parameters import Array

__all__ = [
    "BinaryCrossentropy", "CategoricalCrossentropy", "Loss", "MeanAbsoluteError", "MeanSquaredError",
    "SparseCategoricalCrossentropy", "binary_crossentropy", "categorical_crossentropy", "get", "log_softmax", "mae",
    "mean_absolute_error", "mean_squared_error", "mse", "probabilities", "reduce", "serialize", "shares",
    "sparse_categorical_crossentropy", "weigh",
]  # fmt: skip


def binary_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0) -> Array:
    """Values of BinaryCrossentropy per sample, (B,) or (B, T)."""
    return _values(BinaryCrossentropy(from_logits, label_smoothing), y_true, y_pred)


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0
) -> Array:
    """Values of CategoricalCrossentropy per sample, (B,) or (B, T)."""
    return _values(CategoricalCrossentropy(from_logits, label_smoothing), y_true, y_pred)


def sparse_categorical_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False) -> Array:
    """Values of SparseCategoricalCrossentropy per sample, (B,) or (B, T)."""
    return _values(SparseCategoricalCrossentropy(from_logits), y_true, y_pred)


def mean_squared_error(y_true: Any, y_pred: Any) -> Array:
    """Values of MeanSquaredError per sample, (B,) or (B, T)."""
    return _values(MeanSquaredError(), y_true, y_pred)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Array:
    """Values of MeanAbsoluteError per sample, (B,) or (B, T)."""
    return _values(MeanAbsoluteError(), y_true, y_pred)


def _values(loss: Loss, y_true: Any, y_pred: Any) -> Array:
    y = np.asarray(y_pred)
    y = y if np.issubdtype(y.dtype, np.floating) else y.astype(np.float32)
    labels = loss.prepare(y_true, (None, *y.shape[1:]), y.dtype, "y_true")
    return loss.compute(labels, y, loss.from_logits, gradient=False)[0]


mse = mean_squared_error
mae = mean_absolute_error

_CLASSES: dict[str, type[Loss]] = {
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "mae": MeanAbsoluteError,
}
_FUNCTIONS: dict[Callable[..., Any], type[Loss]] = {
    binary_crossentropy: BinaryCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
    mean_squared_error: MeanSquaredError,
    mean_absolute_error: MeanAbsoluteError,
}


def get(loss: Any) -> Loss:
    """The loss of a name, class, function of this module, or configuration.

    Raises:  ValueError for an unknown name (it lists the known ones), TypeError for anything else.
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, type) and issubclass(loss, Loss):
        return loss()
    if isinstance(loss, dict):
        return _by_name(str(loss.get("class_name")))(**loss.get("config", {}))
    if isinstance(loss, str):
        return _by_name(loss)()
    if callable(loss) and loss in _FUNCTIONS:
        return _FUNCTIONS[loss]()
    raise TypeError(
        f"loss: expected a name such as 'binary_crossentropy' or a losses.Loss, got {loss!r}. A plain function gives "
        "no gradient: subclass losses.Loss and write compute()."
    )


def serialize(loss: Loss) -> dict[str, Any]:
    """Class name and arguments, for `get`."""
    return {"class_name": type(loss).__name__, "config": loss.get_config()}


def _by_name(name: str) -> type[Loss]:
    classes = {cls.__name__: cls for cls in _CLASSES.values()} | _CLASSES
    found = classes.get(name) or classes.get(name.lower())
    if found is None:
        raise ValueError(f"unknown loss {name!r}{closest(name, classes)} Known: {', '.join(_CLASSES)}.")
    return found
