"""One column of a table, wherever it comes from, as a plain list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from unrolled.errors import ShapeError


def as_list(column: Any, name: str) -> list[Any]:
    """The entries of a list, a NumPy array, or a pandas, polars or Arrow column, in order.

    A table of a single column, or an array (N, 1), counts as that column.

    Args:    name: how errors call the column.
    Raises:  TypeError if it has no entries to walk through; ShapeError for several columns.
    """
    shape = getattr(column, "shape", None)
    if isinstance(shape, tuple) and len(shape) == 2:
        if shape[1] != 1:
            raise ShapeError(f"{name}: expected one column, got a table of shape {shape}. Choose one of its columns.")
        column = np.asarray(column)[:, 0]
    elif isinstance(shape, tuple) and len(shape) != 1:
        raise ShapeError(f"{name}: expected one column, got an array of shape {shape}.")
    if isinstance(column, str | bytes | dict) or not isinstance(column, Iterable):
        raise TypeError(f"{name}: expected a list or a column, got {column!r:.60}. Put a single entry into a list.")
    for method in ("to_pylist", "to_list", "tolist"):  # Arrow; polars and pandas; NumPy
        if hasattr(column, method):
            return list(getattr(column, method)())
    return list(column)


def as_texts(column: Any, name: str = "texts") -> list[str]:
    """A column of texts as a list of str; every entry is checked.

    Raises: as as_list; TypeError naming the first row that is no text (None and NaN too).
    """
    texts = as_list(column, name)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            missing = text is None or str(text) in ("nan", "<NA>", "NaT")
            what = "a missing value" if missing else f"{type(text).__name__} {text!r:.40}"
            remedy = 'Drop such rows or fill them with "".' if missing else "Turn it into text with str()."
            raise TypeError(f"{name}: expected a text in every row, got {what} in row {row}. {remedy}")
    return texts
