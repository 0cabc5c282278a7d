"""The network of a classifier, from the words of its arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from unrolled import optimizers
from unrolled.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Dense,
    Dropout,
    GlobalAveragePooling1D,
    GlobalMaxAveragePooling1D,
    GlobalMaxPooling1D,
    Layer,
    Recurrent,
    SimpleRNN,
)
from unrolled.models import Sequential

CELLS: dict[str, type[Recurrent]] = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}
POOLING: dict[str, type[Layer]] = {
    "max": GlobalMaxPooling1D,
    "mean": GlobalAveragePooling1D,
    "max+mean": GlobalMaxAveragePooling1D,
}


class Options(Protocol):
    """The arguments of a classifier that shape its network."""

    cell: str
    units: int
    layers: int
    bidirectional: bool
    pooling: str | None
    dropout: float
    optimizer: str
    learning_rate: float
    weight_averaging: float


def build_network(below: list[Layer], options: Options, classes: int) -> Sequential:
    """The network of so many classes on top of the layers `below`; its weights are drawn here."""
    model = Sequential(below, name="classifier")
    for layer in _recurrent_layers(options):
        model.add(layer)
    if options.pooling is not None:
        model.add(POOLING[options.pooling](name="pooling"))
    if options.dropout:
        model.add(Dropout(options.dropout, name="dropout"))
    model.add(Dense(classes, "softmax", name="output") if classes > 2 else Dense(1, "sigmoid", name="output"))
    return model


def compile_network(model: Sequential, options: Options, classes: int, steps: int) -> None:
    """Give the network its optimizer and loss; steps: of an epoch, by which averaging is measured."""
    settings: dict[str, Any] = {"learning_rate": float(options.learning_rate)}
    if options.weight_averaging:
        settings |= {"use_ema": True, "ema_momentum": 1 - 1 / max(1.0, options.weight_averaging * steps)}
    optimizer = optimizers.get({"class_name": options.optimizer, "config": settings})
    loss = "sparse_categorical_crossentropy" if classes > 2 else "binary_crossentropy"
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])


def _recurrent_layers(options: Options) -> Iterator[Layer]:
    """One below the other, with dropout between them."""
    for number in range(1, options.layers + 1):
        more = number < options.layers
        name = f"{options.cell}_{number}"
        layer = CELLS[options.cell](options.units, return_sequences=more or options.pooling is not None, name=name)
        yield Bidirectional(layer, name=f"both_{name}") if options.bidirectional else layer
        if more and options.dropout:
            yield Dropout(options.dropout, name=f"dropout_{number}")
