"""Metrics by hand, streaming, masks and weights; names; messages."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from unrolled import Input, Sequential, metrics
from unrolled.errors import ShapeError
from unrolled.layers import Dense

BINARY_T, BINARY_Y = np.array([[1], [0], [1], [1]]), np.array([[0.9], [0.6], [0.4], [0.51]])
CLASSES = np.array([2, 0, 1])
SCORES = np.array([[0.1, 0.2, 0.7], [0.3, 0.4, 0.3], [0.2, 0.5, 0.3]])


@pytest.mark.parametrize(
    ("metric", "labels", "outputs", "expected"),
    [
        (metrics.BinaryAccuracy(), BINARY_T, BINARY_Y, 2 / 4),
        (metrics.BinaryAccuracy(), BINARY_T[:, 0], BINARY_Y, 2 / 4),
        (metrics.BinaryAccuracy(threshold=0.3), BINARY_T, BINARY_Y, 3 / 4),
        (metrics.BinaryAccuracy(), np.array([[1, 0], [1, 1]]), np.array([[0.9, 0.9], [0.9, 0.9]]), 3 / 4),
        (metrics.BinaryAccuracy(), np.array([[1]]), np.array([[0.5]]), 0.0),  # above the threshold, not at it
        (metrics.SparseCategoricalAccuracy(), CLASSES, SCORES, 2 / 3),
        (metrics.SparseCategoricalAccuracy(), CLASSES[:, None], SCORES, 2 / 3),
        (metrics.CategoricalAccuracy(), np.eye(3)[CLASSES], SCORES, 2 / 3),
        (metrics.Accuracy(), np.array([[1.0], [2.0]]), np.array([[1.0], [3.0]]), 1 / 2),
        (metrics.MeanSquaredError(), np.array([1.0, 2.0]), np.array([[2.0], [4.0]]), 2.5),
        (metrics.RootMeanSquaredError(), np.array([1.0, 2.0]), np.array([[2.0], [4.0]]), 2.5**0.5),
        (metrics.MeanAbsoluteError(), np.array([1.0, 2.0]), np.array([[2.0], [4.0]]), 1.5),
        (metrics.get("binary_crossentropy"), BINARY_T, BINARY_Y, -np.log([0.9, 0.4, 0.4, 0.51]).mean()),
        (metrics.get("sparse_categorical_crossentropy"), CLASSES, SCORES, -np.log([0.7, 0.3, 0.5]).mean()),
    ],
)
def test_values_by_hand(metric, labels, outputs, expected):
    metric.update_state(labels, outputs)
    assert metric.result() == pytest.approx(expected, rel=1e-12)


def test_batches_add_up_and_reset_forgets():
    metric = metrics.SparseCategoricalAccuracy()
    assert metric.result() == 0
    metric.update_state(CLASSES[:1], SCORES[:1])
    assert metric.result() == 1
    metric.update_state(CLASSES[1:], SCORES[1:])
    assert metric.result() == 2 / 3  # every sample counts the same, whatever its batch
    metric.reset_state()
    assert metric.result() == 0


def test_weights_and_masks():
    metric = metrics.SparseCategoricalAccuracy()
    metric.update_state(CLASSES, SCORES, sample_weight=[1.0, 2.0, 5.0])
    assert metric.result() == 6 / 8
    metric.reset_state()
    labels, outputs = np.array([[2, 0, 1], [2, 2, 2]]), np.stack([SCORES, SCORES])  # hits: [1, 0, 1], [1, 0, 0]
    mask = np.array([[True, True, False], [True, False, False]])
    metric.update_state(labels, outputs, mask=mask)
    assert metric.result() == 2 / 3
    metric.update_state(labels, outputs, sample_weight=[1.0, 3.0], mask=mask)
    assert metric.result() == (2 + 1 + 3) / (3 + 2 + 3)


def test_accuracy_by_shapes():
    assert metrics.accuracy_for((None,), (None, 1)) is metrics.BinaryAccuracy
    assert metrics.accuracy_for((None, 1), (None, 1)) is metrics.BinaryAccuracy
    assert metrics.accuracy_for((None, 5), (None, 5)) is metrics.CategoricalAccuracy
    assert metrics.accuracy_for((None,), (None, 5)) is metrics.SparseCategoricalAccuracy
    assert metrics.accuracy_for((None, 7), (None, None, 5)) is metrics.SparseCategoricalAccuracy
    assert metrics.accuracy_for((None, 7, 1), (None, None, 5)) is metrics.SparseCategoricalAccuracy
    assert metrics.accuracy_for((None, 7, 5), (None, None, 5)) is metrics.CategoricalAccuracy


def test_names_are_kept_as_written():
    assert metrics.get("acc", (None,), (None, 1)).name == "acc"
    assert metrics.get("mse").name == "mse"
    assert metrics.get("mean_absolute_error").name == "mean_absolute_error"
    assert metrics.get("BinaryAccuracy").name == "BinaryAccuracy"
    assert metrics.get(metrics.BinaryAccuracy).name == "binary_accuracy"
    assert metrics.get(metrics.BinaryAccuracy("hits")).name == "hits"


def test_a_function_is_a_metric():
    def largest_error(y_true, y_pred):
        return np.abs(y_true - y_pred).max(axis=-1)

    metric = metrics.get(largest_error)
    metric.update_state(np.zeros((2, 2)), np.array([[1.0, 3.0], [2.0, 0.0]]))
    assert (metric.name, metric.result()) == ("largest_error", 2.5)


def test_configurations_make_the_same_metric():
    again = metrics.get(metrics.serialize(metrics.BinaryAccuracy("hits", 0.25)))
    assert again.get_config() == {"name": "hits", "threshold": 0.25}
    assert metrics.serialize("acc") == "acc"
    with pytest.raises(TypeError, match=r"^metric <function .*> cannot be saved: use a name or a Metric object\.$"):
        metrics.serialize(lambda t, y: t)


ALL = [
    metrics.AUC(50, "PR", "minoring", "area", multi_label=True, num_labels=3, label_weights=[1.0, 2.0, 3.0]),
    metrics.AUC(thresholds=[0.5, 0.25], from_logits=True),
    metrics.Precision([0.2, 0.7], 2, 1, "p"),
    metrics.Recall(0.3),
    metrics.TruePositives(np.array([0.25, 0.5])),
    metrics.FalseNegatives(),
    metrics.FBetaScore("micro", 2.0, 0.3),
    metrics.F1Score("macro", name="f"),
    metrics.TopKCategoricalAccuracy(3),
    metrics.SparseTopKCategoricalAccuracy(2, from_sorted_ids=True),
]


@pytest.mark.parametrize("metric", ALL, ids=repr)
def test_every_configuration_makes_the_same_metric(metric):
    again = metrics.get(json.loads(json.dumps(metrics.serialize(metric))))
    assert type(again) is type(metric)
    assert again.get_config() == metric.get_config()


@pytest.mark.parametrize("name", ["auc", "precision", "recall", "f1_score", "fbeta_score", "true_negatives", "AUC"])
def test_names_in_compile(name):
    metric = metrics.get(name)
    assert metric.name == name
    metric.update_state([[0], [1], [1]], [[0.2], [0.7], [0.8]])
    assert metric.result() == pytest.approx(1, abs=1e-6)
    metric.reset_state()
    assert metric.result() == 0


COUNTING = [metrics.AUC(), metrics.Precision(), metrics.F1Score("macro"), metrics.AUC(multi_label=True)]


@pytest.mark.parametrize("metric", COUNTING, ids=repr)
def test_masked_steps_do_not_count(metric, rng):
    y, labels, keep = rng.random((4, 5, 3)), rng.integers(2, size=(4, 5, 3)), rng.random((4, 5)) < 0.6
    weights = rng.random(4)
    results = []
    for arguments in (
        (labels, y, weights, keep),
        (labels[keep], y[keep], np.broadcast_to(weights[:, None], (4, 5))[keep]),
        (labels, y, weights[:, None] * keep),
    ):
        metric.reset_state()
        metric.update_state(*arguments)
        results.append(metric.result())
    assert 0 < results[0] < 1
    assert results[0] == pytest.approx(results[1], rel=1e-12) == pytest.approx(results[2], rel=1e-12)


@pytest.mark.parametrize("metric", [*COUNTING, metrics.F1Score(), metrics.Precision([0.1, 0.4])], ids=repr)
@pytest.mark.parametrize("shape", [(20,), (4, 5)])
def test_class_numbers_are_one_hot_labels(metric, shape, rng):
    numbers, y = rng.integers(3, size=shape), rng.dirichlet(np.ones(3), size=shape)
    results = []
    for labels in (numbers, numbers[..., None], np.eye(3)[numbers]):
        metric.reset_state()
        metric.update_state(labels, y)
        results.append(metric.result())
    assert_array_equal(results[0], results[1])
    assert_array_equal(results[0], results[2])


def test_auc_comes_close_to_the_exact_area(rng):
    labels = rng.integers(2, size=2000)
    y = np.clip(0.3 * labels + 0.7 * rng.random(2000), 0, 1)
    for curve, exact in (("ROC", roc_auc_score(labels, y)), ("PR", average_precision_score(labels, y))):
        metric = metrics.AUC(2000, curve)
        metric.update_state(labels, y)
        assert metric.result() == pytest.approx(exact, abs=1e-3)


def test_one_output_is_a_yes_above_a_half():
    metric = metrics.F1Score()
    metric.update_state([1, 1, 0, 0], [[0.9], [0.2], [0.8], [0.1]])
    assert metric.result() == pytest.approx(0.5, abs=1e-6)  # Keras takes every row for a yes: 0.67


def test_in_training(rng, capsys):
    x = rng.normal(size=(60, 3)).astype(np.float32)
    y = rng.integers(3, size=60)
    model = Sequential([Input((3,)), Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["acc", metrics.F1Score(), "auc"])
    history = model.fit(x, y, epochs=2, verbose=2, validation_data=(x, y)).history
    assert list(history) == [
        "loss",
        "acc",
        "f1_score",
        "auc",
        *(f"val_{k}" for k in ("loss", "acc", "f1_score", "auc")),
    ]
    assert np.shape(history["val_f1_score"]) == (2, 3)
    score = f1_score(y, model.predict(x).argmax(axis=1), average=None)
    np.testing.assert_allclose(history["val_f1_score"][-1], score, atol=1e-6)  # Keras' denominators: + 1e-7
    shown = " ".join(f"{value:.4f}" for value in history["val_f1_score"][-1])
    assert f"val_f1_score: [{shown}]" in capsys.readouterr().out


def test_messages():
    with pytest.raises(ValueError) as error:
        metrics.get("precission")
    assert str(error.value).startswith(
        "unknown metric 'precission', did you mean 'precision'? Known: accuracy, acc, binary_accuracy,"
    )
    with pytest.raises(TypeError) as error:
        metrics.get(5)
    assert str(error.value) == ("metrics: expected names such as 'acc', metrics.Metric objects or functions, got 5.")
    with pytest.raises(ValueError, match=r"^binary_accuracy: expected threshold between 0 and 1, got 1\.5\.$"):
        metrics.BinaryAccuracy(threshold=1.5)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: metrics.AUC(1), "AUC: expected num_thresholds of at least 2, got 1."),
        (lambda: metrics.AUC(thresholds=[0.5, 2.0]), "AUC: expected thresholds from 0 to 1, got [0.5, 2.0]."),
        (lambda: metrics.AUC(curve="RPC"), 'AUC: expected curve "ROC" or "PR", got \'RPC\'.'),
        (
            lambda: metrics.AUC(summation_method="sum"),
            'AUC: expected summation_method "interpolation", "minoring" or "majoring", got \'sum\'.',
        ),
        (lambda: metrics.Precision(1.5), "precision: expected thresholds from 0 to 1, got 1.5."),
        (
            lambda: metrics.F1Score("mean"),
            'f1_score: expected average None, "micro", "macro" or "weighted", got \'mean\'.',
        ),
        (lambda: metrics.FBetaScore(beta=0.0), "fbeta_score: expected beta above 0, got 0.0."),
        (
            lambda: metrics.F1Score(threshold=2.0),
            "f1_score: expected threshold None, or above 0 and at most 1, got 2.0.",
        ),
        (
            lambda: metrics.TopKCategoricalAccuracy(0),
            "top_k_categorical_accuracy: expected k as a whole number of at least 1, got 0.",
        ),
    ],
)
def test_arguments_out_of_range(make, text):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == text


def test_labels_of_another_shape():
    with pytest.raises(ShapeError) as error:
        metrics.AUC().update_state(np.zeros((4, 2)), np.zeros((4, 3)))
    assert str(error.value) == ("auc: expected labels of the outputs' shape (4, 3), or class numbers (4,), got (4, 2).")
