"""Every layer's backprop against central differences in float64, and the check itself against a wrong gradient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cases import level, threads
from differences import check_gradients, random_sequence
from unrolled import _native, activations, layers
from unrolled.batch import Sequence
from unrolled.parameters import Array, Backprop, Gradients, Mode

KINDS = ["expanded", "shared", "rows", "masked"]
F64 = {"dtype": "float64"}


def on_sequences() -> dict[str, Any]:
    made: dict[str, Any] = {f"dense_{name}": lambda n=name: layers.Dense(4, n, **F64) for name in activations.KNOWN}
    made |= {f"activation_{name}": lambda n=name: layers.Activation(n, **F64) for name in activations.KNOWN}
    made |= {
        "dense_no_bias": lambda: layers.Dense(4, use_bias=False, **F64),
        "flatten": lambda: layers.Flatten(**F64),
        "reshape_sequence": lambda: layers.Reshape((3, -1), **F64),
        "reshape_matrix": lambda: layers.Reshape((15,), **F64),
        "reshape_4d": lambda: layers.Reshape((5, 3, 1), **F64),
        "masking": lambda: layers.Masking(**F64),
        "max": lambda: layers.GlobalMaxPooling1D(**F64),
        "max_keepdims": lambda: layers.GlobalMaxPooling1D(keepdims=True, **F64),
        "both_pooled": lambda: layers.GlobalMaxAveragePooling1D(**F64),
        "both_pooled_keepdims": lambda: layers.GlobalMaxAveragePooling1D(keepdims=True, **F64),
        "average": lambda: layers.GlobalAveragePooling1D(**F64),
        "average_keepdims": lambda: layers.GlobalAveragePooling1D(keepdims=True, **F64),
        "time_distributed_dense": lambda: layers.TimeDistributed(layers.Dense(4, "tanh", **F64)),
        "time_distributed_dropout": lambda: layers.TimeDistributed(layers.Dropout(0.4, **F64)),
        "time_distributed_repeat": lambda: layers.TimeDistributed(layers.RepeatVector(2, **F64)),
        "dropout": lambda: layers.Dropout(0.4, **F64),
        "dropout_word": lambda: layers.Dropout(0.4, noise_shape=(None, None, 1), **F64),
        "dropout_all": lambda: layers.Dropout(1, **F64),
        "spatial_dropout": lambda: layers.SpatialDropout1D(0.4, **F64),
    }
    pairs = [("SimpleRNN", merge) for merge in ("concat", "sum", "mul", "ave", None)]
    for cell, merge in [*pairs, ("LSTM", "concat"), ("GRU", "concat")]:
        for sequences in (True, False):
            made[f"both_{cell}_{merge}_{sequences}"] = lambda c=cell, m=merge, s=sequences: layers.Bidirectional(
                getattr(layers, c)(2, return_sequences=s, **F64), merge_mode=m
            )
    made["both_states"] = lambda: layers.Bidirectional(
        layers.LSTM(2, return_sequences=True, return_state=True, **F64), merge_mode="sum"
    )
    made["both_given"] = lambda: layers.Bidirectional(
        layers.LSTM(2, **F64), backward_layer=layers.GRU(3, go_backwards=True, **F64)
    )
    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", on_sequences())
def test_gradients_on_sequences(name: str, kind: str, rng: np.random.Generator) -> None:
    check_gradients(on_sequences()[name](), random_sequence(kind, rng), rng, training="dropout" in name)


ON_ARRAYS = {
    "dense": (lambda: layers.Dense(4, "softmax", **F64), (5, 3)),
    "dense_4d": (lambda: layers.Dense(4, "tanh", **F64), (2, 3, 2, 3)),
    "activation": (lambda: layers.Activation("softmax", **F64), (5, 3)),
    "dropout": (lambda: layers.Dropout(0.4, **F64), (5, 3)),
    "repeat": (lambda: layers.RepeatVector(3, **F64), (5, 3)),
    "reshape": (lambda: layers.Reshape((2, 3), **F64), (5, 6)),
    "flatten": (lambda: layers.Flatten(**F64), (2, 3, 2, 2)),
    "sequences_of_sequences": (lambda: layers.TimeDistributed(layers.LSTM(2, **F64)), (2, 3, 2, 3)),
    "sequences_returned": (
        lambda: layers.TimeDistributed(layers.GRU(2, return_sequences=True, **F64)),
        (2, 3, 2, 3),
    ),
    "both_in_time": (lambda: layers.TimeDistributed(layers.Bidirectional(layers.GRU(2, **F64))), (2, 3, 2, 3)),
}


@pytest.mark.parametrize("cell", ["SimpleRNN", "LSTM", "GRU"])
@pytest.mark.parametrize("options", [{}, {"return_sequences": True}, {"go_backwards": True}], ids=str)
def test_gradients_of_each_zero_step_of_an_array(cell: str, options: Any, rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 5, 3))
    x[:, :2] = 0  # steps that a Sequence made from an array shares
    x[2:, 4] = 0
    check_gradients(getattr(layers, cell)(2, **options, **F64), x, rng)


@pytest.mark.parametrize("name", ON_ARRAYS)
def test_gradients_on_arrays(name: str, rng: np.random.Generator) -> None:
    make, shape = ON_ARRAYS[name]
    check_gradients(make(), rng.normal(size=shape), rng, training=name == "dropout")


@pytest.mark.parametrize("mask_zero", [False, True])
def test_gradients_of_embedding(mask_zero: bool, rng: np.random.Generator) -> None:
    ids = np.array([[0, 0, 3, 1], [3, 3, 2, 0], [0, 0, 0, 0]])
    check_gradients(layers.Embedding(6, 2, mask_zero=mask_zero, **F64), ids, rng)


def test_the_check_sees_a_wrong_gradient(rng: np.random.Generator) -> None:
    class Wrong(layers.Dense):
        def forward(self, x: Any, mode: Mode) -> tuple[Any, Backprop]:
            y, back = super().forward(x, mode)

            def backprop(d_y: Array, gradients: Gradients) -> Any:
                return back(d_y * (1 + 1e-6), gradients)

            return y, backprop

    with pytest.raises(AssertionError, match="off by"):
        check_gradients(Wrong(4, "tanh", **F64), random_sequence("shared", rng), rng)


def test_equal_maxima_share_the_gradient_and_masked_ones_get_none() -> None:
    x = Sequence(
        table=np.array([[2.0], [2.0], [2.0], [1.0], [0.0], [0.0], [0.0], [0.0]]),
        index=np.arange(8, dtype=np.int32).reshape(2, 4),
        mask=np.array([[True, False, True, True], [False] * 4]),
    )
    y, backprop = layers.GlobalMaxPooling1D(**F64).forward(x, Mode(keep=True))
    d_x = backprop(np.array([[6.0], [5.0]]), Gradients())
    assert y.tolist() == [[2.0], [0.0]] and d_x[:, 0].tolist() == [3, 0, 3, 0, 0, 0, 0, 0]


def pooled_in_numpy(x: Sequence) -> tuple[Array, Array]:
    """Largest values and means over the kept steps, row by row."""
    keep = np.ones(x.shape[:2], bool) if x.mask is None else x.mask
    rows = [
        row[kept] if kept.any() else np.zeros((1, x.shape[2])) for row, kept in zip(x.to_array(), keep, strict=True)
    ]
    return np.stack([row.max(axis=0) for row in rows]), np.stack([row.mean(axis=0) for row in rows])


@pytest.mark.parametrize("on", _native.levels())
@pytest.mark.parametrize("features", [1, 7, 16, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_pooling_against_numpy(kind: str, features: int, on: str, rng: np.random.Generator) -> None:
    x = random_sequence(kind, rng, (9, 11, features))
    largest, mean = pooled_in_numpy(x)
    with level(on):
        y, _ = layers.GlobalMaxAveragePooling1D(**F64).forward(x, Mode())
        np.testing.assert_array_equal(y[:, :features], largest)
        np.testing.assert_allclose(y[:, features:], mean, rtol=0, atol=1e-15 * np.abs(x.table).max())
        narrow = replace(x, table=x.table.astype(np.float32))
        for layer, expected in ((layers.GlobalMaxPooling1D(), largest), (layers.GlobalAveragePooling1D(), mean)):
            y, _ = layer.forward(narrow, Mode())
            assert y.dtype == np.float32
            np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6)


def test_pooling_has_the_same_bits_for_any_number_of_threads(rng: np.random.Generator) -> None:
    x = random_sequence("shared", rng, (70, 50, 20))
    d_y = rng.normal(size=(70, 40))
    found = []
    for n in (1, 2, 4):
        with threads(n):
            y, backprop = layers.GlobalMaxAveragePooling1D(**F64).forward(x, Mode(keep=True))
            found.append((y, backprop(d_y, Gradients())))
    for y, d_x in found[1:]:
        np.testing.assert_array_equal(y, found[0][0])
        np.testing.assert_array_equal(d_x, found[0][1])


def test_pooling_keeps_nan_and_reads_strided_tables() -> None:
    wide = np.array([[1.0, 2.0, 9.0], [np.nan, 1.0, 9.0], [3.0, 5.0, 9.0]])
    y, _ = layers.GlobalMaxPooling1D(**F64).forward(
        Sequence(table=wide[:, :2], index=np.array([[0, 1, 2], [2, 0, 0]], np.int32)), Mode()
    )
    np.testing.assert_array_equal(y, [[np.nan, 5.0], [3.0, 5.0]])


def test_pooling_refuses_an_index_outside() -> None:
    table, index = np.ones((2, 3)), np.array([[0, 2]], np.int32)
    with pytest.raises(IndexError, match="index outside the table"):
        _native.pool(table, None, index, None, True, True)
    with pytest.raises(ValueError, match=r"d_mean \(B, F\)"):
        _native.pool_backward(table, None, index * 0, None, None, None, np.ones((2, 3)))


def test_backprop_of_a_pass_that_kept_nothing_says_so() -> None:
    layer = layers.Dense(2)
    layer.ensure_built((None, 3))
    _, backprop = layer.forward(np.ones((2, 3), np.float32), Mode())
    with pytest.raises(RuntimeError, match=r"run it with keep=True"):
        backprop(np.ones((2, 2)), Gradients())


def test_frozen_layers_give_no_gradient_but_pass_it_on(rng: np.random.Generator) -> None:
    x = random_sequence("shared", rng)
    for layer in (
        layers.Dense(2, trainable=False, **F64),
        layers.TimeDistributed(layers.Dense(2, **F64), trainable=False),
        layers.Bidirectional(layers.LSTM(2, **F64), trainable=False),
    ):
        layer.ensure_built((None, None, 3))
        assert len(layer.weights) and layer.trainable_weights == []
        y, backprop = layer.forward(x, Mode(keep=True))
        gradients = Gradients()
        d_x = backprop(np.ones_like(y.table if isinstance(y, Sequence) else y), gradients)
        assert len(gradients) == 0 and np.abs(d_x).max() > 0


@pytest.mark.parametrize("first", [0, 3])
def test_embedding_finds_padding_wherever_it_stands(first: int) -> None:
    """The distinct ids come in order of first appearance: zeros count also if the batch begins with another id."""
    ids = np.array([[first, 2, 0], [0, 1, 0]], np.int32)
    masked, plain = layers.Embedding(6, 2, mask_zero=True), layers.Embedding(6, 2)
    for layer in (masked, plain):
        layer.ensure_built((None, 3))
    y, _ = masked.forward(ids, Mode())
    np.testing.assert_array_equal(y.mask, ids != 0)
    y, _ = plain.forward(ids, Mode())
    assert (y.lead.tolist(), y.trail.tolist()) == ([first == 0, 1], [1, 1])
