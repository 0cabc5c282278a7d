"""Labels as rows of zeros and a one: `to_categorical`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["to_categorical"]


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> NDArray[np.float64]:
    """Class numbers as one-hot rows: result[..., k] = 1 where x is k, else 0.

    Args:    x: whole numbers from 0 to num_classes - 1, of any shape; a last axis of 1 is dropped;
             num_classes: by default the largest number plus one.
    Returns: float64, the shape of x with an axis of num_classes behind it.
    Raises:  ValueError for a label that is not a whole number or is out of range (Keras cuts off decimals and counts
             negative labels from the end).
    Source:  arguments and result as keras.utils.to_categorical.
    """
    labels = _whole_numbers(x)
    shape = labels.shape[:-1] if labels.ndim > 1 and labels.shape[-1] == 1 else labels.shape
    if num_classes is None or (labels.size and not num_classes):
        if not labels.size:
            raise ValueError("to_categorical: got no labels, so the number of classes is unknown. Give num_classes.")
        num_classes = int(labels.max()) + 1
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if wrong.size:
        raise ValueError(
            f"to_categorical: expected labels from 0 to {num_classes - 1}, got {wrong[0]}. "
            "num_classes is the largest label plus one."
        )
    one_hot = np.zeros((labels.size, num_classes))
    one_hot[np.arange(labels.size), labels.reshape(-1)] = 1
    return one_hot.reshape((*shape, num_classes))


def _whole_numbers(x: Any) -> NDArray[np.int64]:
    """Labels as int64, or an error that shows one that is not a whole number."""
    given = np.asarray(x)
    try:
        with np.errstate(invalid="ignore"):  # NaN: it differs from what it is cast to, and is shown below
            labels = given.astype(np.int64)
        wrong = given[labels != given] if given.dtype.kind == "f" else np.zeros(0)
    except (ValueError, TypeError):
        wrong = given.reshape(-1)
    if wrong.size:
        raise ValueError(
            f"to_categorical: expected whole numbers as labels, got {wrong.tolist()[0]!r}. "
            "Number the classes from 0 first."
        )
    return labels
