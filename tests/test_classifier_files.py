"""A classifier's file: the same bits when read, and what is said of files that do not fit."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from classifier_cases import reviews, sequence_classifier, text_classifier
from unrolled.classifiers import SequenceClassifier, TextClassifier
from unrolled.errors import FileFormatError
from unrolled.models import load_model
from unrolled.saving import read_file, write_file


def test_a_saved_text_classifier_predicts_the_same_bits(tmp_path: Path, rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 40)
    weights = {"negative": 2.0, "positive": 1.0}
    classifier = text_classifier(epochs=2, class_weight=weights, stop_words=("w1",)).fit(texts, labels)
    classifier.save(tmp_path / "model")
    again = TextClassifier.load(tmp_path / "model")
    assert_array_equal(again.predict_proba([*texts, "new words"]), classifier.predict_proba([*texts, "new words"]))
    assert again.predict(texts).tolist() == classifier.predict(texts).tolist()
    assert again.get_params() == classifier.get_params() | {"stop_words": ["w1"]}
    assert again.history_ == classifier.history_ and again.n_iter_ == 2
    assert_array_equal(again.held_out_, classifier.held_out_)
    again.fit(texts, labels)
    assert_array_equal(again.predict_proba(texts), classifier.predict_proba(texts))
    network = load_model(tmp_path / "model")
    assert_array_equal(network.get_weights()[0], classifier.model_.get_weights()[0])
    assert pickle.loads(pickle.dumps(classifier)).predict(texts).tolist() == classifier.predict(texts).tolist()


def test_a_saved_sequence_classifier_predicts_the_same_bits(tmp_path: Path, rng: np.random.Generator) -> None:
    table, y = rng.normal(size=(30, 6)), np.arange(30) % 3
    classifier = sequence_classifier(epochs=1).fit(table, y)
    classifier.save(tmp_path / "model")
    again = SequenceClassifier.load(tmp_path / "model")
    assert_array_equal(again.predict_proba(table), classifier.predict_proba(table))
    assert again.classes_.tolist() == [0, 1, 2] and again.n_features_in_ == 6
    with pytest.raises(FileFormatError) as error:
        TextClassifier.load(tmp_path / "model")
    assert str(error.value) == (
        f'"{tmp_path / "model"}" expected a TextClassifier, got SequenceClassifier. '
        "Read it with SequenceClassifier.load."
    )
    classifier.model_.save(tmp_path / "network")
    with pytest.raises(FileFormatError, match=r"got a model without a classifier. Read it with models.load_model."):
        SequenceClassifier.load(tmp_path / "network")


def test_a_file_of_one_network_without_members_is_read(tmp_path: Path, rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 20)
    classifier = text_classifier(epochs=1).fit(texts, labels)
    classifier.save(tmp_path / "model")
    arrays, header = read_file(tmp_path / "model")
    for name in ("members", "validation", "max_epochs"):
        del header["estimator"][name]
    header["estimator"]["history"] = classifier.history_
    for name in ("networks", "bigrams", "final_learning_rate"):
        del header["estimator"]["arguments"][name]
    write_file(tmp_path / "model", arrays, header)
    again = TextClassifier.load(tmp_path / "model")
    assert_array_equal(again.predict_proba(texts), classifier.predict_proba(texts))
    assert again.history_ == classifier.history_ and not again.interrupted_


@pytest.mark.parametrize("lost", ["arguments", "classes", "state", "members"])
def test_a_header_without_an_entry_is_an_error(lost: str, tmp_path: Path) -> None:
    classifier = text_classifier(epochs=1, early_stopping=False).fit(["a", "b"], [0, 1])
    classifier.save(tmp_path / "model")
    arrays, header = read_file(tmp_path / "model")
    del header["estimator"][lost]
    write_file(tmp_path / "model", arrays, header)
    with pytest.raises(FileFormatError) as error:
        TextClassifier.load(tmp_path / "model")
    assert str(error.value) == (
        f"\"{tmp_path / 'model'}\" does not describe a TextClassifier: KeyError('{lost}'). Save it again."
    )


def test_a_function_as_tokenizer_is_not_saved(tmp_path: Path) -> None:
    classifier = text_classifier(epochs=1, tokenizer=str.split).fit(["a b", "c d", "e", "f"], [0, 1, 0, 1])
    with pytest.raises(TypeError, match="the tokenizer is a function"):
        classifier.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()
