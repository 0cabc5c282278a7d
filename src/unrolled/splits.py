"""Rows to learn from and rows held out: every class in its proportion, repeats of a row on one side."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from unrolled.columns import as_list, as_texts
from unrolled.errors import ShapeError
from unrolled.parameters import Array


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of both sides, ascending.

    repeated: how many texts repeat an earlier one; conflicting: how many of these have another label than the first.
    """

    train: Array
    test: Array
    repeated: int
    conflicting: int

    def __str__(self) -> str:
        text = f"{len(self.train):,} rows to learn from, {len(self.test):,} held out"
        if not self.repeated:
            return f"{text}; no text occurs twice."
        text += f"; {_count(self.repeated, 'text')} an earlier one and stay on its side"
        return f"{text}, {self.conflicting:,} of them with another label." if self.conflicting else f"{text}."


def split(texts: Any, labels: Any, test_size: float = 0.2, seed: int = 0) -> Split:
    """Hold out a share of every class for testing; texts that are equal stand on one side.

    Texts are equal if they differ in white space and case at most. A class with a single text is only learned from.

    Args:    texts: N texts, a list or a column; labels: N of any kind; test_size: share held out, between 0 and 1;
             seed: of the draw.
    Raises:  ShapeError for another number of labels; ValueError for a test_size outside (0, 1), or if no class has two
             different texts; TypeError naming the row that is no text.
    """
    rows, given = as_texts(texts), as_list(labels, "labels")
    if len(rows) != len(given):
        raise ShapeError(f"split: expected one label for each of {len(rows)} texts, got {len(given)} labels.")
    if isinstance(test_size, bool) or not isinstance(test_size, int | float | np.number) or not 0 < test_size < 1:
        raise ValueError(f"split: expected test_size as a share between 0 and 1, e.g. 0.2, got {test_size!r}.")
    keys = text_keys(rows)
    _, codes = np.unique(given, return_inverse=True)
    codes = codes.reshape(-1)
    train, test = stratified_holdout(codes, float(test_size), np.random.default_rng(seed), keys)
    if not len(test):
        raise ValueError(
            f"split: expected a class with two different texts to hold one out, got none in {len(rows)} rows. Add rows."
        )
    first: dict[Hashable, int] = {}
    conflicting = sum(int(codes[row] != codes[first.setdefault(key, row)]) for row, key in enumerate(keys))
    return Split(train, test, count_repeats(keys), conflicting)


def overlap(train_texts: Any, test_texts: Any) -> int:
    """How many of the test texts are also among the training texts, but for white space and case."""
    known = set(text_keys(as_texts(train_texts, "train_texts")))
    return sum(key in known for key in text_keys(as_texts(test_texts, "test_texts")))


def text_keys(texts: Sequence[str]) -> list[Hashable]:
    """A key for each text, equal for texts that differ in white space and case at most (16 bytes, not the text)."""
    return [
        blake2b(" ".join(text.split()).casefold().encode("utf-8", "surrogatepass"), digest_size=16).digest()
        for text in texts
    ]


def stratified_holdout(
    codes: Array, fraction: float, random: np.random.Generator, keys: Sequence[Hashable] | None = None
) -> tuple[Array, Array]:
    """Rows to train on and rows held out, each in ascending order.

    Of every class about `fraction` of the rows are held out, at least one if the class has two different rows; a class
    with one row is only trained on. Rows with equal keys are on the same side, in the class of the first of them.

    Args:    codes: (N,) class numbers; keys: N values that are equal where the content of rows is equal.
    Returns: train, held_out: int64 row numbers; held_out is empty if no class has two different rows.
    """
    groups: dict[Hashable, list[int]] = {}
    for row in range(len(codes)):
        groups.setdefault(row if keys is None else keys[row], []).append(row)
    by_class: dict[int, list[list[int]]] = {}
    for rows in groups.values():
        by_class.setdefault(int(codes[rows[0]]), []).append(rows)
    held = np.zeros(len(codes), bool)
    for code in sorted(by_class):
        members = [by_class[code][number] for number in random.permutation(len(by_class[code]))]
        if len(members) < 2:
            continue
        room = fraction * sum(map(len, members))
        taken = []
        for rows in members[:-1]:  # one group always stays
            if len(rows) <= room + 0.5:
                taken.append(rows)
                room -= len(rows)
        for rows in taken or [min(members, key=len)]:
            held[rows] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def count_repeats(keys: Sequence[Hashable]) -> int:
    """How many rows repeat an earlier one."""
    return len(keys) - len(set(keys))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun} repeats" if number == 1 else f"{number:,} {noun}s repeat"
