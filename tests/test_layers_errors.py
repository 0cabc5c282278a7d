"""What layers say about wrong arguments and wrong data: the whole text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unrolled import activations, initializers, layers, set_random_seed
from unrolled.errors import NotBuiltError, ShapeError, UnknownAxisError


def embedding(**kwargs: Any) -> layers.Embedding:
    return layers.Embedding(10, 3, name="words", **kwargs)


def dense(**kwargs: Any) -> layers.Dense:
    return layers.Dense(2, name="head", **kwargs)


ids = np.zeros((2, 4), int)
out_of_range = ids.copy()
out_of_range[1, 2] = 10
negative = ids.copy()
negative[0, 3] = -1
nan = np.ones((2, 3))
nan[1, 2] = np.nan

CASES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: layers.LSTM(4, name="encoder")(np.ones((32, 50))),
        ShapeError,
        'LSTM "encoder": expected x with 3 axes (batch, time, features), got (32, 50).\n'
        "For one feature per step use x[..., None]; for token ids put Embedding first.",
    ),
    (
        lambda: layers.GRU(4, name="g")(np.ones(50)),
        ShapeError,
        'GRU "g": expected x with 3 axes (batch, time, features), got (50,).\n'
        "For one sequence of one feature use x[None, :, None]; for token ids put Embedding first.",
    ),
    (
        lambda: layers.RepeatVector(4, name="r")(np.ones((2, 5, 3))),
        ShapeError,
        'RepeatVector "r": expected x with 2 axes (batch, features), got (2, 5, 3).\n'
        "To get rid of the time axis use return_sequences=False, a pooling layer or Flatten before it.",
    ),
    (
        lambda: layers.GlobalMaxPooling1D(name="p")(np.ones((2, 5, 3, 2))),
        ShapeError,
        'GlobalMaxPooling1D "p": expected x with 3 axes (batch, time, features), got (2, 5, 3, 2).\n'
        "Join the last axes: x.reshape(x.shape[0], x.shape[1], -1).",
    ),
    (
        lambda: dense(input_shape=(3,))(np.ones((2, 4))),
        ShapeError,
        'Dense "head": expected x of shape (None, 3) (its input_shape), got (2, 4).\n'
        "Use None in input_shape for an axis that may vary.",
    ),
    (
        lambda: dense()(np.ones(4)),
        ShapeError,
        'Dense "head": expected x with a batch axis and a feature axis, got (4,).\n'
        "For one feature per row use x[:, None]; for one row use x[None, :].",
    ),
    (
        lambda: (layer := dense(), layer(np.ones((2, 4))), layer(np.ones((2, 5)))),
        ShapeError,
        'Dense "head": expected x with 4 features on the last axis (as built), got (2, 5).\n'
        "Feed the same number of features, or make a new layer.",
    ),
    (
        lambda: dense().build((None, None)),
        UnknownAxisError,
        'Dense "head": the size of the last axis is not known, (None, None). '
        "Give the first layer an input_shape (or Embedding its input_length) without None for it.",
    ),
    (lambda: dense()(np.ones((0, 3))), ShapeError, 'Dense "head": x has no rows, shape (0, 3). Give at least one.'),
    (
        lambda: layers.LSTM(2, name="l")(np.ones((2, 0, 3))),
        ShapeError,
        'LSTM "l": x has an empty axis, shape (2, 0, 3). Every row needs at least one step and feature.',
    ),
    (
        lambda: dense()(nan),
        ValueError,
        'Dense "head": x holds NaN, first at x[1, 2]; 1 in all.\n'
        "Fill or drop them before (numpy.nan_to_num, or dropna in pandas).",
    ),
    (
        lambda: dense()(np.array([["good", "film"]])),
        TypeError,
        'Dense "head": expected numbers, got text. Turn words into ids first (a tokenizer), then pad_sequences.',
    ),
    (
        lambda: embedding()(["good film", "bad"]),
        TypeError,
        'Embedding "words": expected numbers, got text. Turn words into ids first (a tokenizer), then pad_sequences.',
    ),
    (
        lambda: embedding()([[1, 2], [3]]),
        TypeError,
        'Embedding "words": expected an array of numbers, got rows of different lengths or objects. '
        "Use pad_sequences to give all rows one length.",
    ),
    (lambda: dense()(np.ones((2, 2), complex)), TypeError, 'Dense "head": expected real numbers, got complex128.'),
    (
        lambda: embedding()(out_of_range),
        ValueError,
        'Embedding "words": id 10 in row 1, step 2 is outside 0 to 9 (input_dim=10).\n'
        "Use input_dim=11 or more, or cut the vocabulary (num_words=10).",
    ),
    (
        lambda: embedding()(negative),
        ValueError,
        'Embedding "words": id -1 in row 0, step 3 is outside 0 to 9 (input_dim=10).\n'
        "Ids must not be negative; 0 is for padding.",
    ),
    (
        lambda: embedding()(np.array([[1.0, 2.5]])),
        TypeError,
        'Embedding "words": expected whole numbers (token ids), got 2.5 in row 0, step 1.\n'
        "For data that are not ids leave out Embedding and give the recurrent layer x[..., None].",
    ),
    (
        lambda: embedding()(np.array([[1.0, np.nan]])),
        TypeError,
        'Embedding "words": expected whole numbers (token ids), got nan in row 0, step 1.\n'
        "For data that are not ids leave out Embedding and give the recurrent layer x[..., None].",
    ),
    (
        lambda: embedding()(np.ones((2, 3, 1), int)),
        ShapeError,
        'Embedding "words": expected x with 2 axes (batch, time) of token ids, got (2, 3, 1).\n'
        "Ids need no feature axis: use x[..., 0], or leave out Embedding for data that are already vectors.",
    ),
    (
        lambda: embedding()(np.ones(3, int)),
        ShapeError,
        'Embedding "words": expected x with 2 axes (batch, time) of token ids, got (3,).\n'
        "For one row of ids use x[None, :]; for one id per row use x[:, None].",
    ),
    (
        lambda: embedding(input_length=5)(ids),
        ShapeError,
        'Embedding "words": expected x with 5 steps (its input_length), got (2, 4).\n'
        "Use pad_sequences(x, maxlen=5), or leave input_length out for any number of steps.",
    ),
    (
        lambda: embedding(weights=[np.ones((10, 4))]),
        ShapeError,
        'Embedding "words": expected 1 arrays:\n  words/embeddings (10, 3)\ngot 1: (10, 4).',
    ),
    (
        lambda: layers.LSTM(4, name="l")(np.ones((2, 3, 1)), mask=np.ones((2, 4), bool)),
        ShapeError,
        'LSTM "l": expected mask (batch, time) = (2, 3) of bool, got (2, 4) of bool.',
    ),
    (
        lambda: dense(activaton="tanh"),
        TypeError,
        'Dense "head": there is no argument "activaton". Did you mean "activation"?',
    ),
    (
        lambda: dense(activation="tanhh"),
        ValueError,
        'Dense "head", activation: "tanhh" is not known. Did you mean "tanh"? Known names: linear, tanh, sigmoid, '
        "relu, relu6, leaky_relu, hard_sigmoid, hard_tanh, softsign, softplus, exponential, elu, selu, softmax, "
        "log_softmax.",
    ),
    (
        lambda: dense(activation=np.tanh),
        TypeError,
        'Dense "head", activation: expected a name, None or an object of unrolled.activations, got '
        f"{np.tanh!r}. Known names: linear, tanh, sigmoid, relu, relu6, leaky_relu, hard_sigmoid, hard_tanh, softsign, "
        "softplus, exponential, elu, selu, softmax, log_softmax.",
    ),
    (
        lambda: layers.Dense(0, name="head"),
        ValueError,
        'Dense "head": expected units to be a positive integer, got 0.',
    ),
    (
        lambda: layers.Dense(2.0, name="head"),  # type: ignore[arg-type]
        TypeError,
        'Dense "head": expected units to be a positive integer, got 2.0.',
    ),
    (lambda: dense(dtype="int8"), ValueError, 'Dense "head": expected dtype "float32" or "float64", got \'int8\'.'),
    (
        lambda: dense(input_shape=(3, -1)),
        ValueError,
        'Dense "head": expected input_shape to hold positive integers (None for an open axis), got (3, -1).',
    ),
    (
        lambda: dense().set_weights([np.ones((3, 2)), np.ones(2)]),
        NotBuiltError,
        'Dense "head": has no weights yet. Give it an input_shape, or call it on data once.',
    ),
    (
        lambda: layers.Dropout(1.5, name="d"),
        ValueError,
        'Dropout "d": expected rate to be a number from 0 to 1, got 1.5.',
    ),
    (
        lambda: layers.Dropout("0.5", name="d"),  # type: ignore[arg-type]
        TypeError,
        "Dropout \"d\": expected rate to be a number from 0 to 1, got '0.5'.",
    ),
    (
        lambda: layers.Reshape((4, 2), name="r")(np.ones((2, 6))),
        ShapeError,
        'Reshape "r": expected rows that fit target_shape (4, 2), got 6 numbers a row, shape (6,).',
    ),
    (
        lambda: layers.Reshape((-1, -1), name="r"),
        ValueError,
        'Reshape "r": expected at most one -1 in target_shape, got (-1, -1).',
    ),
    (
        lambda: layers.Bidirectional(layers.LSTM(2), "concatenate", name="b"),
        ValueError,
        "Bidirectional \"b\": expected merge_mode concat, sum, mul, ave or None, got 'concatenate'.",
    ),
    (
        lambda: layers.Bidirectional(layers.LSTM(2, go_backwards=True), name="b"),
        ValueError,
        'Bidirectional "b": expected layer with go_backwards=False, got go_backwards=True. The layer for the other '
        "direction is made from it.",
    ),
    (
        lambda: layers.Bidirectional(layers.LSTM(2), backward_layer=layers.LSTM(2), name="b"),
        ValueError,
        'Bidirectional "b": expected layer with go_backwards=False and backward_layer with go_backwards=True, '
        "got False and False.",
    ),
    (
        lambda: layers.Bidirectional(
            layers.LSTM(2), backward_layer=layers.LSTM(2, go_backwards=True, return_sequences=True), name="b"
        ),
        ValueError,
        'Bidirectional "b": expected the same return_sequences in both layers, got False and True.',
    ),
    (
        lambda: layers.Bidirectional(layers.LSTM(2), "sum", backward_layer=layers.LSTM(3, go_backwards=True), name="b"),
        ValueError,
        'Bidirectional "b": merge_mode "sum" needs the same units in both layers, got 2 and 3. Use "concat".',
    ),
    (
        lambda: layers.TimeDistributed("dense"),  # type: ignore[arg-type]
        TypeError,
        "TimeDistributed: expected a layer, got 'dense'.",
    ),
    (
        lambda: layers.TimeDistributed(layers.Dense(2), name="t")(np.ones((2, 3))),
        ShapeError,
        'TimeDistributed "t": expected x with 3 axes (batch, time, features), got (2, 3).\n'
        "For one feature per step use x[..., None]; for token ids put Embedding first.",
    ),
    (
        lambda: dense(kernel_initializer="glorot"),
        ValueError,
        'Dense "head", kernel_initializer: "glorot" is not known. Did you mean "glorot_normal"? Known names: '
        + ", ".join(name for name in initializers.BY_NAME if name.islower())
        + ".",
    ),
    (
        lambda: dense(kernel_initializer=np.ones((2, 2)))(np.ones((2, 3))),
        ShapeError,
        "Constant: expected an array of shape (3, 2), got (2, 2).",
    ),
    (
        lambda: set_random_seed(-1),
        ValueError,
        "set_random_seed: expected 0 <= seed < 2**32, got -1.",
    ),
    (
        lambda: set_random_seed(1.5),  # type: ignore[arg-type]
        TypeError,
        "set_random_seed: expected an integer, got 1.5. Use for example set_random_seed(42).",
    ),
    (
        lambda: activations.get("swish"),
        ValueError,
        f'activation: "swish" is not known. Known names: {", ".join(activations.KNOWN)}.',
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{i}-{text[:40]}" for i, (_, _, text) in enumerate(CASES)])
def test_the_whole_text(case: tuple[Callable[[], Any], type[Exception], str]) -> None:
    run, kind, text = case
    with pytest.raises(kind) as caught:
        run()
    assert str(caught.value) == text
    assert isinstance(caught.value, ValueError | TypeError)


@pytest.mark.parametrize("make", [lambda: layers.Dense(2), lambda: layers.LSTM(2), lambda: layers.GRU(2)])
def test_building_again_keeps_the_weights(make):
    layer = make()
    layer.build((None, 4, 3))
    trained = [parameter.value + 1 for parameter in layer.weights]
    layer.set_weights(trained)
    layer.build((None, 7, 3))
    assert len(layer.weights) == len(trained)
    for parameter, value in zip(layer.weights, trained, strict=True):
        np.testing.assert_array_equal(parameter.value, value)
    with pytest.raises(ShapeError, match=r'it is built already, with "kernel" of shape \(3, .*this input needs \(5, '):
        layer.build((None, 4, 5))
