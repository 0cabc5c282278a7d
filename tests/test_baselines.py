"""Baselines: what they predict, who wins, and what is refused; real tweets."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from unrolled.baselines import compare, majority, tfidf_logistic
from unrolled.errors import ShapeError
from unrolled.evaluation import evaluate
from unrolled.splits import split


def test_majority_gives_the_shares_of_training() -> None:
    y = majority(["no", "yes", "no", "no"], ["yes", "no"])
    assert_allclose(y, [[0.75, 0.25], [0.75, 0.25]])
    assert evaluate(["yes", "no"], y, ["no", "yes"], resamples=0).accuracy == 0.5


def test_words_and_pairs_are_learned() -> None:
    texts = [f"{word} film {row}" for row in range(20) for word in ("good", "bad", "fair")]
    y = tfidf_logistic(texts, ["g", "b", "f"] * 20, ["a good one", "bad, bad", "fair"])
    assert y.shape == (3, 3)
    assert_allclose(y.sum(axis=1), 1)
    assert_array_equal(y.argmax(axis=1), [2, 0, 1])  # b, f, g
    pairs = ["not good", "not bad", "good", "bad"] * 20  # neither word tells the class, the pair does
    y = tfidf_logistic(pairs, [0, 1, 1, 0] * 20, pairs[:4], C=1000.0)
    assert_array_equal(y.argmax(axis=1), [0, 1, 1, 0])


def test_another_tokenizer_and_many_texts() -> None:
    texts = ["a|b", "c|d"] * 10
    test = ["a", "c"] * 2001  # more than one group
    y = tfidf_logistic(texts, [0, 1] * 10, test, tokenizer=lambda text: text.split("|"))
    assert_array_equal(y.argmax(axis=1), [0, 1] * 2001)
    assert tfidf_logistic(texts, [0, 1] * 10, []).shape == (0, 2)


def right_in(rows: int, right: int, first: int = 0) -> Any:
    """Probabilities of class 1 for rows of class 1, `right` of them above a half."""
    return np.where((np.arange(rows) - first) % rows < right, 0.9, 0.1)


def test_who_wins() -> None:
    truth = np.ones(1000, int)
    better = compare(truth, right_in(1000, 900), right_in(1000, 800), [0, 1], names=("the LSTM", "the plain one"))
    assert better.winner == "the LSTM"
    low, high = better.interval
    assert_allclose([low, high], [0.1 - 1.96 * 0.0095, 0.1 + 1.96 * 0.0095], atol=0.002)  # 100 rows, sd sqrt(.09/1000)
    assert str(better) == (
        "The LSTM wins: accuracy 0.9000, the plain one 0.8000; the difference of 0.1000 is beyond chance "
        f"(95 % interval {low:.4f} to {high:.4f})."
    )
    worse = compare(truth, right_in(1000, 800), right_in(1000, 900), [0, 1])
    assert worse.winner == "TF-IDF logistic regression"
    assert str(worse) == (
        "TF-IDF logistic regression wins: accuracy 0.9000, the network 0.8000; the difference of 0.1000 is beyond "
        f"chance (95 % interval {low:.4f} to {high:.4f})."
    )


def test_pairing_counts_where_they_differ() -> None:
    truth = np.ones(1000, int)
    same_rows = compare(truth, right_in(1000, 810), right_in(1000, 800), [0, 1])
    other_rows = compare(truth, right_in(1000, 810, 150), right_in(1000, 800), [0, 1])
    assert same_rows.winner == "the network"  # 10 rows more and none less
    assert other_rows.winner is None  # 150 rows better, 140 worse
    assert same_rows.difference == pytest.approx(other_rows.difference)
    low, high = other_rows.interval
    assert str(other_rows) == (
        "No winner between the network and TF-IDF logistic regression: accuracy 0.8100 and 0.8000, a difference of "
        f"+0.0100 that 1,000 rows cannot tell from chance (95 % interval {low:+.4f} to {high:+.4f})."
    )


def test_a_lower_loss_is_better() -> None:
    truth = np.ones(100, int)
    found = compare(truth, np.full(100, 0.9), np.full(100, 0.6), [0, 1], metric="log_loss", resamples=50)
    assert found.winner == "the network"
    assert found.difference == pytest.approx(np.log(0.9 / 0.6))


def test_messages() -> None:
    with pytest.raises(ValueError) as error:
        compare([0, 1], [0.1, 0.9], [0.1, 0.9], [0, 1], metric="acc")
    assert str(error.value) == ("compare: expected metric as one of accuracy, macro_f1, auc, log_loss, got 'acc'.")
    with pytest.raises(ValueError) as error:
        compare([0, 1], [0.1, 0.9], [0.1, 0.9], [0, 1], resamples=0)
    assert str(error.value) == "compare: expected resamples as a whole number of at least 1, got 0."
    with pytest.raises(ShapeError) as error:
        tfidf_logistic(["a", "b"], [1], ["c"])
    assert str(error.value) == "tfidf_logistic: expected one label for each of 2 training texts, got 1 labels."
    with pytest.raises(ValueError) as error:
        tfidf_logistic(["a", "b"], [1, 1], ["c"])
    assert str(error.value) == "tfidf_logistic: expected at least two classes, got [1]."


def test_real_tweets(shared_data: Path) -> None:
    with (shared_data / "airline" / "airline_sentiment.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts, labels = [row["text"] for row in rows], np.array([row["airline_sentiment"] for row in rows])
    sides = split(texts, labels.tolist(), 0.3, seed=0)
    assert (sides.repeated, sides.conflicting) == (176, 4)  # 160 exactly, others but for white space or case
    test = labels[sides.test]
    y = tfidf_logistic([texts[row] for row in sides.train], labels[sides.train], [texts[row] for row in sides.test])
    logistic = evaluate(test, y, ["0", "1"])
    guess = evaluate(test, majority(labels[sides.train], test), ["0", "1"])
    assert guess.accuracy == pytest.approx(0.795, abs=0.003)
    assert logistic.accuracy > 0.90
    assert compare(test, y, majority(labels[sides.train], test), ["0", "1"]).winner == "the network"
