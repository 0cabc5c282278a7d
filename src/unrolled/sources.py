"""Where batches come from: arrays, lists of unequal rows, and what a user's generator or iterable yields."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from unrolled.errors import ShapeError
from unrolled.parameters import Array

Rows = slice | Array


@dataclass(frozen=True)
class Ragged:
    """N rows of unequal length, without padding: row i is values[starts[i]:starts[i + 1]].

    values (total,) or (total, D); starts (N + 1,).
    """

    values: Array
    starts: Array

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Array:
        """(N,) number of steps of each row."""
        return np.diff(self.starts)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, T) or (N, T, D) with T the longest row: what padded() would have."""
        return (len(self), max(int(self.lengths.max(initial=0)), 1), *self.values.shape[1:])

    def rows(self, rows: Rows) -> Ragged:
        """Some of the rows."""
        chosen = np.arange(len(self))[rows]
        _, mask = self.padded(chosen)
        starts = np.zeros(len(chosen) + 1, np.int64)
        np.cumsum(mask.sum(axis=1), out=starts[1:])
        return Ragged(self.values[self._places(chosen, mask)], starts)

    def padded(self, rows: Rows) -> tuple[Array, Array]:
        """Some rows as an array (n, T) or (n, T, D) with zeros behind each, and the mask (n, T), True = a real step."""
        chosen = np.arange(len(self))[rows]
        lengths = self.lengths[chosen]
        mask = np.arange(max(int(lengths.max(initial=0)), 1)) < lengths[:, None]
        array = np.zeros((*mask.shape, *self.values.shape[1:]), self.values.dtype)
        array[mask] = self.values[self._places(chosen, mask)]
        return array, mask

    def _places(self, chosen: Array, mask: Array) -> Array:
        places: Array = (self.starts[chosen][:, None] + np.arange(mask.shape[1]))[mask]
        return places


def read_ragged(name: str, x: Any) -> Ragged | None:
    """Rows of unequal length, each a list of numbers or an array (T,) or (T, D); None for anything else.

    Raises: TypeError or ShapeError naming the row that does not fit the others.
    """
    if isinstance(x, np.ndarray):
        if x.dtype.kind != "O" or x.ndim != 1:
            return None
    elif not isinstance(x, list | tuple):
        return None
    if any(not hasattr(row, "__len__") or isinstance(row, str | bytes | dict | set) for row in x):
        return None
    if len({len(row) for row in x}) < 2:
        return None
    rows = []
    for number, row in enumerate(x):
        try:
            rows.append(np.asarray(row))
        except ValueError:
            rows.append(np.empty(0, object))
        if rows[-1].dtype.kind not in "biuf" or rows[-1].ndim not in (1, 2):
            raise TypeError(
                f"{name}: expected rows of numbers, one list or array (steps,) or (steps, features) for each sample; "
                f"row {number} is none. Turn words into ids first (a tokenizer)."
            )
    full = [row for row in rows if row.size]
    shape = full[0].shape[1:] if full else ()
    for number, row in enumerate(rows):
        if row.size and row.shape[1:] != shape:
            raise ShapeError(
                f"{name}: expected rows of one kind, the first has shape {full[0].shape}, row {number} {row.shape}. "
                "Every step needs the same number of features."
            )
    starts = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=starts[1:])
    return Ragged(np.concatenate(full) if full else np.zeros(0), starts)


@dataclass(frozen=True)
class Data:
    """Checked samples of one data set: x (N, ...), labels y (N, ...) or None, weight (N,) or (N, T) or None.

    x, and y with it, may be Ragged; a batch then has arrays, and mask (B, T) tells their real steps.
    """

    x: Array | Ragged
    y: Array | Ragged | None = None
    weight: Array | None = None
    mask: Array | None = None

    def __len__(self) -> int:
        return len(self.x)

    def rows(self, rows: slice) -> Data:
        """Some of the samples, in the same form."""
        parts: list[Any] = [
            a if a is None else a.rows(rows) if isinstance(a, Ragged) else a[rows] for a in self._parts()
        ]
        return Data(*parts)

    def take(self, rows: Rows) -> Data:
        """A batch of arrays: views for a slice, copies for indices, rows of unequal length padded to their longest."""
        if isinstance(self.x, Ragged):
            (x, mask), y = self.x.padded(rows), self.y
            y = y.padded(rows)[0] if isinstance(y, Ragged) else None if y is None else y[rows]
            return Data(x, y, None if self.weight is None else self.weight[rows], mask)
        if isinstance(rows, slice):
            return self.rows(rows)
        parts: list[Any] = [None if a is None else a.take(rows, axis=0) for a in self._parts()]
        return Data(*parts)

    def whole(self) -> Data:
        """All samples as one batch."""
        return self.take(slice(0, len(self))) if isinstance(self.x, Ragged) else self

    def without_weights(self) -> Data:
        """The same samples, each of weight 1."""
        return replace(self, weight=None)

    def _parts(self) -> tuple[Any, Any, Any, Any]:
        return self.x, self.y, self.weight, self.mask


def slices(n: int, size: int) -> Iterator[slice]:
    """Consecutive batches of `size` rows out of n; the last one may be smaller."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def batches(data: Data, size: int, shuffle: bool | str, random: np.random.Generator) -> Iterator[Data]:
    """One pass over the data. shuffle True: all rows; "batch": within each batch; False: in order."""
    order = random.permutation(len(data)) if shuffle is True else None
    for rows in slices(len(data), size):
        if order is not None:
            yield data.take(order[rows])
        elif shuffle == "batch":
            yield data.take(rows.start + random.permutation(rows.stop - rows.start))
        else:
            yield data.take(rows)


def endless(data: Data, size: int, shuffle: bool | str, random: np.random.Generator) -> Iterator[Data]:
    """Batches without end; each pass is shuffled anew."""
    while True:
        yield from batches(data, size, shuffle, random)


class ArraySource:
    """Batches of arrays that fit trains on.

    Attributes: count, batches of an epoch; samples, of an epoch; ran_out, False: arrays begin again.
    """

    ran_out = False

    def __init__(
        self, data: Data, size: int, shuffle: bool | str, steps: int | None, random: np.random.Generator
    ) -> None:
        self.count: int | None = steps or math.ceil(len(data) / size)
        self.samples = self.count * size if steps else len(data)
        self.size = size
        self.unit: str | None = None
        self._one_pass: Callable[[], Iterator[Data]] = lambda: batches(data, size, shuffle, random)
        self._stream = endless(data, size, shuffle, random) if steps else None

    def epoch(self) -> Iterator[Data]:
        """The batches of the next epoch."""
        return self._one_pass() if self._stream is None else islice(self._stream, self.count)


def is_stream(x: Any) -> bool:
    """Whether x yields batches: a generator, an iterable, or an object with __len__ and __getitem__ (Keras' PyDataset).

    Arrays, tables and lists are no streams.
    """
    if x is None or isinstance(x, np.ndarray | list | tuple | dict | set | str | bytes | range | memoryview):
        return False
    if any(hasattr(x, name) for name in ("__array__", "__array_interface__", "__dataframe__", "__buffer__")):
        return False
    return hasattr(x, "__iter__") or (hasattr(x, "__len__") and hasattr(x, "__getitem__"))


class StreamSource:
    """Batches that a user's object yields, one at a time: only one is held.

    A generator goes on where it stopped and cannot begin again; any other iterable begins anew with each pass; an
    object with __len__ and __getitem__ is read by number (in a new order with each pass if shuffle), and its
    on_epoch_end() called after each pass.

    Args:       read: makes Data of one yielded batch, given the batch and its number.
    Attributes: count, batches of an epoch, None if not known; ran_out: a generator ended before its epoch did.
    """

    def __init__(
        self, source: Any, read: Callable[[Any, int], Any], steps: int | None = None, shuffle: Any = False,
        random: np.random.Generator | None = None,
    ) -> None:  # fmt: skip
        self._source, self._read, self._steps = source, read, steps
        self._random = random if shuffle else None
        self._once = hasattr(source, "__next__")
        self._by_number = not self._once and hasattr(source, "__len__") and hasattr(source, "__getitem__")
        self._open: Iterator[Any] | None = None
        self._number = 0
        self.count = steps if steps is not None else len(source) if hasattr(source, "__len__") else None
        self.samples, self.size, self.unit = self.count or 0, 1, "batches"
        self.ran_out = False

    def epoch(self) -> Iterator[Any]:
        """The batches of the next epoch, read."""
        self._number = 0
        if self._steps is None:
            yield from self._pass()
            return
        for _ in range(self._steps):
            batch = next(self._open, None) if self._open is not None else None
            if batch is None:  # a pass has ended, or none has begun
                self._open = None if self._once and self._open is not None else self._pass()
                batch = None if self._open is None else next(self._open, None)
            if batch is None:
                self.ran_out = True
                return
            yield batch

    def _pass(self) -> Iterator[Any]:
        for batch in self._by_numbers() if self._by_number else self._source:
            self._number += 1
            yield self._read(batch, self._number)

    def _by_numbers(self) -> Iterator[Any]:
        count = len(self._source)
        for number in self._random.permutation(count).tolist() if self._random is not None else range(count):
            yield self._source[number]
        if hasattr(self._source, "on_epoch_end"):
            self._source.on_epoch_end()


Source = ArraySource | StreamSource


def unpack(batch: Any, caller: str, number: int) -> tuple[Any, Any, Any]:
    """(x, y, sample_weight or None) of what a stream yielded.

    Raises: TypeError naming the batch.
    """
    if isinstance(batch, tuple | list) and len(batch) in (2, 3):
        return batch[0], batch[1], batch[2] if len(batch) == 3 else None
    got = f"a {type(batch).__name__} of {len(batch)}" if isinstance(batch, tuple | list) else type(batch).__name__
    raise TypeError(f"{caller}: expected batches (x, y) or (x, y, sample_weight), got {got} as batch {number}.")


def refuse_beside_stream(caller: str, **given: Any) -> None:
    """Raise ValueError for an argument that has no meaning where x yields batches."""
    for name, value in given.items():
        if value is not None:
            remedy = {
                "y": "Yield (x, y).",
                "sample_weight": "Yield (x, y, sample_weight).",
                "batch_size": "The batches have the size that they are yielded with.",
                "validation_split": "Pass validation_data.",
            }[name]
            raise ValueError(f"{caller}: x yields batches, so {name} must be left out. {remedy}")
