"""Both classifiers: scikit-learn's own checks, kinds of columns and labels, weights, errors."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from classifier_cases import reviews, sequence_classifier, text_classifier, waves
from unrolled.classifiers import SequenceClassifier, TextClassifier
from unrolled.errors import MissingExtraError, ShapeError

pytestmark = pytest.mark.whole_programs

EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": (
        "trained on shuffled batches and a random hold-out: a row of weight 2 and a row given twice take other steps"
    ),
}


@parametrize_with_checks(
    [SequenceClassifier(random_state=0), TextClassifier(random_state=0)],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
@pytest.mark.filterwarnings("ignore:SequenceClassifier. too few different rows")
@pytest.mark.filterwarnings("ignore:Can't test estimator TextClassifier which requires input of type")
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_works_in_pipelines_and_searches(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 60)
    upper = Pipeline(
        [("plain", FunctionTransformer(lambda c: [t.lower() for t in c])), ("rnn", text_classifier(epochs=2))]
    )
    assert len(cross_val_score(upper, [t.upper() for t in texts], labels, cv=2)) == 2
    search = GridSearchCV(text_classifier(epochs=1), {"units": [2, 4]}, cv=2).fit(texts, labels)
    assert search.best_params_["units"] in (2, 4)
    assert clone(search.best_estimator_).get_params()["units"] == search.best_params_["units"]


def test_columns_of_any_kind_give_the_same_classifier(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 40)
    expected = text_classifier(epochs=1).fit(texts, labels).predict_proba(texts)
    kinds: list[Any] = [np.array, lambda c: pd.Series(c, index=range(7, 47)), pl.Series, pa.array]
    for kind in kinds:
        classifier = text_classifier(epochs=1).fit(kind(texts), kind(labels))
        assert_array_equal(classifier.predict_proba(kind(texts)), expected)
        assert classifier.classes_.tolist() == ["negative", "positive"]


@pytest.mark.parametrize("labels", [["a", "b", "c"], [3, 1, 2], [3.0, 1.0, 2.0], [True, False, True]], ids=str)
def test_labels_come_back_as_they_were(labels: list[Any]) -> None:
    classifier = text_classifier(epochs=1, early_stopping=False).fit(["x y", "y z", "z"] * 8, labels * 8)
    assert classifier.classes_.tolist() == sorted(set(labels))
    assert set(classifier.predict(["x", "y"]).tolist()) <= set(labels)
    assert classifier.predict_proba(["x"]).shape == (1, len(set(labels)))


def test_the_same_number_gives_the_same_bits(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 40)
    first, again, other = (text_classifier(epochs=2, random_state=seed).fit(texts, labels) for seed in (3, 3, 4))
    assert_array_equal(first.predict_proba(texts), again.predict_proba(texts))
    assert not np.array_equal(first.predict_proba(texts), other.predict_proba(texts))


def test_class_weights_move_the_decision() -> None:
    texts, labels = ["same words"] * 40, ["rare"] * 8 + ["usual"] * 32
    plain = text_classifier(early_stopping=False, epochs=30).fit(texts, labels)
    assert plain.predict(["same words"]) == ["usual"]
    for weights in ("balanced", {"rare": 4.0, "usual": 1.0}):
        weighted = text_classifier(early_stopping=False, epochs=30, class_weight=weights).fit(texts, labels)
        assert_allclose(weighted.predict_proba(["same words"]), [[0.5, 0.5]], atol=0.06)
        assert_allclose(plain.predict_proba(["same words"]), [[0.2, 0.8]], atol=0.06)
    by_row = text_classifier(early_stopping=False, epochs=30).fit(texts, labels, sample_weight=[4.0] * 8 + [1.0] * 32)
    assert_array_equal(by_row.predict_proba(texts), weighted.predict_proba(texts))


def test_repeats_are_counted(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 20)
    assert text_classifier(epochs=1).fit([*texts, *texts[:4]], [*labels, *labels[:4]]).repeated_ == 4
    series, truth = waves(rng, 30)
    assert sequence_classifier(epochs=1).fit([*series, *series[:6]], [*truth, *truth[:6]]).repeated_ == 6


def test_bad_arguments_and_labels(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 6)
    for arguments, text in (
        ({"cell": "lstn"}, "TextClassifier: unknown cell 'lstn', did you mean 'lstm'? Known: simple_rnn, lstm, gru."),
        ({"pooling": "sum"}, "TextClassifier: unknown pooling 'sum'. Known: max, mean, max+mean."),
        ({"bigrams": -1}, "TextClassifier: expected bigrams as a whole number of at least 0, got -1."),
        ({"word_dropout": 1}, "TextClassifier: expected word_dropout below 1 and not negative, got 1."),
        (
            {"weight_averaging": -1},
            "TextClassifier: expected weight_averaging as a number of epochs, 0 for none, got -1.",
        ),
        ({"units": 0}, "TextClassifier: expected units as a whole number of at least 1, got 0."),
        ({"maxlen": 0}, "TextClassifier: expected maxlen as a whole number of at least 1, got 0."),
        ({"dropout": 1.0}, "TextClassifier: expected dropout below 1 and not negative, got 1.0."),
        ({"truncating": "both"}, 'TextClassifier: expected truncating "middle", "pre" or "post", got \'both\'.'),
    ):
        with pytest.raises(ValueError) as error:
            TextClassifier(**arguments).fit(texts, labels)
        assert str(error.value) == text
    for y, text in (
        (["a"] * 6, "expected at least two classes in y, got one class: 'a'."),
        (
            labels[:5],
            "Found input variables with inconsistent numbers of samples: expected one label for each of 6 rows in X, "
            "got 5 in y.",
        ),
        ([*labels[:5], None], "Input y contains NaN: the label of row 5 is missing. Drop such rows."),
    ):
        with pytest.raises(ValueError) as error:
            TextClassifier().fit(texts, y)
        assert str(error.value) == f"TextClassifier: {text}"
    with pytest.raises(
        TypeError, match=r"TextClassifier: expected labels of one type in y, got int, str. Turn them into"
    ):
        TextClassifier().fit(texts, np.array([1, 2, 3, "a", "b", "c"], object))
    with pytest.raises(TypeError, match="X: expected a text in every row, got int 3 in row 1"):
        TextClassifier().fit(["a", 3], [0, 1])
    with pytest.raises(NotFittedError):
        TextClassifier().predict(["a"])
    with pytest.raises(ShapeError, match="expected series of 1 features as in fit, got 2"):
        sequence_classifier(epochs=1, early_stopping=False).fit([[1.0], [2.0, 3.0]] * 4, [0, 1] * 4).predict(
            [np.ones((3, 2))]
        )


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("unrolled.classifiers")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for name in [name for name in sys.modules if name.startswith("sklearn.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingExtraError) as error:
        import unrolled.classifiers  # noqa: F401
    assert str(error.value) == (
        'unrolled.classifiers needs the package "sklearn", which is not installed. '
        'Install it with: pip install "unrolled[sklearn]"'
    )
