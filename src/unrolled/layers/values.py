"""From a user's arrays to what layers hand to each other, and back."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from unrolled.batch import Sequence, Value
from unrolled.errors import ShapeError
from unrolled.parameters import Array


def numeric_array(
    label: str,
    x: Any,
    text: str = "Turn words into ids first (a tokenizer), then pad_sequences.",
    ragged: str = "Use pad_sequences to give all rows one length.",
) -> Array:
    """Anything array-like as an array of numbers; objects that are numbers (from pandas, say) become floats.

    Args:   text, ragged: what the message tells to do about text, and about rows of different lengths.
    Raises: TypeError for text, ragged lists and other objects.
    """
    if type(x) is np.ndarray and x.dtype.kind in "biuf":
        return x
    if x is None or isinstance(x, dict | set) or hasattr(x, "__next__"):
        raise TypeError(f"{label}: expected an array of numbers, got {None if x is None else type(x).__name__}.")
    try:
        array = np.asarray(x)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind in "US" or (array.dtype == object and any(isinstance(v, str) for v in array.flat)):
        raise TypeError(f"{label}: expected numbers, got text. {text}")
    if array.dtype == object and array.size:
        with suppress(TypeError, ValueError):  # ValueError: rows of different lengths
            array = array.astype(np.float64) if array.ndim > 1 else np.array([np.asarray(row) for row in array], float)
    if array.dtype == object:
        raise TypeError(f"{label}: expected an array of numbers, got rows of different lengths or objects. {ragged}")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{label}: expected real numbers, got {array.dtype}.")
    return array


def require_data(label: str, array: Array) -> None:
    """Check that there are rows and steps.

    Raises: ShapeError.
    """
    if array.shape[0] == 0:
        raise ShapeError(f"{label}: x has no rows, shape {array.shape}. Give at least one.")
    if array.size == 0:
        raise ShapeError(
            f"{label}: x has an empty axis, shape {array.shape}. Every row needs at least one step and feature."
        )


def check_mask(x: Array, mask: Any, label: str) -> Array:
    """A user's mask for x.

    Raises: ShapeError if it is not (B, T) of bool.
    """
    array = np.asarray(mask)
    if array.shape != x.shape[:2] or array.dtype != bool:
        remedy = " Use mask.astype(bool), True = keep." if array.shape == x.shape[:2] else ""
        raise ShapeError(
            f"{label}: expected mask (batch, time) = {x.shape[:2]} of bool, got {array.shape} of {array.dtype}.{remedy}"
        )
    return array


def as_value(x: Array, mask: Array | None = None, share: bool = True) -> Value:
    """What layers hand to each other: (B, T, F) floats become a Sequence; anything else stays an array.

    Args: mask (B, T) of bool; share: equal zero steps may share one row. False where the gradient of each position is
          wanted.
    """
    if x.ndim == 3 and x.dtype.kind == "f":
        return Sequence.from_array(x, mask) if share else positions(x, mask)
    return x


def as_array(y: Any) -> Any:
    """Arrays for a person to read, from whatever a layer returned."""
    if isinstance(y, tuple | list):
        return [as_array(part) for part in y]
    return y.to_array() if isinstance(y, Sequence) else y


def cast(value: Any, dtype: np.dtype[Any]) -> Any:
    """The same array or Sequence in another float type; ids and what fits already stay as they are."""
    if isinstance(value, Sequence):
        return value if value.dtype == dtype else replace(value, table=value.values.astype(dtype), rows=None)
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.dtype != dtype:
        return value.astype(dtype)
    return value


def positions(array: Array, mask: Array | None = None) -> Sequence:
    """An array (B, T, F) as a Sequence in which every position has a row of its own."""
    batch, steps, features = array.shape
    table = np.ascontiguousarray(array).reshape(batch * steps, features)
    return Sequence(table=table, index=np.arange(batch * steps, dtype=np.int32).reshape(batch, steps), mask=mask)


def distinct_values(x: Value) -> Array:
    """What a pointwise layer maps: the distinct rows of a Sequence, or the array itself."""
    return x.values if isinstance(x, Sequence) else x


def like(x: Value, values: Array) -> Value:
    """Mapped values in the place of those of x: same positions, or simply the array."""
    return x.with_values(values) if isinstance(x, Sequence) else values
