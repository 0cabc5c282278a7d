"""Random small models of all kinds, trained for a few steps, with an input to trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled.layers import (
    GRU,
    LSTM,
    Activation,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Input,
    Layer,
    Masking,
    SimpleRNN,
    TimeDistributed,
)  # fmt: skip
from unrolled.models import Sequential
from unrolled.optimizers import SGD, Adam, AdamW, RMSprop

OPTIMIZERS = [
    lambda: SGD(0.05), lambda: SGD(0.05, momentum=0.9, nesterov=True), lambda: RMSprop(0.01),
    lambda: RMSprop(0.01, centered=True, momentum=0.5), lambda: Adam(0.01), lambda: Adam(0.01, amsgrad=True),
    lambda: AdamW(0.01, clipnorm=0.5), lambda: Adam(0.01, global_clipnorm=0.5), lambda: SGD(0.1, clipvalue=0.1),
]  # fmt: skip


@dataclass
class Traced:
    model: Sequential
    x: np.ndarray
    y: np.ndarray
    text: str  # what it is, for a failing test


def recurrent(rng: np.random.Generator, sequences: bool, **options: Any) -> Layer:
    kind = [SimpleRNN, LSTM, GRU, GRU][rng.integers(4)]
    units = int(rng.integers(1, 20))
    options["activation"] = str(rng.choice(["tanh", "tanh", "sigmoid", "softsign"]))
    if kind is not SimpleRNN:
        options["recurrent_activation"] = str(rng.choice(["sigmoid", "sigmoid", "hard_sigmoid"]))
    if kind is GRU:
        options["reset_after"] = bool(rng.integers(2))
    layer = kind(units, return_sequences=sequences, use_bias=bool(rng.random() < 0.85), **options)
    if rng.random() < 0.25:
        return Bidirectional(layer, merge_mode=str(rng.choice(["concat", "sum", "mul", "ave"])))
    if rng.random() < 0.15:
        return type(layer).from_config({**layer.get_config(), "go_backwards": True})
    return layer


def random_model(seed: int, trained: bool = True) -> Traced:
    rng = np.random.default_rng(seed)
    dtype = str(rng.choice(["float32", "float64"]))
    steps, words = int(rng.integers(1, 14)), 30
    with_ids, masked = rng.random() < 0.6, rng.random() < 0.5
    layers: list[Any] = []
    if with_ids:
        layers.append(Embedding(words, int(rng.integers(1, 9)), mask_zero=masked, dtype=dtype))
    else:
        layers.append(Input((steps, features := int(rng.integers(1, 6)))))
        layers += [Masking(dtype=dtype)] if masked else []
    depth, per_step = int(rng.integers(1, 4)), rng.random() < 0.2
    pooled = not per_step and rng.random() < 0.2
    for number in range(depth):
        layers.append(recurrent(rng, number < depth - 1 or per_step or pooled, dtype=dtype))
        if number < depth - 1 and rng.random() < 0.4:
            layers.append(Dropout(0.3, dtype=dtype))
    if pooled:
        layers.append([GlobalMaxPooling1D, GlobalAveragePooling1D][rng.integers(2)](dtype=dtype))
    if rng.random() < 0.2 and not per_step:
        layers.append(Dense(4, activation="tanh", dtype=dtype))
    classes = int(rng.integers(2, 5))
    binary = rng.random() < 0.5
    head: list[Layer] = [Dense(1, activation="sigmoid", dtype=dtype)] if binary else [Dense(classes, dtype=dtype)]
    if not binary:
        if per_step and rng.random() < 0.5:
            head = [TimeDistributed(Dense(classes, activation="softmax", dtype=dtype))]
        else:
            head.append(Activation("softmax", dtype=dtype))
    model = Sequential(layers + head)
    batch = 4
    if with_ids:
        x = rng.integers(1, words, (batch, steps))
        for b in range(batch):
            x[b, : rng.integers(0, steps)] = 0
    else:
        x = rng.normal(size=(batch, steps, features))
        for b in range(batch):
            x[b, : rng.integers(0, steps)] = 0
    shape = (batch, steps) if per_step else (batch,)
    y = rng.integers(0, 2 if binary else classes, shape)
    y = y[..., None] if binary else y
    optimizer = OPTIMIZERS[rng.integers(len(OPTIMIZERS))]()
    model.compile(optimizer, "binary_crossentropy" if binary else "sparse_categorical_crossentropy")
    if trained:
        for _ in range(3):
            model.train_on_batch(x, y)
    kinds = " ".join(type(layer).__name__ for layer in model.layers)
    return Traced(model, x, y, f"seed {seed}: {kinds} {dtype} T={steps} mask={masked}")
