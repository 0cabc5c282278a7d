"""TextClassifier: what its arguments make, presets, and learning, on made-up texts and real ones."""

from __future__ import annotations

import csv
import gzip
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from classifier_cases import reviews, text_classifier
from unrolled.classifiers import TextClassifier
from unrolled.classifiers.member import enough_epochs
from unrolled.classifiers.presets import PRESETS
from unrolled.models import Sequential

pytestmark = pytest.mark.whole_programs


def test_texts_are_learned(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 240)
    classifier = text_classifier().fit(texts, labels)
    assert classifier.classes_.tolist() == ["negative", "positive"]
    new, truth = reviews(rng)
    assert classifier.score(new, truth) > 0.95
    y = classifier.predict_proba(new)
    assert y.shape == (120, 2)
    assert_allclose(y.sum(axis=1), 1)
    assert_array_equal(classifier.predict(new), classifier.classes_[y.argmax(axis=1)])
    assert classifier.n_iter_ == len(classifier.history_["val_loss"]) <= 15
    assert isinstance(classifier.model_, Sequential)


@pytest.mark.parametrize(
    "arguments",
    [
        {"cell": "gru", "layers": 2}, {"cell": "simple_rnn", "pooling": "max"},
        {"bidirectional": True, "pooling": "max+mean"}, {"bigrams": 50, "embedding_dropout": 0.2, "word_dropout": 0.1},
        {"weight_averaging": 0.5},
        {"maxlen": 4, "truncating": "pre"}, {"early_stopping": False}, {"optimizer": "rmsprop"}, {"num_words": 5},
    ],
    ids=str,
)  # fmt: skip
def test_arguments_shape_the_network(arguments: dict[str, Any], rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 40)
    classifier = text_classifier(epochs=1, **arguments).fit(texts, labels)
    names = [layer.name for layer in classifier.model_.layers]
    cell = arguments.get("cell", "lstm")
    expected = (
        ["both_lstm_1"]
        if "bidirectional" in arguments
        else [f"{cell}_{i + 1}" for i in range(arguments.get("layers", 1))]
    )
    assert [name for name in names if name[-1].isdigit() and not name.startswith("dropout")] == expected
    assert ("pooling" in names) == ("pooling" in arguments)
    assert ("val_loss" in classifier.history_) == ("early_stopping" not in arguments)
    assert type(classifier.model_.optimizer).__name__.lower() == arguments.get("optimizer", "adam")
    embedding = classifier.model_.get_layer("embedding")
    assert type(embedding).__name__ == ("BigramEmbedding" if "bigrams" in arguments else "Embedding")
    assert getattr(embedding, "bigram_dropout", 0.5) == 0.5
    assert embedding.dropout == arguments.get("embedding_dropout", 0)
    assert ("word_dropout" in names) == ("word_dropout" in arguments)
    averages = classifier.model_.optimizer.averages
    assert (averages is not None) == ("weight_averaging" in arguments)
    rows = embedding.get_weights()[0].shape[0]
    assert rows == 7 if "num_words" in arguments else rows > 30


def test_long_texts_keep_the_ends_asked_for() -> None:
    texts, kept = ["a b c d e f", "g"], {"middle": "a b f", "pre": "d e f", "post": "a b c"}
    for side, words in kept.items():
        classifier = text_classifier(maxlen=3, truncating=side, epochs=1, early_stopping=False).fit(texts, [0, 1])
        assert classifier.vectorizer_.inverse_transform(classifier._rows(texts)) == [words, "g"]


def test_a_text_is_judged_alone(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 40)
    classifier = text_classifier(epochs=2, bidirectional=True, pooling="max").fit(texts, labels)
    alone = np.concatenate([classifier.predict_proba([text]) for text in texts[:5]])
    together = classifier.predict_proba([*texts[:5], "a much longer text " * 50])[:5]
    assert_allclose(together, alone, atol=1e-6)  # float32
    empty = classifier.predict_proba(["", "?!"])
    assert_array_equal(empty[0], empty[1])


# ---- presets


def test_presets_are_arguments_that_can_be_overridden() -> None:
    assert TextClassifier.from_preset("fast").get_params() == TextClassifier().get_params()
    best = TextClassifier.from_preset("best", units=5)
    assert best.units == 5 and best.get_params() == TextClassifier().get_params() | PRESETS["best"] | {"units": 5}
    assert "units" not in PRESETS["best"]
    with pytest.raises(ValueError) as error:
        TextClassifier.from_preset("bset")
    assert str(error.value) == "TextClassifier: unknown preset 'bset', did you mean 'best'? Known: fast, best."


def test_epochs_by_themselves_are_few_for_many_rows() -> None:
    assert [enough_epochs(rows) for rows in (10, 4_000, 10_500, 22_500, 45_000, 10**6)] == [20, 20, 8, 4, 3, 3]
    classifier = text_classifier(epochs=None, early_stopping=False).fit(["a b", "c d"] * 3, [0, 1] * 3)
    assert classifier.n_iter_ == 20
    with pytest.raises(ValueError, match="expected epochs as a whole number of at least 1, got 0"):
        text_classifier(epochs=0).fit(["a", "b"], [0, 1])


@pytest.mark.parametrize("name", PRESETS)
def test_presets_learn(name: str, rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 400)
    classifier = TextClassifier.from_preset(name, random_state=0).fit(texts, labels)
    assert classifier.score(*reviews(rng)) > 0.9


# ---- real data


def test_airline_tweets(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "airline" / "tweets_3class.csv")[:4000]
    classifier = TextClassifier(epochs=3, learning_rate=0.005, pooling="max", maxlen=40, random_state=0)
    classifier.fit(table["text"][:3000], table["airline_sentiment"][:3000])
    assert classifier.classes_.tolist() == ["negative", "neutral", "positive"]
    majority = (table["airline_sentiment"][3000:] == "negative").mean()
    assert classifier.score(table["text"][3000:], table["airline_sentiment"][3000:]) > majority + 0.05


def test_imdb_reviews(shared_data: Path) -> None:
    csv.field_size_limit(sys.maxsize)
    with gzip.open(shared_data / "imdb" / "reviews.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = [(row["review"], row["label"]) for row in islice(csv.DictReader(file), 0, 25_000, 6)]
    texts, labels = zip(*rows, strict=True)
    classifier = TextClassifier(random_state=0).fit(texts[::2], labels[::2])
    assert classifier.score(texts[1::2], labels[1::2]) > 0.8  # 2,084 reviews to learn from
