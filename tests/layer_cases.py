"""Small models whose outputs and gradients Keras computed once (golden/make_layers.py); weights come from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

IDS = np.array([[1, 2, 3, 2, 0, 0], [4, 0, 0, 0, 0, 0], [5, 1, 6, 2, 3, 4], [0, 0, 2, 0, 1, 0], [0, 0, 0, 0, 0, 0]])
DENSE = np.random.default_rng(7).normal(size=(4, 5, 3))
DENSE[0, 3:] = 0
DENSE[1, :2] = 0
DENSE[2, 2] = 0


def both_ways(layers: Any, cell: str, merge: str, sequences: bool) -> list[Any]:
    inner = getattr(layers, cell)(4, return_sequences=sequences)
    return [layers.Embedding(7, 3, mask_zero=True), layers.Bidirectional(inner, merge_mode=merge)]


def cases(layers: Any) -> dict[str, tuple[Any, list[Any]]]:
    """Name -> (x, layers), with the layers of Keras or of ours."""
    found: dict[str, tuple[Any, list[Any]]] = {
        f"dense_{name}": (DENSE, [layers.Input((5, 3)), layers.Dense(4, activation=name)])
        for name in (
            "linear", "tanh", "sigmoid", "relu", "relu6", "leaky_relu", "hard_sigmoid", "hard_tanh", "softsign",
            "softplus", "exponential", "elu", "selu", "softmax", "log_softmax",
        )
    }  # fmt: skip
    for cell, merge, sequences in [
        ("LSTM", "concat", True), ("LSTM", "concat", False), ("GRU", "sum", True), ("SimpleRNN", "mul", True),
        ("GRU", "ave", False),
    ]:  # fmt: skip
        found[f"both_{cell}_{merge}_{sequences}"] = (IDS, both_ways(layers, cell, merge, sequences))
    found["both_unmasked"] = (DENSE, [layers.Input((5, 3)), layers.Bidirectional(layers.GRU(4, return_sequences=True))])
    found["average_masked"] = (IDS[:4], [layers.Embedding(7, 3, mask_zero=True), layers.GlobalAveragePooling1D()])
    found["average"] = (IDS, [layers.Embedding(7, 3), layers.GlobalAveragePooling1D()])
    found["max"] = (IDS, [layers.Embedding(7, 3), layers.GlobalMaxPooling1D()])
    found["masking"] = (DENSE, [layers.Input((5, 3)), layers.Masking(), layers.LSTM(4)])
    found["repeat"] = (
        IDS,
        [layers.Embedding(7, 3), layers.LSTM(4), layers.RepeatVector(3), layers.GRU(5, return_sequences=True),
         layers.TimeDistributed(layers.Dense(2, activation="softmax"))],
    )  # fmt: skip
    found["reshape"] = (DENSE, [layers.Input((5, 3)), layers.Reshape((3, 5)), layers.SimpleRNN(4), layers.Dense(2)])
    found["flatten"] = (DENSE, [layers.Input((5, 3)), layers.Flatten(), layers.Dense(2, activation="tanh")])
    return found


def weights(name: str, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    rng = np.random.default_rng(sum(name.encode()))
    return [rng.normal(scale=0.6, size=shape) for shape in shapes]


def cotangent(name: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(sum(name.encode()) + 1).normal(size=shape)
