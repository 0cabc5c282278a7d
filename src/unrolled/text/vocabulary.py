"""Words and their ids, numbered by frequency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any

PAD_ID = 0
OOV_ID = 1


class Vocabulary:
    """Words and their ids: 0 is padding, 1 any unknown word, and from 2 on the words by falling frequency.

    With oov=False unknown words are left out and the words start at 1, as in the cookbook.

    Args:   words: the words in the order of their ids, without repeats; oov: whether unknown words have an id.
    Raises: ValueError for a repeated word; TypeError for anything but words.

    Attributes: words, a list; index, {word: id}; counts, {word: number} if it was counted, else None.
    """

    def __init__(self, words: Iterable[str] = (), *, oov: bool = True) -> None:
        self.words = list(words)
        self.oov = bool(oov)
        first = OOV_ID + 1 if self.oov else PAD_ID + 1
        self.index = {word: number for number, word in enumerate(self.words, first)}
        self.counts: dict[str, int] | None = None
        for word in self.words:
            if not isinstance(word, str):
                raise TypeError(f"Vocabulary: expected words, got {word!r}.")
        if len(self.index) != len(self.words):
            twice = next(word for word, count in Counter(self.words).items() if count > 1)
            raise ValueError(f"Vocabulary: expected every word once, got {twice!r} more than once.")

    @classmethod
    def count(
        cls, rows: Iterable[Iterable[str]], num_words: int | None = None, min_count: int = 1, *, oov: bool = True
    ) -> Vocabulary:
        """Number the words of `rows` by falling frequency; equally frequent ones in order of first appearance.

        Args:   rows: lists of words; num_words: keep so many of the most frequent, None all; min_count: keep words
                that occur at least so often.
        """
        counts = Counter(chain.from_iterable(rows))
        ranked = sorted(((w, c) for w, c in counts.items() if c >= min_count), key=lambda item: -item[1])[:num_words]
        vocabulary = cls((word for word, _ in ranked), oov=oov)
        vocabulary.counts = dict(ranked)
        return vocabulary

    def __len__(self) -> int:
        """Number of ids, padding and unknown included: the input_dim of an Embedding."""
        return len(self.words) + (2 if self.oov else 1)

    def __contains__(self, word: object) -> bool:
        return word in self.index

    def to_ids(self, words: Iterable[str]) -> list[int]:
        """The ids of words; an unknown one is 1, or left out with oov=False."""
        find = self.index.get
        if self.oov:
            return [find(word, OOV_ID) for word in words]
        return [number for number in map(find, words) if number is not None]

    def to_words(self, ids: Iterable[int], unknown: str = "[?]") -> list[str]:
        """The words of ids; padding is left out, an unknown word is `unknown`.

        Raises: ValueError for an id that the vocabulary does not have.
        """
        first = len(self) - len(self.words)
        found = []
        for number in ids:
            if not 0 <= number < len(self):
                raise ValueError(f"Vocabulary: expected ids from 0 to {len(self) - 1}, got {number}.")
            if number != PAD_ID:
                found.append(unknown if number < first else self.words[number - first])
        return found

    def get_config(self) -> dict[str, Any]:
        """The words in order and oov, ready for JSON."""
        return {"words": self.words, "oov": self.oov}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Vocabulary:
        """The vocabulary that get_config described."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<Vocabulary of {len(self.words)} words, ids up to {len(self) - 1}>"
