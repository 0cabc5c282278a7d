"""Arrays whose axes have names and whose steps have words."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.errors import require_extra
from unrolled.parameters import Array
from unrolled.printing import Table, show_number


class Labelled(np.ndarray[Any, Any]):
    """A NumPy array with a name for each axis, e.g. ("step", "unit"), and labels along them.

    It is the array itself, not a copy; what is computed from it is a plain array.

    Attributes: name; dims, a name for each axis; labels {dim: list}, e.g. the words of the steps.
    """

    name: str
    dims: tuple[str, ...]
    labels: dict[str, list[Any]]

    def __array_finalize__(self, source: Any) -> None:
        self.name, self.dims, self.labels = "", (), {}

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if np.ndim(array) == 0 else np.asarray(array)

    def __getitem__(self, key: Any) -> Any:
        return np.asarray(self)[key]

    def to_pandas(self) -> Any:
        """A Series or DataFrame with the labels.

        Raises: MissingExtraError without pandas; ValueError for more than two axes.
        """
        pandas = require_extra("pandas", "pandas", "to_pandas")
        axes = [pandas.Index(self._labels(k), name=dim) for k, dim in enumerate(self.dims)]
        if self.ndim == 1:
            return pandas.Series(np.asarray(self), index=axes[0], name=self.name)
        if self.ndim != 2:
            raise ValueError(f"to_pandas: expected an array of 1 or 2 axes, got {self.ndim}.")
        return pandas.DataFrame(np.asarray(self), index=axes[0], columns=axes[1])

    def _labels(self, axis: int) -> list[Any]:
        return self.labels.get(self.dims[axis]) or list(range(self.shape[axis]))

    def table(self) -> Table:
        """Rows along the first axis, columns along the second."""
        first = self.dims[0] if self.dims else ""
        rows = np.asarray(self).reshape(len(self), -1)
        columns = [f"{self.dims[1]} {k}" for k in range(rows.shape[1])] if self.ndim > 1 else [self.name]
        return Table(
            f"{self.name} ({', '.join(f'{d} {n}' for d, n in zip(self.dims, self.shape, strict=True))})",
            [first, "", *columns],
            [[str(k), str(self._labels(0)[k]), *map(show_number, row)] for k, row in enumerate(rows)],
        )

    def __str__(self) -> str:
        return str(self.table()) if self.dims and self.ndim <= 2 else str(np.asarray(self))

    def __repr__(self) -> str:
        return self.__str__()

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def labelled(array: Array, name: str, dims: tuple[str, ...], labels: dict[str, list[Any]] | None = None) -> Labelled:
    """A view of an array with names for its axes."""
    view = array.view(Labelled)
    view.name, view.dims, view.labels = name, dims, labels or {}
    return view
