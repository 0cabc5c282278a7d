"""What fit, evaluate and predict are given: checked once, and split."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from unrolled import _native
from unrolled.errors import ShapeError
from unrolled.layers.values import numeric_array
from unrolled.parameters import Array, Shape
from unrolled.sources import Data

MAX_FORWARD_ROWS = 1024
MAX_FORWARD_VALUES = 1 << 23


def forward_rows(x: Any, batch_size: int, width: int) -> int:
    """How many rows a pass without gradient takes at once: a multiple of batch_size, as large as pays and fits memory.

    Args: width: of the widest array that the model keeps for each step.
    """
    per_row = int(math.prod(x.shape[1:2])) * max(width, *map(int, x.shape[2:]), 1)
    return batch_size * max(1, min(MAX_FORWARD_ROWS, MAX_FORWARD_VALUES // max(1, per_row)) // batch_size)


def split(data: Data, validation_split: float) -> tuple[Data, Data]:
    """The first floor(N (1 - validation_split)) rows, and the rest: Keras' split, before any shuffling.

    Raises: ValueError if the split is not in (0, 1) or leaves a part empty.
    """
    if not isinstance(validation_split, int | float) or not 0 < validation_split < 1:
        raise ValueError(f"fit: expected validation_split between 0 and 1, got {validation_split!r}.")
    n = len(data)
    at = math.floor(n * (1.0 - validation_split))
    if at in (0, n):
        part = "training" if at == 0 else "validation"
        raise ValueError(
            f"fit: validation_split={validation_split} of {n} samples leaves no {part} samples. "
            "Use another split, or pass validation_data."
        )
    return data.rows(slice(0, at)), data.rows(slice(at, n))


def check_batch_size(batch_size: Any, caller: str) -> int:
    """A batch size, default 32.

    Raises: ValueError or TypeError unless it is a whole number of at least 1.
    """
    return 32 if batch_size is None else check_count(batch_size, f"{caller}: batch_size")


def check_count(value: Any, what: str, least: int = 1) -> int:
    """A whole number of at least `least`.

    Raises: ValueError or TypeError naming `what`.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{what}: expected a whole number of at least {least}, got {value!r}.")
    if value < least:
        raise ValueError(f"{what}: expected a whole number of at least {least}, got {value}.")
    return int(value)


def check_samples(x: Any, name: str) -> Array:
    """Inputs as one array with at least one sample.

    Raises: TypeError for text or ragged rows, ShapeError for no samples.
    """
    array = numeric_array(name, x)
    if array.ndim == 0:
        raise ShapeError(f"{name}: expected an array with one row per sample, got a single number.")
    if array.shape[0] == 0:
        raise ShapeError(f"{name}: expected at least one sample, got an empty array of shape {array.shape}.")
    return array


def check_lengths(x: Any, y: Any, x_name: str = "x", y_name: str = "y") -> None:
    """Raise ShapeError unless both have as many samples."""
    if x.shape[0] != y.shape[0]:
        raise ShapeError(
            f"expected {x_name} and {y_name} with the same number of samples, got {x.shape[0]} in {x_name} "
            f"{x.shape} and {y.shape[0]} in {y_name} {y.shape}."
        )


def check_steps(x: Array, y: Array, x_name: str = "x", y_name: str = "y") -> None:
    """Raise ShapeError unless the rows of both have as many steps; x, y: their lengths (N,)."""
    if (x != y).any():
        row = int(np.flatnonzero(x != y)[0])
        raise ShapeError(
            f"expected {x_name} and {y_name} with as many steps in each row, got {x[row]} in {x_name}[{row}] and "
            f"{y[row]} in {y_name}[{row}]."
        )


def check_weights(
    sample_weight: Any, class_weight: Any, y: Array, steps: int | None, dtype: Any, caller: str = "fit"
) -> Array | None:
    """Weights per sample (N,) or per step (N, T) from sample_weight or class_weight; None if neither is given.

    Args:    y: labels as given by the user (N, ...); steps: T if the model has an output per step, else None.
    Raises:  ValueError if both are given, for another shape, or for NaN; TypeError for anything but numbers.
    """
    if sample_weight is None and class_weight is None:
        return None
    if sample_weight is not None and class_weight is not None:
        raise ValueError(
            f"{caller}: expected sample_weight or class_weight, got both. Multiply them into sample_weight."
        )
    if class_weight is not None:
        return class_weights(class_weight, y, dtype, caller)
    weight = as_numbers(sample_weight, f"{caller}: sample_weight").astype(dtype, copy=False)
    if weight.ndim == 2 and weight.shape[1] == 1 and steps != 1:
        weight = weight[:, 0]
    n = y.shape[0]
    if weight.shape != (n,) and (steps is None or weight.shape != (n, steps)):
        per_step = "" if steps is None else f" or, one for each step, ({n}, {steps})"
        raise ShapeError(
            f"{caller}: sample_weight expected one number for each sample, shape ({n},){per_step}, got {weight.shape}."
        )
    return weight


def class_weights(class_weight: Any, y: Array, dtype: Any, caller: str) -> Array:
    """The weight of each sample's class, 1 for classes not named; one-hot labels count as their largest entry."""
    if not isinstance(class_weight, dict):
        raise TypeError(f"{caller}: class_weight expected a dict such as {{0: 1.0, 1: 2.5}}, got {class_weight!r}.")
    if y.ndim > 1 and y.shape[-1] != 1:
        y = y.argmax(axis=-1)
    elif y.ndim > 1:
        y = y[..., 0]
    if y.ndim != 1:
        raise ShapeError(
            f"{caller}: class_weight needs one class for each sample, got labels for each step. "
            "Use sample_weight of shape (N, T)."
        )
    classes = np.round(y).astype(np.int64)
    weight = np.ones(len(classes), dtype)
    for name, value in class_weight.items():
        if isinstance(name, bool) or not isinstance(name, int | np.integer):
            raise TypeError(f"{caller}: class_weight expected class numbers as keys, got {name!r}.")
        if isinstance(value, str) or not np.isfinite(value):
            raise ValueError(f"{caller}: class_weight expected a finite number for class {name}, got {value!r}.")
        weight[classes == name] = value
    return weight


def as_numbers(y: Any, argument: str) -> Array:
    """Labels as an array of finite numbers.

    Raises: TypeError for text or ragged lists, ValueError for NaN or infinity.
    """
    array = as_labels(y, argument)
    require_finite(array, argument)
    return array


def as_labels(y: Any, argument: str) -> Array:
    """Labels as an array of numbers, finite or not.

    Raises: TypeError for text or ragged lists, ShapeError for a single number.
    """
    array = numeric_array(
        argument,
        y,
        text="Number the classes first: np.unique(y, return_inverse=True)[1].",
        ragged="Give every sample as many labels.",
    )
    if array.ndim == 0:
        raise ShapeError(f"{argument}: expected one label per sample, got a single number.")
    return array


def require_finite(array: Array, argument: str) -> None:
    """Raise ValueError naming the first number that is NaN or infinite."""
    if array.dtype.kind == "f" and not _all_finite(array):
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{argument}: expected finite numbers, got {array[at]} at {list(at)}. Remove such rows.")


def native_floats(array: Array) -> Array | None:
    """The array as the native functions on whole arrays of floats read it; None if it is of another type."""
    if array.dtype in (np.float32, np.float64) and array.flags.aligned:
        return np.ascontiguousarray(array)
    return None


def _all_finite(array: Array) -> bool:
    floats = native_floats(array)
    if floats is not None:
        return _native.first_not_finite([floats.reshape(-1)]) < 0
    return bool(np.isfinite(array).all())


def all_within(array: Array, low: float, high: float) -> bool:
    """Whether all entries lie in [low, high]; NaN does not."""
    floats = native_floats(array)
    if floats is not None:
        return _native.all_within(floats, low, high)
    return bool(((array >= low) & (array <= high)).all())


def show(shape: Shape) -> str:
    """A shape for messages, N for the samples and T for free axes after them."""
    names = ["N", *("T" if size is None else str(size) for size in shape[1:])]
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"
