"""The one data structure between layers: a table of distinct rows and an index (see docs/architecture.md)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from unrolled import _native
from unrolled.errors import ShapeError
from unrolled.parameters import Array


@dataclass(frozen=True)
class Sequence:
    """A batch of B sequences of T steps: step t of row b is `values[index[b, t]]`.

    table (V, F); rows (n,) int32 or None (all of table); index (B, T) int32 into values = table[rows];
    mask (B, T) bool or None, True = keep; lead, trail (B,) int32: how many first (last) steps of each row are the first
    (last) steps of one trajectory shared by the whole batch.
    """

    table: Array
    index: Array
    rows: Array | None = None
    mask: Array | None = None
    lead: Array = field(default=None)  # type: ignore[arg-type]
    trail: Array = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        batch = self.index.shape[0]
        for name in ("lead", "trail"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.zeros(batch, np.int32))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, T, F)."""
        return (self.index.shape[0], self.index.shape[1], self.table.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Float type of the values."""
        return self.table.dtype

    @property
    def values(self) -> Array:
        """The distinct rows, (n, F)."""
        return self.table if self.rows is None else self.table[self.rows]

    @property
    def n(self) -> int:
        """Number of distinct rows."""
        return self.table.shape[0] if self.rows is None else int(self.rows.shape[0])

    def to_array(self) -> Array:
        """The padded array (B, T, F), for a person to read."""
        return np.ascontiguousarray(self.values[self.index])

    def with_values(self, values: Array) -> Sequence:
        """The same positions with other values (n, F'): what a pointwise layer returns."""
        if values.shape[0] != self.n:
            raise ShapeError(f"expected {self.n} distinct rows, got {values.shape[0]}")
        return replace(self, table=values, rows=None)

    def expand(self) -> Sequence:
        """Give every position a row of its own (n = B*T): for layers that treat equal rows differently (dropout)."""
        batch, steps, features = self.shape
        return Sequence(
            table=self.to_array().reshape(batch * steps, features),
            index=np.arange(batch * steps, dtype=np.int32).reshape(batch, steps),
            mask=self.mask,
        )

    def masked(self, mask: Array) -> Sequence:
        """The same with only the steps that both masks keep; masked steps do not run, so no trajectory is shared."""
        both = mask if self.mask is None else self.mask & mask
        nothing = np.zeros(self.index.shape[0], np.int32)
        return replace(self, mask=np.ascontiguousarray(both), lead=nothing, trail=nothing)

    def collect(self, d_array: Array) -> Array:
        """Gradient of the values (n, F) from the gradient of the padded array (B, T, F)."""
        return sum_rows(d_array.reshape(-1, d_array.shape[-1]), self.index.reshape(-1), self.n)

    @staticmethod
    def from_array(x: Array, mask: Array | None = None) -> Sequence:
        """A dense batch (B, T, F); leading (trailing) all-zero steps of all rows share one row and one trajectory."""
        batch, steps, features = x.shape
        table = np.ascontiguousarray(x).reshape(batch * steps, features)
        index = np.arange(batch * steps, dtype=np.int32).reshape(batch, steps)
        lead = trail = np.zeros(batch, np.int32)
        if mask is None and batch > 1 and steps > 0:
            zero_first, zero_last = ~x[:, 0].any(axis=1), ~x[:, -1].any(axis=1)
            if zero_first.sum() > 1 or zero_last.sum() > 1:
                live: Array = np.asarray(x.any(axis=2))
                lead, trail = leading(~live), leading(~live[:, ::-1])
                index[~live] = np.flatnonzero(~live.reshape(-1))[0]
        return Sequence(table=table, index=index, mask=mask, lead=lead, trail=trail)


def leading(flags: Array) -> Array:
    """How many True stand at the start of each row of (B, T) flags; (B,) int32."""
    first_false = np.argmin(flags, axis=1)
    counts: Array = np.where(flags.all(axis=1), flags.shape[1], first_false).astype(np.int32)
    return counts


def distinct_tokens(ids: Array, size: int) -> tuple[Array, Array, Array, Array]:
    """The distinct ids of a batch, and where each position finds its own: rows[index] == ids.

    Args:    ids: (B, T) int32 or int64 in [0, size).
    Returns: rows (n,) int32, in the order of their first appearance; index (B, T) int32;
             lead, trail (B,) int32: how many zeros stand first and last in each row.
    Raises:  IndexError for an id outside [0, size).
    """
    found = _native.distinct(np.ascontiguousarray(ids), size)
    if found[0] is None:
        raise IndexError(f"id {ids.reshape(-1)[found[1]]} outside [0, {size})")
    rows, index, lead, trail = found
    return rows, index, lead, trail


def sum_rows(values: Array, index: Array, n: int) -> Array:
    """Row r of the result (n, F) is the sum of all values[k] (N, F) with index[k] == r, in the order of k."""
    return _native.collect(np.ascontiguousarray(index, np.int32), np.ascontiguousarray(values), n)


Value = Array | Sequence
