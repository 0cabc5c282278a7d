"""The cookbook's two toy networks: data, fits of 500 epochs, printed weights, and both cells by hand."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest

from unrolled import datasets, layers, utils
from unrolled.layers import LSTM, Dense, SimpleRNN
from unrolled.models import Sequential
from unrolled.preprocessing.sequence import pad_sequences
from unrolled.utils import to_categorical

pytestmark = pytest.mark.whole_programs

TOYS = datasets.recorded()["toys"]
DOCS, LABELS = ["this, is", "is an"], ["an", "example"]

# Printed to eight decimals; computed in float32 on both sides.
TOLERANCE = 2e-7


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def toy_data() -> tuple[np.ndarray, np.ndarray]:
    """(2, 2, 1) word numbers as float features, (2, 5) one-hot labels."""
    counts = Counter(word for text in DOCS + LABELS for word in words(text))
    ranked = sorted(counts, key=lambda word: -counts[word])
    word_to_int = {word: i for i, word in enumerate(ranked, 1)}
    assert word_to_int == TOYS["word_to_int"]
    encoded = [[word_to_int[word] for word in words(doc)] for doc in DOCS]
    padded = pad_sequences(encoded, maxlen=2, padding="pre")
    one_hot = to_categorical([[word_to_int[word] for word in words(label)] for label in LABELS], num_classes=5)
    return np.array(padded).reshape(2, 2, 1), np.array(one_hot)


def rnn_model() -> Sequential:
    model = Sequential()
    model.add(
        SimpleRNN(
            1,
            activation="tanh",
            return_sequences=False,
            recurrent_initializer="Zeros",
            input_shape=(2, 1),
            unroll=True,
        )
    )
    model.add(Dense(5, activation="softmax"))
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["acc"])
    return model


def lstm_model() -> Sequential:
    """Binary cross-entropy over five softmax outputs: on purpose or not, it has to work."""
    model = Sequential()
    model.add(
        LSTM(
            1,
            activation="tanh",
            return_sequences=False,
            recurrent_initializer="Zeros",
            recurrent_activation="sigmoid",
            input_shape=(2, 1),
            unroll=True,
        )
    )
    model.add(Dense(5, activation="softmax"))
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["acc"])
    return model


MODELS = {"SimpleRNN": rnn_model, "LSTM": lstm_model}


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def by_hand_rnn(x: list[float], weights: list[np.ndarray]) -> np.ndarray:
    (kernel,), (recurrent,), bias, dense_kernel, dense_bias = (w.tolist() for w in weights)
    hidden = math.tanh(x[0] * kernel[0] + bias[0])
    hidden = math.tanh(x[1] * kernel[0] + bias[0] + hidden * recurrent[0])
    return softmax([hidden * w + b for w, b in zip(dense_kernel[0], dense_bias, strict=True)])


def by_hand_lstm(x: list[float], weights: list[np.ndarray]) -> np.ndarray:
    (kernel,), (recurrent,), bias, dense_kernel, dense_bias = (w.tolist() for w in weights)
    hidden = carry = 0.0
    for value in x:
        into_input, into_forget, into_cell, into_output = (
            value * kernel[gate] + hidden * recurrent[gate] + bias[gate] for gate in range(4)
        )
        carry = sigmoid(into_forget) * carry + sigmoid(into_input) * math.tanh(into_cell)
        hidden = sigmoid(into_output) * math.tanh(carry)
    return softmax([hidden * w + b for w, b in zip(dense_kernel[0], dense_bias, strict=True)])


def softmax(z: list[float]) -> np.ndarray:
    powers = [math.exp(value) for value in z]
    return np.array(powers) / sum(powers)


BY_HAND = {"SimpleRNN": by_hand_rnn, "LSTM": by_hand_lstm}


def recorded_weights(name: str) -> list[np.ndarray]:
    keys = ("kernel", "recurrent_kernel", "bias", "dense_kernel", "dense_bias")
    return [np.array(TOYS[name][key]).reshape(shape) for key, shape in zip(keys, SHAPES[name], strict=True)]


SHAPES: dict[str, list[tuple[int, ...]]] = {
    "SimpleRNN": [(1, 1), (1, 1), (1,), (1, 5), (5,)],
    "LSTM": [(1, 4), (1, 4), (4,), (1, 5), (5,)],
}


def test_data() -> None:
    x, y = toy_data()
    assert x.reshape(2, 2).tolist() == [TOYS["input"], [1, 2]]
    assert y.tolist() == TOYS["one_hot"]


@pytest.mark.parametrize(("name", "count"), [("SimpleRNN", 3), ("LSTM", 12)])
def test_shapes_counts_and_names(name: str, count: int) -> None:
    model = MODELS[name]()
    assert [layer.output_shape for layer in model.layers] == [(None, 1), (None, 5)]
    assert [layer.count_params() for layer in model.layers] == [count, 10]
    assert [w.shape for w in model.weights] == SHAPES[name] == [w.shape for w in model.get_weights()]
    ends = ["kernel", "recurrent_kernel", "bias", "kernel", "bias"]
    assert [w.name.split("/")[-1] for w in model.weights] == ends
    assert [w.path.split("/")[-1] for w in model.weights] == ends
    recurrent = model.get_weights()[1]
    np.testing.assert_array_equal(recurrent, np.zeros_like(recurrent))  # recurrent_initializer="Zeros"


@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM"])
def test_recorded_weights_give_the_recorded_prediction(name: str) -> None:
    model = MODELS[name]()
    model.set_weights(recorded_weights(name))
    x, _ = toy_data()
    predicted = model.predict(x[0].reshape(1, 2, 1))
    np.testing.assert_allclose(predicted, [TOYS[name]["prediction"]], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM"])
def test_recorded_prediction_by_hand(name: str) -> None:
    predicted = BY_HAND[name](TOYS["input"], recorded_weights(name))
    np.testing.assert_allclose(predicted, TOYS[name]["prediction"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM"])
def test_500_epochs_then_by_hand(name: str) -> None:
    utils.set_random_seed(3)
    model = MODELS[name]()
    x, y = toy_data()
    history = model.fit(x, y, epochs=500, verbose=0)
    assert len(history.history["loss"]) == 500
    assert set(history.history) == {"loss", "acc"}
    assert history.history["loss"][-1] < 0.9 * history.history["loss"][0]
    predicted = model.predict(x[0].reshape(1, 2, 1))
    assert predicted.shape == (1, 5)
    by_hand = BY_HAND[name](x[0].ravel().tolist(), model.get_weights())
    np.testing.assert_allclose(predicted[0], by_hand, rtol=0, atol=5e-7)  # float32 against float64


def test_accuracy_of_binary_crossentropy_over_softmax() -> None:
    """'acc' goes by the shapes: five outputs and one-hot labels are categories, whatever the loss."""
    model = lstm_model()
    x, y = toy_data()
    loss, accuracy = model.evaluate(x, y, verbose=0)
    p = model.predict(x).astype(np.float64)
    entropy = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    assert loss == pytest.approx(entropy, rel=1e-5)
    assert accuracy == pytest.approx((p.argmax(1) == y.argmax(1)).mean())


def test_words_in_another_order() -> None:
    """A bag of words cannot tell "this is an" from "an is this"; a recurrent network can."""
    ids = TOYS["word_to_int"]
    there = np.array([[[ids["this"]], [ids["is"]], [ids["an"]]]], np.float32)
    back = there[:, ::-1]
    layer: Any = layers.SimpleRNN(3, input_shape=(3, 1))
    utils.set_random_seed(0)
    assert not np.allclose(layer(there), layer(back), atol=1e-3)
    assert np.array_equal(there.sum(axis=1), back.sum(axis=1))


@pytest.mark.parametrize(("u", "grows"), [(0.5, False), (2.0, True)])
def test_weight_of_the_past_in_a_linear_network(u: float, grows: bool) -> None:
    """h5 = W x5 + U W x4 + U^2 W x3 + U^3 W x2 + U^4 W x1: small U forgets, large U explodes."""
    layer = SimpleRNN(1, activation="linear", use_bias=False, dtype="float64", input_shape=(5, 1))
    layer(np.zeros((1, 5, 1)))
    layer.set_weights([[[0.7]], [[u]]])
    x = np.array([1.0, -2.0, 3.0, 0.5, -1.5])
    expected = sum(u**k * 0.7 * x[4 - k] for k in range(5))
    assert layer(x.reshape(1, 5, 1))[0, 0] == pytest.approx(expected, rel=1e-14)
    effects = [layer(np.eye(5)[t].reshape(1, 5, 1))[0, 0] for t in range(5)]  # of x1 ... x5 on h5
    assert (effects == sorted(effects, reverse=True)) is grows
