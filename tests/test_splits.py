"""Splits: shares of classes, repeats on one side, counts; the known repeats of IMDB."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from unrolled import splits
from unrolled.errors import ShapeError


def test_classes_keep_their_shares() -> None:
    labels = ["a"] * 700 + ["b"] * 300
    found = splits.split([f"text {row}" for row in range(1000)], labels, 0.2)
    assert_array_equal(np.sort(np.concatenate([found.train, found.test])), np.arange(1000))
    held = np.array(labels)[found.test]
    assert ((held == "a").sum(), (held == "b").sum()) == (140, 60)
    assert (found.repeated, found.conflicting) == (0, 0)
    assert str(found) == "800 rows to learn from, 200 held out; no text occurs twice."


def test_repeats_stand_on_one_side_and_are_counted() -> None:
    texts = [f"Text  number {row % 60}" if row < 60 else f"text number\n{row % 60} " for row in range(100)]
    labels = [row % 2 for row in range(100)]
    labels[99] = 0  # repeats row 39, whose label is 1
    found = splits.split(texts, labels, 0.3, seed=4)
    numbers = [row % 60 for row in range(100)]
    assert not {numbers[row] for row in found.train} & {numbers[row] for row in found.test}
    assert (found.repeated, found.conflicting) == (40, 1)
    assert str(found).endswith("40 texts repeat an earlier one and stay on its side, 1 of them with another label.")


def test_the_seed_says_which_rows() -> None:
    texts, labels = [str(row) for row in range(50)], [row % 2 for row in range(50)]
    first, again, other = (splits.split(texts, labels, 0.2, seed).test.tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_overlap_counts_test_texts() -> None:
    assert splits.overlap(["A film", "b"], ["a  FILM", "a film ", "c"]) == 2
    assert splits.overlap(["a"], []) == 0


def test_messages() -> None:
    with pytest.raises(ShapeError) as error:
        splits.split(["a", "b"], [1])
    assert str(error.value) == "split: expected one label for each of 2 texts, got 1 labels."
    with pytest.raises(ValueError) as error:
        splits.split(["a", "b"], [1, 2], 1.0)
    assert str(error.value) == "split: expected test_size as a share between 0 and 1, e.g. 0.2, got 1.0."
    with pytest.raises(ValueError) as error:
        splits.split(["a", "A "], [1, 2])
    assert str(error.value) == (
        "split: expected a class with two different texts to hold one out, got none in 2 rows. Add rows."
    )


def test_repeats_of_real_reviews(shared_data: Path) -> None:
    csv.field_size_limit(2**31 - 1)
    with gzip.open(shared_data / "imdb" / "reviews.csv.gz", "rt", encoding="utf-8", newline="") as file:
        texts: dict[str, list[str]] = {"train": [], "test": []}
        for row in csv.DictReader(file):
            texts[row["split"]].append(row["review"])
    repeats = [splits.count_repeats(splits.text_keys(texts[part])) for part in ("train", "test")]
    # The data's README counts exact repeats: 96, 199 and 123.
    assert repeats == [96, 199]
    assert splits.overlap(texts["train"], texts["test"]) == 123
