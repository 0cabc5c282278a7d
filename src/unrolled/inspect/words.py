"""What the steps of an input are called: words for ids, numbers for series of one feature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from unrolled.errors import UnknownNameError
from unrolled.parameters import Array
from unrolled.printing import show_number

PAD = "‹pad›"


class Words:
    """Names for the steps of rows, and ids for words.

    Made from: None (ids are shown as numbers); a vocabulary or fitted vectorizer; {id: word} or {word: id}; a function
    from an id to a word; a list of T tokens for one row, or of such lists for several.
    """

    def __init__(self, find: Callable[[int], str] | None, index: Mapping[str, int] | None, tokens: Any = None) -> None:
        self._find, self._index, self._tokens = find, index, tokens
        self._row: list[str] | None = None

    @staticmethod
    def of(words: Any, one: bool = True) -> Words:
        """Words from whatever was given; one: a list of tokens is that of the only row.

        Raises: TypeError.
        """
        if isinstance(words, Words):
            return words
        if words is None:
            return Words(None, None)
        vocabulary = getattr(words, "vocabulary", words)
        if hasattr(vocabulary, "words") and hasattr(vocabulary, "index"):
            first = len(vocabulary) - len(vocabulary.words)
            return Words(
                lambda k: vocabulary.words[k - first] if 0 <= k - first < len(vocabulary.words) else f"[{k}]",
                vocabulary.index,
            )
        if isinstance(words, Mapping):
            by_word = bool(words) and isinstance(next(iter(words)), str)
            names = {v: k for k, v in words.items()} if by_word else words
            return Words(lambda k: str(names.get(k, f"[{k}]")), words if by_word else {v: k for k, v in words.items()})
        if callable(words):
            return Words(lambda k: str(words(k)), None)
        if isinstance(words, list | tuple) and words:
            return Words(None, None, [list(map(str, words))] if isinstance(words[0], str) else list(words))
        raise TypeError(
            "trace: expected words as a vocabulary, a dict, a function or a list of tokens, "
            f"got {type(words).__name__}."
        )

    @staticmethod
    def read_text(text: Any, words: Any, label: str) -> tuple[list[Any], Words]:
        """Rows of ids of texts, by a fitted vectorizer.

        Raises: TypeError without one; ValueError for a text without a word.
        """
        if not (hasattr(words, "transform") and hasattr(words, "tokenize")):
            raise TypeError(
                f"{label}: expected numbers, got text. Give words=the fitted TextVectorizer, or trace a TextClassifier."
            )
        texts = [text] if isinstance(text, str) else list(text)
        rows = [list(row) for row in words.transform(texts)]
        for number, row in enumerate(rows):
            require_words(row, texts[number], number, label)
        length = max(map(len, rows))
        named = Words.of(words.vocabulary)
        return [[0] * (length - len(row)) + row for row in rows], named

    def id_of(self, word: Any, label: str) -> int:
        """The id of a word; a number stays.

        Raises: UnknownNameError for a word that has none; TypeError if words have no ids here.
        """
        if isinstance(word, int | np.integer) and not isinstance(word, bool):
            return int(word)
        if self._index is None:
            raise TypeError(f"{label}: expected an id, got {word!r}. Trace with words=... to use words.")
        if word not in self._index:
            raise UnknownNameError(f"{label}: the vocabulary has no word {word!r}. Give its id to use another one.")
        return int(self._index[word])

    def with_rows(self, tokens: list[list[str]]) -> Words:
        """The same words for several rows whose tokens are given; padding stands in front."""
        return Words(self._find, self._index, tokens)

    def row(self, number: int) -> Words:
        """The words of one row."""
        if self._tokens is None:
            return self
        one = Words(self._find, self._index)
        one._row = list(self._tokens[number])
        return one

    def rows(self, rows: slice) -> Words:
        """The words of some rows."""
        return self if self._tokens is None else Words(self._find, self._index, self._tokens[rows])

    def with_tokens(self, tokens: list[str] | None) -> Words:
        """The same words for another row, whose tokens may be given."""
        other = Words(self._find, self._index)
        other._row = tokens
        return other

    def padding(self, x: Array) -> Array:
        """(T,) True at ids 0 in front and behind."""
        found = np.zeros(len(x), bool)
        if x.ndim == 1 and x.dtype.kind in "iu":
            real = np.flatnonzero(x)
            found[: real[0] if len(real) else len(x)] = True
            found[real[-1] + 1 if len(real) else 0 :] = True
        return found

    def name(self, x: Array) -> list[str]:
        """A text for each step of a row (T,) of ids or (T, D) of numbers."""
        if self._row is not None:
            return ([PAD] * (len(x) - len(self._row)) + self._row)[-len(x) :]
        if x.ndim == 1 and x.dtype.kind in "iu":
            find = self._find or str
            return [PAD if pad else find(k) for k, pad in zip(x.tolist(), self.padding(x).tolist(), strict=True)]
        if x.ndim == 2 and x.shape[1] == 1:
            return [show_number(v) for v in x[:, 0]]
        return [""] * len(x)


def require_words(row: Any, text: str, number: int, label: str) -> None:
    """Check that a text has a word.

    Raises: ValueError.
    """
    if not len(row):
        raise ValueError(
            f"{label}: text {number}, {text[:60]!r}, has no word that the vocabulary keeps: nothing to trace. "
            "Give a text with at least one known word."
        )
