"""Sequences of different lengths as one array: `pad_sequences`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from unrolled.errors import ShapeError

__all__ = ["pad_sequences"]


def pad_sequences(
    sequences: Any,
    maxlen: int | None = None,
    dtype: DTypeLike = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> NDArray[Any]:
    """One array from sequences of different lengths: short ones are padded, long ones cut.

    Args:    sequences: B sequences, each a list or an array of steps (a step is a number, or an array, of one shape for
             all); maxlen: T, by default the longest length; dtype: type of the result; padding, truncating: "pre" to
             fill or cut in front, "post" to do it at the end; value: what to fill with.
    Returns: (B, T), or (B, T, ...) if steps are arrays.
    Raises:  ValueError if an argument is not understood or an entry does not fit dtype; ShapeError (a ValueError) if
             steps have different shapes.
    Source:  arguments and result as keras.utils.pad_sequences.
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ValueError(f'pad_sequences: expected {name} "pre" or "post", got {side!r}.')
    if maxlen is not None and (isinstance(maxlen, bool) or not isinstance(maxlen, int | np.integer) or maxlen < 1):
        raise ValueError(f"pad_sequences: expected maxlen to be an integer of at least 1, or None, got {maxlen!r}.")
    dtype = np.dtype(dtype)
    if isinstance(value, str) and dtype.kind not in "OSU":
        raise ValueError(f"pad_sequences: value {value!r} does not fit dtype {dtype}. For text use dtype=object.")
    lengths = _lengths(sequences)
    if maxlen is None:
        if not lengths:
            raise ValueError("pad_sequences: got no sequences, so the longest length is unknown. Give maxlen.")
        maxlen = max(lengths)
    first = next((s for s, length in zip(sequences, lengths, strict=True) if length), ())
    step_shape = np.asarray(first).shape[1:]
    padded = np.full((len(lengths), maxlen, *step_shape), value, dtype)
    for row, (sequence, length) in enumerate(zip(sequences, lengths, strict=True)):
        if not length:
            continue
        steps = _as_steps(sequence[-maxlen:] if truncating == "pre" else sequence[:maxlen], dtype, row)
        if steps.shape[1:] != step_shape:
            raise ShapeError(
                f"pad_sequences: expected every step to have the shape {step_shape} of the first one, "
                f"got {steps.shape[1:]} in sequences[{row}]."
            )
        if padding == "pre":
            padded[row, -len(steps) :] = steps
        else:
            padded[row, : len(steps)] = steps
    return padded


def _lengths(sequences: Any) -> list[int]:
    """The length of each sequence, or an error that says which one has none."""
    if not hasattr(sequences, "__len__") or not isinstance(sequences, Iterable):
        raise ValueError(
            f"pad_sequences: expected a list of sequences, got {type(sequences).__name__}. "
            "Put a generator into a list first."
        )
    lengths = []
    for row, sequence in enumerate(sequences):
        if isinstance(sequence, str | bytes):
            raise ValueError(
                f"pad_sequences: expected sequences of numbers or of words, got the text {sequence!r:.40} as "
                f"sequences[{row}]. Turn texts into ids first."
            )
        try:
            lengths.append(len(sequence))
        except TypeError as error:
            raise ValueError(
                f"pad_sequences: expected a list of sequences, got {sequence!r} as sequences[{row}]. "
                "Put a single sequence into a list: [sequence]."
            ) from error
    return lengths


def _as_steps(sequence: Any, dtype: np.dtype[Any], row: int) -> NDArray[Any]:
    """One sequence as an array, or an error that says which one does not fit."""
    try:
        return np.asarray(sequence, dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(
            f"pad_sequences: sequences[{row}] does not fit dtype {dtype}: {error}. "
            "Turn words into ids first, or choose another dtype."
        ) from error
