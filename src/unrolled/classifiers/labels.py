"""Labels of any kind as class numbers, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.errors import require_extra
from unrolled.parameters import Array

_multiclass = require_extra("sklearn.utils.multiclass", "sklearn", "unrolled.classifiers")
_validation = require_extra("sklearn.utils.validation", "sklearn", "unrolled.classifiers")
_KINDS = {"b": "bool", "i": "int64", "u": "uint64", "f": "float64", "U": "str", "O": "object"}


def read_labels(y: Any, rows: int, name: str) -> tuple[Array, Array]:
    """The distinct labels in ascending order, and the number of each row's label among them.

    Args:    y: list, NumPy, pandas, polars or Arrow column of N labels; rows: N of the inputs; name: for errors.
    Raises:  ValueError for no labels, missing ones, fractions, another number than `rows`, or fewer than two classes;
             TypeError for labels of several types.
    """
    if y is None:
        raise ValueError(f"This {name} requires y to be passed, but the target y is None.")
    array = _validation.column_or_1d(y if hasattr(y, "iloc") else np.asarray(y), warn=True)
    if array.dtype.kind not in "biufUSO":
        array = array.astype(object)
    missing = [row for row, label in enumerate(array.tolist()) if label is None or str(label) in ("nan", "<NA>")]
    if missing and array.dtype.kind == "O":
        raise ValueError(f"{name}: Input y contains NaN: the label of row {missing[0]} is missing. Drop such rows.")
    _validation.assert_all_finite(array, input_name="y")
    if len(array) != rows:
        raise ValueError(
            f"{name}: Found input variables with inconsistent numbers of samples: expected one label for each of "
            f"{rows} rows in X, got {len(array)} in y."
        )
    try:
        classes, codes = np.unique(array, return_inverse=True)
    except TypeError:
        kinds = ", ".join(sorted({type(label).__name__ for label in array.tolist()}))
        raise TypeError(f"{name}: expected labels of one type in y, got {kinds}. Turn them into text.") from None
    _multiclass.check_classification_targets(array)
    if len(classes) < 2:
        raise ValueError(f"{name}: expected at least two classes in y, got one class: {classes[:1].tolist()[0]!r}.")
    return classes, codes.reshape(-1)


def labels_to_config(labels: Array) -> dict[str, Any]:
    """Labels ready for JSON, with their type.

    Raises: TypeError for labels that are neither numbers, booleans nor text.
    """
    values = labels.tolist()
    for label in values:
        if not isinstance(label, bool | int | float | str):
            raise TypeError(f"save: expected labels that are numbers or text, got {label!r}. Turn them into text.")
    return {"type": _KINDS[labels.dtype.kind], "values": values}


def labels_from_config(config: dict[str, Any]) -> Array:
    """Labels that labels_to_config described."""
    return np.array(config["values"], config["type"])
