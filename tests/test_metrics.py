"""Metrics by hand, streaming, masks and weights; names; messages."""

from __future__ import annotations

import numpy as np
import pytest

from unrolled import metrics

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


def test_messages():
    with pytest.raises(ValueError) as error:
        metrics.get("precission")
    assert str(error.value).startswith("unknown metric 'precission'. Known: accuracy, acc, binary_accuracy,")
    with pytest.raises(TypeError) as error:
        metrics.get(5)
    assert str(error.value) == ("metrics: expected names such as 'acc', metrics.Metric objects or functions, got 5.")
    with pytest.raises(ValueError, match=r"^binary_accuracy: expected threshold between 0 and 1, got 1\.5\.$"):
        metrics.BinaryAccuracy(threshold=1.5)
