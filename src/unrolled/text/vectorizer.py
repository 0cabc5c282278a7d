"""Texts to ids in one object that is fitted, saved and loaded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any

import numpy as np

from unrolled.columns import as_texts
from unrolled.errors import NotBuiltError, closest
from unrolled.parameters import Array
from unrolled.preprocessing.sequence import pad_sequences
from unrolled.sources import slices
from unrolled.text.cleaning import as_set, clean_words
from unrolled.text.packed import BLOCK, PackedIds, count_each
from unrolled.text.vocabulary import OOV_ID, PAD_ID, Vocabulary
from unrolled.text.words import split_words

TOKENIZERS = ("words", "cookbook")
UNKNOWN = -1  # in place of words that are left out


class TextVectorizer:
    """Texts to lists of ids, numbered by frequency over the texts that it was fitted on.

    TextVectorizer(num_words=20_000).fit_transform(texts) -> [[17, 3, 251, ...], ...]

    Args:
        tokenizer: "words", any language (split_words); "cookbook", ASCII letters and digits alone (clean); or a
            function from a text to a list of words, which cannot be saved.
        stop_words: words to leave out, in lower case; none by default.
        num_words: keep so many of the most frequent words, None all; min_count: and only those that occur so often.
        oov: True: an unknown word has the id 1; False: it is left out, and ids of words start at 1.
    Attributes: vocabulary, a Vocabulary; None before fit.
    Raises: ValueError or TypeError for arguments that are not understood.
    """

    def __init__(
        self,
        tokenizer: str | Callable[[str], list[str]] = "words",
        stop_words: Iterable[str] | None = None,
        num_words: int | None = None,
        min_count: int = 1,
        oov: bool = True,
    ) -> None:
        if isinstance(tokenizer, str) and tokenizer not in TOKENIZERS:
            raise ValueError(
                f"TextVectorizer: unknown tokenizer {tokenizer!r}{closest(tokenizer, TOKENIZERS)} "
                f"Known: {', '.join(TOKENIZERS)}, or a function from a text to a list of words."
            )
        if not isinstance(tokenizer, str) and not callable(tokenizer):
            raise TypeError(f"TextVectorizer: expected tokenizer as a name or a function, got {tokenizer!r}.")
        for name, value in (("num_words", num_words), ("min_count", min_count)):
            if value is None and name == "num_words":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"TextVectorizer: expected {name} as a whole number of at least 1, got {value!r}.")
        self.tokenizer, self.num_words, self.min_count, self.oov = tokenizer, num_words, min_count, bool(oov)
        self.stop_words = as_set(stop_words)
        self.vocabulary: Vocabulary | None = None

    def tokenize(self, text: str) -> list[str]:
        """The words of one text, stop words left out."""
        if self.tokenizer == "cookbook":
            return clean_words(text, self.stop_words)
        words = split_words(text) if isinstance(self.tokenizer, str) else list(self.tokenizer(text))
        return [word for word in words if word not in self.stop_words] if self.stop_words else words

    def fit(self, texts: Any, y: Any = None) -> TextVectorizer:
        """Number the words of a column of texts; y is ignored.

        Raises: TypeError naming the row that is no text; ValueError if there are no words at all.
        """
        self.fit_packed(texts)
        return self

    def fit_transform(self, texts: Any, y: Any = None) -> list[list[int]]:
        """fit and transform with one pass over the texts."""
        return self.fit_packed(texts).to_lists()

    def fit_packed(self, texts: Any) -> PackedIds:
        """fit_transform with the ids in one array.

        Words are numbered as they appear while the texts are split, so no text's words outlive it, and renumbered by
        frequency at the end; equally frequent ones stay in the order of their first appearance.
        """
        seen: defaultdict[str, int] = defaultdict()
        seen.default_factory = seen.__len__
        rows = PackedIds.from_rows(
            np.fromiter(map(seen.__getitem__, words), np.int32, len(words))
            for words in map(self.tokenize, as_texts(texts))
        )
        counts = count_each(rows.ids, len(seen))
        ranked = np.argsort(-counts, kind="stable")[: self.num_words]
        ranked = ranked[counts[ranked] >= self.min_count]
        if not len(ranked):
            raise ValueError(
                f"TextVectorizer: expected at least one word that occurs {self.min_count} times, found none in "
                f"{len(rows)} texts. Check that this is the column of texts; lower min_count; use fewer stop words."
            )
        words = list(seen)
        self.vocabulary = Vocabulary((words[number] for number in ranked), oov=self.oov)
        self.vocabulary.counts = dict(zip(self.vocabulary.words, counts[ranked].tolist(), strict=True))
        numbers = np.full(len(seen), OOV_ID if self.oov else UNKNOWN, np.int32)
        numbers[ranked] = np.arange(len(ranked)) + len(self.vocabulary) - len(ranked)
        for block in slices(len(rows.ids), BLOCK):  # in place, for nobody else has these rows
            rows.ids[block] = numbers[rows.ids[block]]
        return self._known(rows)

    def _known(self, rows: PackedIds) -> PackedIds:
        """Without the words that have no id, if unknown words have none."""
        return rows if self.oov else rows.keep(rows.ids != UNKNOWN)

    def transform(self, texts: Any) -> list[list[int]]:
        """The ids of the words of each text: lists of unequal length.

        Raises: NotBuiltError before fit; TypeError naming the row that is no text.
        """
        return self.transform_packed(texts).to_lists()

    def transform_packed(self, texts: Any) -> PackedIds:
        """Transform with the ids in one array."""
        find = self._fitted("transform").index.get
        unknown = repeat(OOV_ID if self.oov else UNKNOWN)
        return self._known(
            PackedIds.from_rows(
                np.fromiter(map(find, words, unknown), np.int32, len(words))
                for words in map(self.tokenize, as_texts(texts))
            )
        )

    def to_array(self, texts: Any, maxlen: int | None = None, padding: str = "pre", truncating: str = "pre") -> Array:
        """The same as one int32 array (N, maxlen), padded with 0; arguments as pad_sequences."""
        padded = pad_sequences(
            list(self.transform_packed(texts)), maxlen, padding=padding, truncating=truncating, value=PAD_ID
        )
        return padded

    def inverse_transform(self, ids: Any) -> list[str]:
        """Texts of known words from rows of ids, "[?]" for an unknown word."""
        vocabulary = self._fitted("inverse_transform")
        return [" ".join(vocabulary.to_words(row)) for row in ids]

    def _fitted(self, what: str) -> Vocabulary:
        if self.vocabulary is None:
            raise NotBuiltError(f"TextVectorizer: {what} needs a vocabulary. Call fit(texts) first.")
        return self.vocabulary

    def get_config(self) -> dict[str, Any]:
        """Arguments and vocabulary, ready for JSON.

        Raises: TypeError if the tokenizer is a function.
        """
        if not isinstance(self.tokenizer, str):
            raise TypeError(
                f"TextVectorizer: the tokenizer is a function, {self.tokenizer!r}, and a file holds no code. "
                f"Use one of {', '.join(TOKENIZERS)}, or keep the ids instead of the texts."
            )
        return {
            "tokenizer": self.tokenizer,
            "stop_words": sorted(self.stop_words),
            "num_words": self.num_words,
            "min_count": self.min_count,
            "oov": self.oov,
            "vocabulary": None if self.vocabulary is None else self.vocabulary.get_config()["words"],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TextVectorizer:
        """The vectorizer that get_config described, vocabulary included."""
        arguments = dict(config)
        words = arguments.pop("vocabulary")
        vectorizer = cls(**arguments)
        if words is not None:
            vectorizer.vocabulary = Vocabulary(words, oov=vectorizer.oov)
        return vectorizer
