"""Section: what the texts explain without data: order, memory, shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.chapter.blocks import Code, Figures, Picture, Row, Section, Table, Text
from unrolled.chapter.charts import Line, line_chart
from unrolled.chapter.toys import NAMES, SHAPES, toy_model
from unrolled.layers import LSTM, Dense, RepeatVector, SimpleRNN, TimeDistributed
from unrolled.models import Sequential

KEY, TITLE = "ideas", "Why order and memory"
PAST = (0.5, 1.0, 1.5)  # weights U of the past


def run(figures: Figures) -> Section:
    """Each idea with a network that shows it."""
    section = Section(KEY, TITLE)
    section.add(
        Text(
            '**Order.** A bag of words cannot tell "this is an" from "an is this": both hold each word once. A '
            "recurrent network can. Here the toy SimpleRNN with the printed weights, fed with both:"
        ),
        _order(figures),
        Text(
            '**Memory.** In "I live in India. I speak ____" the word that decides stands long before the gap, and the '
            "state has to carry it there. Without biases and activations the state after five steps is"
        ),
        Code("h5 = W x5 + U W x4 + U² W x3 + U³ W x2 + U⁴ W x1"),
        Text(
            "so the weight of what came k steps before is U to the power k: a small U forgets, a large U explodes. "
            "The table feeds one step of 1 to a linear `SimpleRNN(1)` with W = 1 and reads h5."
        ),
        _powers(figures),
        Picture([_chart()]),
        Text(
            "**Shapes.** U carries the input into the hidden state, W the hidden state into the next one, V the hidden "
            "state to the output, in the cookbook's letters (the sum above has U and W the other way round); which "
            "steps have inputs and which outputs gives four kinds of network. `examples/four_shapes/` trains "
            "one of each."
        ),
        _shapes(),
    )
    return section


def _order(figures: Figures) -> Table:
    number = figures.read("toys/word_to_int")
    model = toy_model("SimpleRNN")
    printed = [np.array(figures.read(f"toys/SimpleRNN/{name}")) for name in NAMES]
    weights = [part.reshape(shape) for part, shape in zip(printed, SHAPES["SimpleRNN"], strict=True)]
    layer: Any = SimpleRNN(1, input_shape=(3, 1))
    layer(np.zeros((1, 3, 1), np.float32))
    layer.set_weights(weights[:3])
    model.set_weights(weights)
    rows: list[Row] = []
    for text in ("this is an", "an is this"):
        ids = [number[word] for word in text.split()]
        counts = ", ".join(f"{word} {ids.count(number[word])}" for word in sorted(number, key=lambda w: number[w]))
        state = float(layer(np.array(ids, np.float32).reshape(1, 3, 1))[0, 0])
        rows.append([f'"{text}"', counts, figures.here(f"ideas/order/{text}", state, ".6f")])
    return Table("The same words in two orders", ["text", "bag of words", "last state"], [("", rows)])


def _powers(figures: Figures) -> Table:
    rows: list[Row] = []
    for u in PAST:
        layer: Any = SimpleRNN(1, activation="linear", use_bias=False, dtype="float64", input_shape=(5, 1))
        layer(np.zeros((1, 5, 1)))
        layer.set_weights([[[1.0]], [[u]]])
        effects = [float(layer(np.eye(5)[t].reshape(1, 5, 1))[0, 0]) for t in range(5)]
        rows.append([f"U = {u}", *(figures.here(f"ideas/U={u}/x{t + 1}", e, ".4f") for t, e in enumerate(effects))])
    return Table("Effect of each input on h5", ["", "x1", "x2", "x3", "x4", "x5"], [("", rows)])


def _chart() -> str:
    lines = [Line(f"U = {u}", [u**k for k in range(6)], "line", tone) for tone, u in enumerate(PAST, 1)]
    return line_chart("Weight of an input k steps back", lines, "k", first=0)


def _shapes() -> Table:
    sequences: dict[str, list[Any]] = {
        "one to one (a network of one step)": [LSTM(8, input_shape=(1, 4)), Dense(2)],
        "one to many (image to caption)": [
            RepeatVector(6, input_shape=(4,)),
            LSTM(8, return_sequences=True),
            TimeDistributed(Dense(2)),
        ],
        "many to one (review to opinion)": [LSTM(8, input_shape=(6, 4)), Dense(2)],
        "many to many (translation)": [
            LSTM(8, input_shape=(6, 4)),
            RepeatVector(5),
            LSTM(8, return_sequences=True),
            TimeDistributed(Dense(2)),
        ],
    }
    rows: list[Row] = []
    for name, layers in sequences.items():
        model = Sequential(layers)
        stack = ", ".join(type(layer).__name__ for layer in layers)
        rows.append([name, f"`{stack}`", str(model.layers[0].input_shape), str(model.layers[-1].output_shape)])
    return Table("Four kinds of network", ["", "layers", "input", "output"], [("", rows)])
