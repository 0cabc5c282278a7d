"""SequenceClassifier: series of unequal length in every form, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from classifier_cases import sequence_classifier, waves
from unrolled.classifiers import SequenceClassifier
from unrolled.errors import ShapeError


def test_series_of_unequal_length_are_learned(rng: np.random.Generator) -> None:
    series, labels = waves(rng, 300)
    classifier = sequence_classifier(cell="gru").fit(series, labels)
    new, truth = waves(rng)
    assert classifier.score(new, truth) > 0.85
    assert classifier.n_channels_ == 2 and not hasattr(classifier, "n_features_in_")
    steps = np.concatenate(series)
    assert_allclose(classifier.mean_, steps.mean(axis=0))
    assert_allclose(classifier.scale_, steps.std(axis=0))
    alone = np.concatenate([classifier.predict_proba([row]) for row in new[:5]])
    assert_allclose(classifier.predict_proba(new)[:5], alone, atol=1e-6)  # float32; other rows change the padding


def test_steps_of_zeros_are_steps() -> None:
    classifier = sequence_classifier(standardize=False, epochs=1, early_stopping=False).fit(
        [[[1.0]], [[0.0], [2.0]]] * 8, [0, 1] * 8
    )
    rows = classifier._rows([np.array([[0.0], [0.0], [3.0]]), np.array([[0.0]])])
    mask = (rows.to_array() != 0).any(axis=2)
    assert mask.tolist() == [[True, True, True], [False, False, True]]
    y = classifier.predict_proba([[[3.0]], [[0.0], [3.0]]])
    assert abs(y[0, 0] - y[1, 0]) > 1e-5


def test_series_of_any_kind_give_the_same_classifier(rng: np.random.Generator) -> None:
    table, y = rng.normal(size=(30, 6)), np.arange(30) % 2
    expected = sequence_classifier(epochs=1).fit(table, y).predict_proba(table)
    kinds: dict[str, Any] = {
        "nested lists": table.tolist(),
        "3-D": table[:, :, None],
        "list of vectors": list(table),
        "list of arrays": list(table[:, :, None]),
        "pandas table": pd.DataFrame(table, columns=list("abcdef")),
        "polars table": pl.DataFrame(table),
        "pandas column": pd.Series(list(table)),
        "polars column": pl.Series(table.tolist()),
        "arrow column": pa.array(table.tolist()),
        "objects": pd.Series(list(table)).to_numpy(),
    }
    for kind, x in kinds.items():
        got = sequence_classifier(epochs=1).fit(x, y).predict_proba(x)
        assert_array_equal(got, expected, err_msg=kind)


SERIES_ERRORS = {
    "step": (
        [[1.0, np.nan], [1.0]],
        "X[0]: expected finite numbers, got nan at step 1, feature 0. Fill such values or cut the series there.",
    ),
    "empty": ([[1.0, 2.0], []], "X[1]: expected an array (steps, features) with at least one step, got (0,)."),
    "features": ([np.ones((2, 3)), np.ones((4, 2))], "expected 3 features in every series as in X[0], got 2 in X[1]."),
    "text": ([["a"], [1.0, 2.0]], "X[0]: expected numbers in steps of equal size, got ['a']."),
}


@pytest.mark.parametrize("case", SERIES_ERRORS)
def test_bad_series(case: str) -> None:
    series, text = SERIES_ERRORS[case]
    with pytest.raises((ShapeError, ValueError, TypeError)) as error:
        SequenceClassifier().fit(series, [0, 1])
    assert str(error.value) == f"SequenceClassifier: {text}"
