"""Losses against values and gradients that Keras 3.15 on TensorFlow computed, differences, and their messages."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from unrolled import losses
from unrolled.errors import ShapeError

Z = np.array([[1.5, -0.3, 0.2], [-2.0, 4.0, 0.7], [0.0, 12.0, -30.0]])
P = np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0], [0.9, 0.05, 0.05]])
MANY = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 0]])
ONE_HOT = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
NUMBERS = np.array([1, 0, 2])
WEIGHTS = np.array([1.0, 0.5, 2.0])
BINARY, CATEGORICAL = losses.BinaryCrossentropy, losses.CategoricalCrossentropy
SPARSE = losses.SparseCategoricalCrossentropy

# loss, labels, outputs, Keras' value, its value with WEIGHTS, and its gradient of the latter
KERAS = [
    (
        BINARY(from_logits=True), MANY, Z, 0.366147161, 0.373816222,
        [[-0.020269502, 0.047284164, -0.050018445], [0.0066223838, -0.00099923392, 0.037121542],
         [-0.1111111, -1.365372e-06, 2.0794718e-14]],
    ),
    (
        BINARY(), MANY, P, 0.739882767, 1.09014785,
        [[-0.55555558, 0.22222221, -0.37037036], [0.0, 0.0, 0.0], [-0.2469136, -4.4444447, 0.23391815]],
    ),
    (
        BINARY(from_logits=True, label_smoothing=0.2), MANY, Z, 0.913924932, 1.35881615,
        [[-0.0091583915, 0.036173053, -0.038907334], [0.0010668281, 0.0045563215, 0.031565987],
         [-0.088888884, 0.022220856, -0.022222223]],
    ),
    (
        CATEGORICAL(from_logits=True), ONE_HOT, Z, 16.7339172, 29.7274857,
        [[0.23183075, -0.295012, 0.063181251], [-0.16626918, 0.16035481, 0.0059143933],
         [4.0961163e-06, 0.66666257, -0.66666669]],
    ),
    (
        CATEGORICAL(), ONE_HOT, P, 6.60232544, 4.91455317,
        [[0.33333331, -0.33333331, 0.33333331], [0.0, 0.0, 0.0], [0.66666669, 0.66666669, -12.666667]],
    ),
    (
        CATEGORICAL(from_logits=True, label_smoothing=0.1), ONE_HOT, Z, 15.8116951, 28.0535965,
        [[0.22071962, -0.27278978, 0.052070137], [-0.15515807, 0.15479925, 0.00035883737],
         [-0.022218129, 0.64444029, -0.62222224]],
    ),
    (
        SPARSE(from_logits=True), NUMBERS, Z, 16.7339172, 29.7274857,
        [[0.23183075, -0.295012, 0.063181251], [-0.16626918, 0.16035481, 0.0059143933],
         [4.0961163e-06, 0.66666257, -0.66666669]],
    ),
    (
        SPARSE(), NUMBERS, P, 6.60232544, 4.91455317,
        [[0.33333334, -0.33333331, 0.33333331], [0.0, 0.0, 0.0], [0.66666675, 0.66666663, -12.666666]],
    ),
    (
        losses.MeanSquaredError(), MANY, Z, 115.16333, 227.969437,
        [[0.11111111, -0.06666667, -0.17777778], [-0.22222222, 0.33333334, 0.077777781],
         [-0.44444445, 4.8888888, -13.333333]],
    ),
    (
        losses.MeanAbsoluteError(), MANY, Z, 5.47777796, 9.82777786,
        [[0.11111111, -0.11111111, -0.11111111], [-0.055555556, 0.055555556, 0.055555556],
         [-0.22222222, 0.22222222, -0.22222222]],
    ),
    (
        BINARY(from_logits=True, reduction="sum"), MANY, Z, 1.09844148, 1.12144864,
        [[-0.060808513, 0.1418525, -0.15005533], [0.019867152, -0.0029977018, 0.11136463],
         [-0.33333331, -4.0961163e-06, 6.2384153e-14]],
    ),
]  # fmt: skip


def total(loss, labels, y, weights=None, mask=None):
    """The reduced loss and its gradient, as training computes them."""
    t = loss.prepare(labels, (None, *y.shape[1:]), y.dtype)
    values, d_y = loss.compute(t, y, loss.from_logits)
    value, share = losses.reduce(values, weights, mask, loss.reduction)
    return value, d_y * (share if isinstance(share, float) else share[..., None])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", KERAS, ids=lambda case: f"{case[0].name}-{case[0].get_config()}")
def test_values_and_gradients_are_those_of_keras(case, dtype):
    loss, labels, y, plain, weighted, gradient = case
    # 1 - 1e-7 rounds to 1 - 1.19e-7 in float32, which log(1 - p) shows
    tolerance = 3e-3 if dtype == "float64" and y is P else 3e-6
    y = y.astype(dtype)
    weights = WEIGHTS.astype(dtype)
    assert loss(labels, y) == pytest.approx(plain, rel=tolerance)
    assert loss(labels, y, sample_weight=weights) == pytest.approx(weighted, rel=tolerance)
    value, d_y = total(loss, labels, y, weights)
    assert value == pytest.approx(weighted, rel=tolerance)
    assert d_y.dtype == y.dtype
    assert_allclose(d_y, gradient, rtol=0, atol=1e-6 * np.abs(gradient).max())


@pytest.mark.parametrize("logits", [True, False])
@pytest.mark.parametrize(
    ("loss", "labels"),
    [
        (BINARY(), MANY),
        (BINARY(label_smoothing=0.3), MANY),
        (BINARY(), MANY * 0.6 + 0.1),
        (CATEGORICAL(), ONE_HOT),
        (CATEGORICAL(label_smoothing=0.3), ONE_HOT),
        (CATEGORICAL(), MANY * 0.4),
        (SPARSE(), NUMBERS),
        (losses.MeanSquaredError(), MANY),
        (losses.MeanAbsoluteError(), MANY),
    ],
)
def test_gradients_are_central_differences(loss, labels, logits, rng):
    y = rng.uniform(-2, 2, (3, 3)) if logits else rng.uniform(0.1, 0.9, (3, 3))
    labels = loss.prepare(labels, (None, 3), np.float64)
    _, d_y = loss.compute(labels, y, logits)
    step = 1e-6
    for at in np.ndindex(y.shape):
        up, down = y.copy(), y.copy()
        up[at] += step
        down[at] -= step
        slope = (loss.compute(labels, up, logits)[0] - loss.compute(labels, down, logits)[0])[at[0]] / (2 * step)
        assert d_y[at] == pytest.approx(slope, abs=1e-8)


def test_logits_never_overflow():
    z = np.array([[1e4], [-1e4], [88.0]], np.float32)
    values, d_z = BINARY().compute(np.array([[0], [1], [1]], np.float32), z, True)
    assert_allclose(values, [1e4, 1e4, 0], atol=1e-6)
    assert_allclose(d_z, [[1], [-1], [0]], atol=1e-6)
    z = np.array([[1e4, -1e4, 0]], np.float32)
    values, d_z = SPARSE().compute(np.array([1]), z, True)
    assert_allclose(values, [2e4])
    assert_allclose(d_z, [[1, -1, 0]])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert_allclose(losses.probabilities(np.array([-800.0, 0, 800]), "sigmoid"), [0, 0.5, 1], atol=1e-300)


def test_logits_and_probabilities_agree(rng):
    z = rng.normal(size=(4, 5))
    numbers = rng.integers(0, 5, 4)
    for loss, labels, activation in [
        (BINARY(), np.eye(5)[numbers], "sigmoid"),
        (CATEGORICAL(), np.eye(5)[numbers], "softmax"),
        (SPARSE(), numbers, "softmax"),
    ]:
        p = losses.probabilities(z, activation)
        assert_allclose(loss.compute(labels, p, False)[0], loss.compute(labels, z, True)[0], rtol=1e-12)
        assert loss.takes_logits(activation) and not loss.takes_logits(None)
    assert not BINARY().takes_logits("softmax") and not CATEGORICAL().takes_logits("sigmoid")


def test_labels_may_lack_the_last_axis_of_one():
    y = np.array([[0.2], [0.7]], np.float32)
    assert BINARY()([0, 1], y) == BINARY()([[0], [1]], y) == pytest.approx(-np.log(0.8) / 2 - np.log(0.7) / 2)
    assert SPARSE()([[0], [1]], np.array([[0.2, 0.8], [0.4, 0.6]])) == SPARSE()(
        [0, 1], np.array([[0.2, 0.8], [0.4, 0.6]])
    )


def test_mask_and_weights_as_keras_normalises_them():
    values = np.array([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]])
    mask = np.array([[True, True, False], [True, False, False]])
    weights = np.array([2.0, 0.5])
    assert losses.reduce(values, None, None)[0] == 63 / 6
    assert losses.reduce(values, weights, None)[0] == (2 * 7 + 0.5 * 56) / 6
    assert losses.reduce(values, None, mask)[0] == 11 / 3
    value, share = losses.reduce(values, weights, mask)
    assert value == pytest.approx((2 * 3 + 0.5 * 8) / 3, rel=1e-15)
    assert_allclose(share, [[2 / 3, 2 / 3, 0], [0.5 / 3, 0, 0]])
    assert losses.reduce(values, None, mask, "sum")[0] == 11
    assert losses.reduce(values, None, np.zeros_like(mask))[0] == 0


def test_names_classes_functions_and_configurations():
    assert isinstance(losses.get("mse"), losses.MeanSquaredError)
    assert isinstance(losses.get("BinaryCrossentropy"), BINARY)
    assert isinstance(losses.get(BINARY), BINARY)
    assert isinstance(losses.get(losses.binary_crossentropy), BINARY)
    again = losses.get(losses.serialize(BINARY(True, 0.25, "sum", "mine")))
    assert again.get_config() == {"name": "mine", "reduction": "sum", "from_logits": True, "label_smoothing": 0.25}
    assert_allclose(losses.mse([[1.0, 2.0]], [[0.0, 0.0]]), [2.5])
    assert_allclose(losses.mean_absolute_error([[1.0, 2.0]], [[0.0, 0.0]]), [1.5])


@pytest.mark.parametrize(
    ("loss", "labels", "shape", "text"),
    [
        (
            "binary_crossentropy", [0, 1, 2], (None, 1),
            "y: binary_crossentropy expected labels between 0 and 1, got values from 0 to 2. "
            "For 3 classes use 3 output units with softmax and loss='sparse_categorical_crossentropy'.",
        ),
        (
            "binary_crossentropy", [-1, 1, 1], (None, 1),
            "y: binary_crossentropy expected labels between 0 and 1, got values from -1 to 1. "
            "For labels -1 and 1 use (y + 1) / 2.",
        ),
        (
            "binary_crossentropy", [0.5, 3.5, 1], (None, 1),
            "y: binary_crossentropy expected labels between 0 and 1, got values from 0.5 to 3.5. "
            "For numbers to be predicted use loss='mse'.",
        ),
        (
            "binary_crossentropy", [0, 1, 1], (None, 2),
            "y: binary_crossentropy expected labels of the output's shape (N, 2), got (3,). For class numbers 0 to 1 "
            "use loss='sparse_categorical_crossentropy' with softmax, or utils.to_categorical(y, num_classes=2).",
        ),
        (
            "binary_crossentropy", [[1, 0], [0, 1]], (None, 1),
            "y: binary_crossentropy expected labels of the output's shape (N, 1), got (2, 2). One-hot labels of 2 "
            "classes need an output of 2 units with softmax and loss='categorical_crossentropy'.",
        ),
        (
            "categorical_crossentropy", [0, 1, 2], (None, 3),
            "y: categorical_crossentropy expected labels of the output's shape (N, 3), got (3,). For class numbers use "
            "loss='sparse_categorical_crossentropy', or utils.to_categorical(y, num_classes=3).",
        ),
        (
            "categorical_crossentropy", np.eye(4), (None, 3),
            "y: categorical_crossentropy expected labels of the output's shape (N, 3), got (4, 4). The labels name 4 "
            "classes, the last layer has 3 units: make them equal.",
        ),
        (
            "categorical_crossentropy", [0, 1], (None, 1),
            "y: categorical_crossentropy expected an output of 2 or more classes, got output shape (N, 1). "
            "For one yes/no output use loss='binary_crossentropy' with sigmoid.",
        ),
        (
            "categorical_crossentropy", [[0, 2, 0]], (None, 3),
            "y: categorical_crossentropy expected labels between 0 and 1, got values from 0 to 2. One-hot rows come "
            "from utils.to_categorical; class numbers need 'sparse_categorical_crossentropy'.",
        ),
        (
            "sparse_categorical_crossentropy", [0, 3], (None, 3),
            "y: sparse_categorical_crossentropy expected class numbers 0 to 2 (the last layer has 3 units), got values "
            "from 0 to 3. Number the classes from 0, or give the last layer 4 units.",
        ),
        (
            "sparse_categorical_crossentropy", [-1, 1], (None, 3),
            "y: sparse_categorical_crossentropy expected class numbers 0 to 2 (the last layer has 3 units), got values "
            "from -1 to 1. Number the classes from 0, or give the last layer 2 units.",
        ),
        (
            "sparse_categorical_crossentropy", np.eye(3), (None, 3),
            "y: sparse_categorical_crossentropy expected class numbers of shape (N,) for the output (N, 3), got "
            "(3, 3). One-hot labels need loss='categorical_crossentropy'.",
        ),
        (
            "sparse_categorical_crossentropy", [0.5, 1], (None, 3),
            "y: sparse_categorical_crossentropy expected whole class numbers, got fractions such as 0.5. "
            "For numbers to be predicted use loss='mse'.",
        ),
        (
            "mse", [[1.0, 2.0]], (None, None, 1),
            "y: mean_squared_error expected labels of the output's shape (N, T, 1), got (1, 2, 1).",
        ),
    ],
)  # fmt: skip
def test_labels_that_do_not_fit_are_told_what_does(loss, labels, shape, text):
    if loss == "mse":  # (N, T) labels fit (N, T, 1) outputs; three axes with two at the end do not
        assert losses.get(loss).prepare(labels, shape).shape == (1, 2, 1)
        shape, labels = (None, 4, 1), np.array(labels)
        text = "y: mean_squared_error expected labels of the output's shape (N, 4, 1), got (1, 2, 1)."
    with pytest.raises(ValueError) as error:
        losses.get(loss).prepare(labels, shape)
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("labels", "kind", "text"),
    [
        (["pos", "neg"], TypeError,
         "y: expected numbers, got text. Number the classes first: np.unique(y, return_inverse=True)[1]."),
        ([[1], [1, 2]], TypeError, "y: expected an array of numbers, got rows of different lengths or objects. "
         "Give every sample as many labels."),
        ([0.0, np.nan], ValueError, "y: expected finite numbers, got nan at [1]. Remove such rows."),
        (1.0, ShapeError, "y: expected one label per sample, got a single number."),
    ],
)  # fmt: skip
def test_labels_that_are_no_numbers(labels, kind, text):
    with pytest.raises(kind) as error:
        losses.get("binary_crossentropy").prepare(labels, (None, 1))
    assert str(error.value) == text


def test_unknown_losses_and_arguments():
    with pytest.raises(ValueError) as error:
        losses.get("binary_crosentropy")
    assert str(error.value) == (
        "unknown loss 'binary_crosentropy', did you mean 'binary_crossentropy'? Known: binary_crossentropy, "
        "categorical_crossentropy, sparse_categorical_crossentropy, mean_squared_error, mse, mean_absolute_error, mae."
    )
    with pytest.raises(TypeError) as error:
        losses.get(abs)
    assert str(error.value) == (
        "loss: expected a name such as 'binary_crossentropy' or a losses.Loss, got <built-in function abs>. "
        "A plain function gives no gradient: subclass losses.Loss and write compute()."
    )
    with pytest.raises(ValueError, match=r"^binary_crossentropy: expected label_smoothing between 0 and 1, got 2\.$"):
        BINARY(label_smoothing=2)
    with pytest.raises(ValueError) as error:
        BINARY(reduction="none")
    assert str(error.value) == (
        'BinaryCrossentropy: expected reduction "sum_over_batch_size", "mean" or "sum", got \'none\'.'
    )


def test_from_logits_behind_an_activation_warns_and_uses_the_logits():
    with pytest.warns(UserWarning) as caught:
        assert BINARY(from_logits=True).takes_logits("sigmoid")
    assert str(caught[0].message) == (
        "binary_crossentropy(from_logits=True), but the model ends in sigmoid, which turns logits into probabilities; "
        "the loss is computed from the logits before it. Drop from_logits or the activation."
    )
