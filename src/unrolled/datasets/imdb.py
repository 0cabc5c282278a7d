"""25,000 + 25,000 film reviews as word ids, half of them positive: Keras' imdb, with the same arguments and result.

Source: Maas et al. 2011, "Learning word vectors for sentiment analysis".
"""

from __future__ import annotations

import json
import warnings
from itertools import chain
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.cache import find_file
from unrolled.datasets.npz import Lists, read_npz
from unrolled.errors import FileFormatError

Array = NDArray[Any]
Path = str | PathLike[str] | None

_ARRAYS_SHA256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
_WORD_INDEX_SHA256 = "027313fe9a320280f3bf0fac5baf58c4a683cf39a7ed9c3d3d3912bde4284cf6"


def load_data(
    path: Path = None,
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = 3,
    **kwargs: Any,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """The reviews as lists of word ids, and their labels; shuffled, split as published.

    0 is kept for padding, 1 marks the start, 2 stands for words that are left out, and the word of rank r (1 is the
    most frequent one) has the id r + 3.

    Args:    path: of an .npz file with x_train, y_train, x_test, y_test, read without a hash check; by default
             imdb.npz in $UNROLLED_HOME (else the cache folder), downloaded from where Keras has it if it is not there;
             num_words: keep ids below it; by default all but the single largest id, as Keras does;
             skip_top: keep ids from it on; maxlen: keep reviews that are shorter, the start mark counted;
             seed: of the shuffle; start_char: put in front, None for nothing; oov_char: put in place of ids that are
             not kept, None to drop them; index_from: added to every rank.
    Returns: (x_train, y_train), (x_test, y_test): x object arrays of lists of ints, y int64, 0 negative, 1 positive.
    Raises:  FileNotFoundError saying where to put the file if it cannot be fetched; FileFormatError if it is broken;
             ValueError if maxlen leaves no review; TypeError for an unknown argument.
    Source:  arguments and result as keras.datasets.imdb.load_data.
    """
    if "nb_words" in kwargs:
        warnings.warn("imdb.load_data: nb_words is now called num_words.", FutureWarning, stacklevel=2)
        num_words = kwargs.pop("nb_words")
    if kwargs:
        raise TypeError(f"imdb.load_data: got the unknown argument {next(iter(kwargs))!r}.")
    if num_words is not None and (isinstance(num_words, bool) or not isinstance(num_words, int | np.integer)):
        raise TypeError(f"imdb.load_data: expected num_words to be a whole number or None, got {num_words!r}.")
    names = ("x_train", "y_train", "x_test", "y_test")
    file = find_file(path, "imdb.npz", _ARRAYS_SHA256)
    arrays = read_npz(file, names)
    random = np.random.RandomState(seed)
    halves = []
    for x_name, y_name in (names[:2], names[2:]):
        rows, labels = arrays[x_name], arrays[y_name]
        if not isinstance(rows, list) or not isinstance(labels, np.ndarray) or labels.shape != (len(rows),):
            raise FileFormatError(f"{file}: expected {x_name} to hold lists of ids and {y_name} a label for each.")
        order = np.arange(len(rows))
        random.shuffle(order)
        halves.append((_Ragged.of([rows[i] for i in order], start_char, index_from), labels[order]))
    if maxlen:
        halves = [(x.select(x.lengths < maxlen), y[x.lengths < maxlen]) for x, y in halves]
        if not all(len(y) for _, y in halves):
            raise ValueError(
                f"imdb.load_data: no review is shorter than maxlen={maxlen} steps. Choose a larger maxlen."
            )
    below = num_words or max(int(x.flat.max(initial=0)) for x, _ in halves)
    (train, y_train), (test, y_test) = ((x.keep(skip_top, below, oov_char), y) for x, y in halves)
    return (train.to_lists(), y_train), (test.to_lists(), y_test)


def get_word_index(path: Path = None) -> dict[str, int]:
    """The rank of each of the 88,584 words, 1 the most frequent; the id in `load_data` is the rank + index_from.

    Args:    path: of a JSON file; by default imdb_word_index.json in $UNROLLED_HOME (else the cache folder), downloaded
             from where Keras has it if it is not there.
    Raises:  FileNotFoundError saying where to put the file if it cannot be fetched; FileFormatError if it is broken.
    Source:  as keras.datasets.imdb.get_word_index.
    """
    file = find_file(path, "imdb_word_index.json", _WORD_INDEX_SHA256)
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileFormatError(f"{file}: expected JSON, got a file that is broken ({error}). Copy it again.") from error
    if not isinstance(index, dict):
        raise FileFormatError(f"{file}: expected words and their ranks, got a {type(index).__name__}.")
    return index


class _Ragged:
    """Rows of ids in one flat array, so that millions of ids are changed at once."""

    def __init__(self, flat: Array, lengths: Array) -> None:
        self.flat, self.lengths = flat, lengths

    @classmethod
    def of(cls, rows: Lists, start: int | None, add: int) -> _Ragged:
        """Every id plus `add`, with `start` in front of each row."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        flat = np.fromiter(chain.from_iterable(rows), np.int64, int(lengths.sum())) + (add or 0)
        if start is None:
            return cls(flat, lengths)
        return cls(np.insert(flat, np.cumsum(lengths) - lengths, start), lengths + 1)

    def select(self, rows: Array) -> _Ragged:
        """Only the rows where `rows` (one flag a row) is True."""
        return _Ragged(self.flat[np.repeat(rows, self.lengths)], self.lengths[rows])

    def keep(self, first: int, below: int, other: int | None) -> _Ragged:
        """Ids from `first` to `below` - 1; in place of the rest `other`, or nothing if it is None."""
        kept = (first <= self.flat) & (self.flat < below)
        if other is not None:
            return _Ragged(np.where(kept, self.flat, other), self.lengths)
        counts = np.concatenate([[0], np.cumsum(kept)])
        ends = np.cumsum(self.lengths)
        return _Ragged(self.flat[kept], counts[ends] - counts[ends - self.lengths])

    def to_lists(self) -> Array:
        """An object array of one list of ints a row."""
        ids, ends = self.flat.tolist(), np.cumsum(self.lengths).tolist()
        result = np.empty(len(ends), object)
        for row, (end, length) in enumerate(zip(ends, self.lengths.tolist(), strict=True)):
            result[row] = ids[end - length : end]
        return result
