"""Rows of ids of unequal length in one array, without padding and without a Python object for each id."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from unrolled.parameters import Array
from unrolled.sources import slices

BLOCK = 1 << 20  # ids at a time: NumPy makes int64 of what it counts or looks up


def count_each(ids: Array, size: int) -> Array:
    """(size,) how often each of 0 to size - 1 stands in ids."""
    counts = np.zeros(size, np.int64)
    for block in slices(len(ids), BLOCK):
        counts += np.bincount(ids[block], minlength=size)
    return counts


@dataclass(frozen=True)
class PackedIds:
    """N rows of ids: row i is ids[starts[i]:starts[i + 1]].

    ids (total,) int32; starts (N + 1,) int64. Four bytes an id, where a list takes about forty.
    """

    ids: Array
    starts: Array

    @classmethod
    def from_rows(cls, rows: Iterable[Array]) -> PackedIds:
        """Arrays of ids, one behind the other."""
        ids, starts = array("i"), array("q", [0])
        for row in rows:  # an array that grows: a list of the rows would hold everything twice when they are joined
            ids.frombytes(row.astype(np.int32, copy=False).tobytes())
            starts.append(len(ids))
        return cls(np.asarray(ids), np.asarray(starts))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> Array:
        return self.ids[self.starts[row] : self.starts[row + 1]]

    def __iter__(self) -> Iterator[Array]:
        return (self[row] for row in range(len(self)))

    @property
    def lengths(self) -> Array:
        """(N,) number of ids of each row."""
        return np.diff(self.starts)

    def to_lists(self) -> list[list[int]]:
        """The same as lists."""
        return [row.tolist() for row in self]

    def keep(self, wanted: Array) -> PackedIds:
        """The ids where wanted (total,) is True; rows get shorter."""
        before = np.concatenate([[0], np.cumsum(wanted)])
        return PackedIds(self.ids[wanted], before[self.starts])

    def cut(self, maxlen: int, truncating: str = "pre") -> PackedIds:
        """Rows of at most maxlen ids; a longer one loses its beginning ("pre"), "middle" or end ("post")."""
        lengths = self.lengths
        if not len(self) or lengths.max() <= maxlen:
            return self
        first = {"pre": 0, "middle": maxlen - maxlen // 2, "post": maxlen}[truncating]
        starts = np.zeros(len(self) + 1, np.int64)
        np.cumsum(np.minimum(lengths, maxlen), out=starts[1:])
        ids = np.empty(int(starts[-1]), np.int32)
        for number, row in enumerate(self):  # row by row: index arrays over all ids would take ten times their memory
            short = ids[starts[number] : starts[number + 1]]
            if len(row) <= maxlen:
                short[:] = row
            else:
                short[:first] = row[:first]
                short[first:] = row[len(row) - (maxlen - first) :]
        return PackedIds(ids, starts)

    def to_array(self, rows: Array | None = None, length: int | None = None) -> Array:
        """Rows behind zeros, (n, T) int32; T is the longest of them unless length says more."""
        starts, ends = self.starts[:-1], self.starts[1:]
        if rows is not None:
            starts, ends = starts[rows], ends[rows]
        lengths = ends - starts
        steps = length or max(1, int(lengths.max(initial=0)))
        padded = np.zeros((len(lengths), steps), np.int32)
        for row, start, end in zip(padded, starts.tolist(), ends.tolist(), strict=True):
            row[steps - (end - start) :] = self.ids[start:end]
        return padded
