"""Evaluation against scikit-learn, resampled rows and all; what is printed; what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import metrics

from unrolled.errors import ShapeError
from unrolled.evaluation import Judged, draws, evaluate


def predictions(rng: np.random.Generator, rows: int, classes: int, digits: int = 2) -> tuple[Any, Any]:
    """True class numbers, and probabilities that lean towards them; few digits make ties."""
    truth = rng.integers(classes, size=rows)
    y = rng.dirichlet(np.ones(classes), size=rows) + 0.3 * np.eye(classes)[truth]
    y = np.round(y / y.sum(axis=1, keepdims=True), digits) + 1e-3
    return truth, y / y.sum(axis=1, keepdims=True)


def by_sklearn(truth: Any, y: Any) -> tuple[float, float, float, float]:
    classes = np.arange(y.shape[1])
    guess = y.argmax(axis=1)
    if y.shape[1] == 2:
        auc = metrics.roc_auc_score(truth, y[:, 1])
    else:
        auc = np.mean([metrics.roc_auc_score(truth == k, y[:, k]) for k in classes])
    return (
        metrics.accuracy_score(truth, guess),
        metrics.f1_score(truth, guess, average="macro"),
        auc,
        metrics.log_loss(truth, y, labels=classes),
    )


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("digits", [1, 12])  # with ties and without
def test_figures_are_scikit_learns(classes: int, digits: int, rng: np.random.Generator) -> None:
    truth, y = predictions(rng, 300, classes, digits)
    found = evaluate(truth, y, range(classes), resamples=0)
    # Sums in another order: rounding only.
    assert_allclose([found.accuracy, found.macro_f1, found.auc, found.log_loss], by_sklearn(truth, y), rtol=1e-12)
    assert_array_equal(found.confusion, metrics.confusion_matrix(truth, y.argmax(axis=1)))
    expected = metrics.precision_recall_fscore_support(truth, y.argmax(axis=1))
    for k, scores in found.per_class.items():
        assert_allclose([scores.precision, scores.recall, scores.f1, scores.support], [e[k] for e in expected])
    assert found.intervals == {}


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("digits", [1, 12])
def test_a_resample_is_judged_as_the_rows_it_stands_for(classes: int, digits: int, rng: np.random.Generator) -> None:
    truth, y = predictions(rng, 80, classes, digits)
    judged = Judged(truth, y)
    for counts in draws(80, 5, seed=3):
        assert counts.sum() == 80
        rows = np.repeat(np.arange(80), counts.astype(int))
        assert_allclose(judged.figures(counts), by_sklearn(truth[rows], y[rows]), rtol=1e-12)


def test_intervals_are_those_of_theory(rng: np.random.Generator) -> None:
    truth, y = predictions(rng, 2000, 2)
    found = evaluate(truth, y, [0, 1], resamples=2000)
    error = 1.96 * np.sqrt(found.accuracy * (1 - found.accuracy) / 2000)  # of a share
    low, high = found.intervals["accuracy"]
    # 2,000 draws know the ends of the interval to about 3 % of its width.
    assert_allclose([found.accuracy - low, high - found.accuracy], error, rtol=0.15)
    for name in ("macro_f1", "auc", "log_loss"):
        low, high = found.intervals[name]
        assert low < getattr(found, name) < high
    assert evaluate(truth, y, [0, 1], resamples=50).intervals == evaluate(truth, y, [0, 1], resamples=50).intervals
    other = evaluate(truth, y, [0, 1], resamples=50, seed=1).intervals
    assert evaluate(truth, y, [0, 1], resamples=50).intervals != other


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    held = 0
    for seed in range(200):
        right = np.random.default_rng(seed).random(400) < 0.8  # a model that is right in 80 % of all rows
        found = evaluate(np.ones(400, int), np.where(right, 0.9, 0.1), [0, 1], resamples=200)
        held += found.intervals["accuracy"][0] <= 0.8 <= found.intervals["accuracy"][1]
    assert 180 <= held <= 198  # 190 expected of 95 %, with a standard error of 3


def test_one_column_is_the_second_class() -> None:
    truth, p = ["no", "yes", "yes"], np.array([0.2, 0.9, 0.4])
    both = np.stack([1 - p, p], axis=1)
    dicts = [evaluate(truth, y, ["no", "yes"], resamples=0).to_dict() for y in (p, p[:, None], both)]
    assert dicts[0] == dicts[1] == dicts[2]
    assert dicts[0]["confusion"] == [[1, 0], [1, 1]]


def test_one_class_in_the_rows_has_no_auc() -> None:
    found = evaluate([1, 1, 1], [0.2, 0.9, 0.8], [0, 1], resamples=20)
    assert found.auc is None
    assert "auc" not in found.intervals
    assert found.per_class[0].support == 0
    assert found.macro_f1 == pytest.approx(0.4)  # (0 + 2 * 2 / (3 + 2)) / 2
    assert ["AUC", "undefined"] in [line.split() for line in str(found).splitlines()]


def test_json_and_text() -> None:
    truth, p = ["neg"] * 4 + ["pos"] * 6, np.array([0.1, 0.2, 0.7, 0.4, 0.6, 0.9, 0.8, 0.3, 0.7, 0.55])
    found = evaluate(truth, p, np.array(["neg", "pos"]), resamples=0)
    again = json.loads(json.dumps(found.to_dict()))
    assert again["classes"] == ["neg", "pos"]
    assert again["accuracy"] == 0.8
    assert again["per_class"][1] == {"class": "pos", "precision": 5 / 6, "recall": 5 / 6, "f1": 5 / 6, "support": 6}
    assert str(found) == (
        "10 rows, 2 classes\n"
        "accuracy  0.8000\n"
        "macro F1  0.7917\n"
        "AUC       0.8125\n"
        "log loss  0.5041\n"
        "\n"
        "By class\n"
        "     precision  recall      F1  rows\n"
        "neg     0.7500  0.7500  0.7500     4\n"
        "pos     0.8333  0.8333  0.8333     6\n"
        "\n"
        "Confusion: a line for each true class, a column for each predicted one\n"
        "     neg  pos\n"
        "neg    3    1\n"
        "pos    1    5"
    )


def test_intervals_are_shown() -> None:
    found = evaluate([0, 1, 1, 0], [0.2, 0.9, 0.4, 0.3], [0, 1], resamples=100)
    low, high = found.intervals["accuracy"]
    first, second = str(found).splitlines()[1:3]
    assert first.split() == ["95", "%", "interval"]
    assert second.split() == ["accuracy", "0.7500", f"{low:.4f}", "to", f"{high:.4f}"]


def test_many_classes_show_their_mistakes() -> None:
    names = [f"c{k}" for k in range(12)]
    y = np.eye(12)[[0, 3, 3, 3, 2]]
    found = evaluate(["c0", "c1", "c1", "c3", "c1"], y, names, resamples=0)
    assert str(found).split("Most frequent mistakes\n")[1].split("\n") == [
        "true class  predicted  rows", "c1                 c3     2", "c1                 c2     1",
    ]  # fmt: skip


def test_notebook_and_rich() -> None:
    from rich.console import Console

    found = evaluate(["<b>", "x"], [0.2, 0.9], ["<b>", "x"], resamples=0)
    html = found._repr_html_()
    assert html.count("<table>") == html.count("</table>") == 3
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(found)
    text = console.export_text()
    assert "accuracy" in text
    assert "<b>" in text  # not taken for markup


@pytest.mark.parametrize(
    ("labels", "y", "classes", "error", "text"),
    [
        (
            [0, 2], [0.1, 0.2], [0, 1], ValueError,
            "evaluate: expected labels among 0, 1, got 2 in row 1. The model does not know this class: leave such rows "
            "out, or train with them.",
        ),
        (
            [0, 1], [0.1, 0.2, 0.3], [0, 1], ShapeError,
            "evaluate: expected one label for each row, got 2 labels for 3 rows.",
        ),
        ([], np.empty((0, 2)), [0, 1], ValueError, "evaluate: expected at least one row, got none."),
        (
            [0, 1], np.ones((2, 3)) / 3, [0, 1], ShapeError,
            "evaluate: expected probabilities of shape (N, 2), a column for each class, got (2, 3).",
        ),
        (
            [0, 1], [3.0, -1.0], [0, 1], ValueError,
            "evaluate: expected probabilities between 0 and 1 whose rows sum to 1, got others. Give what predict_proba "
            "or a softmax returns, not logits or class numbers.",
        ),
        (
            [0, 1], [[0.5, 0.1], [0.5, 0.5]], [0, 1], ValueError,
            "evaluate: expected probabilities between 0 and 1 whose rows sum to 1, got others. Give what predict_proba "
            "or a softmax returns, not logits or class numbers.",
        ),
        (
            [0, 1], [np.nan, 0.5], [0, 1], ValueError,
            "evaluate: expected probabilities between 0 and 1 whose rows sum to 1, got others. Give what predict_proba "
            "or a softmax returns, not logits or class numbers.",
        ),
        ([0], [0.5], [0, 0], ValueError, "evaluate: expected two or more different classes, got [0, 0]."),
    ],
)  # fmt: skip
def test_messages(labels: Any, y: Any, classes: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        evaluate(labels, y, classes)
    assert str(caught.value) == text


@pytest.mark.parametrize("resamples", [-1, 1.5, True])
def test_resamples_are_a_count(resamples: Any) -> None:
    with pytest.raises(ValueError) as caught:
        evaluate([0, 1], [0.1, 0.9], [0, 1], resamples=resamples)
    assert str(caught.value) == (
        f"evaluate: expected resamples as a whole number, 0 for no intervals, got {resamples!r}."
    )
