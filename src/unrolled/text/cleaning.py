"""Cleaning of English text as the Neural Networks with Keras Cookbook does it (chapter 11)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NOT_ALPHANUMERIC = re.compile("[^0-9a-zA-Z]+")


def clean(text: str, stop_words: Iterable[str] = ()) -> str:
    """Lower case, everything but ASCII letters and digits to blanks, stop words removed, single blanks between words.

    "It's NOT a flight..." -> "it s not a flight"; accents, other scripts and emoji are lost: see split_words.

    Args:    stop_words: words in lower case to leave out, none by default.
    Returns: the words, joined by blanks.
    """
    return " ".join(clean_words(text, as_set(stop_words)))


def clean_words(text: str, stop_words: frozenset[str]) -> list[str]:
    """The same as a list."""
    words = _NOT_ALPHANUMERIC.sub(" ", text.lower()).split()
    return [word for word in words if word not in stop_words] if stop_words else words


def as_set(stop_words: Iterable[str] | None) -> frozenset[str]:
    """Stop words as a set.

    Raises: TypeError for one text instead of many words.
    """
    if isinstance(stop_words, str):
        raise TypeError(f"stop_words: expected a list of words, got the text {stop_words!r:.40}. Write ['the', 'a'].")
    words = frozenset(stop_words or ())
    for word in words:
        if not isinstance(word, str):
            raise TypeError(f"stop_words: expected words, got {word!r}.")
    return words
