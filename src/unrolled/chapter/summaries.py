"""Section: the layers of the chapter and their parameters, before any data."""

from __future__ import annotations

from collections.abc import Callable

from unrolled.chapter.blocks import Block, Code, Figures, Row, Section, Table, Text
from unrolled.layers import GRU, LSTM, Dense, Embedding, Layer, SimpleRNN
from unrolled.models import Sequential

KEY, TITLE = "summaries", "Layers and summaries"


def stack_of_one() -> list[Layer]:
    """One output for a sequence."""
    return [Embedding(10_000, 32, name="embedding"), SimpleRNN(32, name="simple_rnn")]


def outputs_of_all_steps() -> list[Layer]:
    """One output for each step."""
    return [Embedding(10_000, 32, name="embedding"), SimpleRNN(32, return_sequences=True, name="simple_rnn")]


def with_input_length() -> list[Layer]:
    """The same for sequences of 20 steps."""
    embedding = Embedding(10_000, 32, input_length=20, name="embedding")
    return [embedding, SimpleRNN(32, return_sequences=True, name="simple_rnn")]


def stack_of_four() -> list[Layer]:
    """Four on top of each other; all but the last hand on every step."""
    names = ("simple_rnn", "simple_rnn_1", "simple_rnn_2")
    below = [SimpleRNN(32, return_sequences=True, name=name) for name in names]
    return [Embedding(10_000, 32, name="embedding"), *below, SimpleRNN(32, name="simple_rnn_3")]


MODELS: dict[str, tuple[Callable[[], list[Layer]], str]] = {
    "SimpleRNN(32)": (stack_of_one, "322,080"),
    "SimpleRNN(32, return_sequences=True)": (outputs_of_all_steps, "322,080"),
    "the same, input_length=20": (with_input_length, "322,080"),
    "four SimpleRNN(32)": (stack_of_four, "328,320"),
}


def run(figures: Figures) -> Section:
    """Every summary of the chapter, and the count of every layer that either text prints."""
    section = Section(KEY, TITLE)
    printed: list[Block] = []
    totals: list[Row] = []
    for name, (layers, total) in MODELS.items():
        model = Sequential(layers(), name="sequential")
        lines: list[str] = []
        model.summary(print_fn=lines.append)
        printed.append(Code("\n".join(lines), name))
        totals.append([name, total, figures.here(f"summaries/{name}", model.count_params())])
    counts: list[Row] = [
        [f"`{name}`", figures.recorded(f"parameters/{name}"), figures.here(f"parameters/{name}", count)]
        for name, count in count_parameters().items()
    ]
    section.add(
        Text(
            "A layer gives one output for the sequence, `(None, 32)`, or with `return_sequences=True` one for each "
            "step, `(None, None, 32)`: the number of steps is open until data comes."
        ),
        Table("Parameters of a model", ["Embedding(10000, 32), then", "recorded", "here"], [("", totals)]),
        Table("Parameters of a layer", ["layer", "recorded", "here"], [("", counts)]),
        *printed,
    )
    equal = sum(figures.read(f"parameters/{name}") == count for name, count in count_parameters().items())
    section.glance = [["Parameter counts that agree", str(len(counts)), str(equal)]]
    return section


def count_parameters() -> dict[str, int]:
    """The count of each layer or stack whose number a text prints, by the name that recorded.json gives it."""
    embedding, tweets, cells = Embedding(10_000, 32), Embedding(12_533, 32), (SimpleRNN(32), LSTM(32), GRU(32))
    counts = {"Embedding(10000,32)": _last([embedding])}
    counts |= {f"{type(cell).__name__}(32)": _last([Embedding(10, 32), cell]) for cell in cells}
    return counts | {
        "Dense(1)": _last([Embedding(10, 32), LSTM(32), Dense(1)]),
        "four stacked SimpleRNN(32) with embedding": Sequential(stack_of_four()).count_params(),
        "Embedding(12533,32)": _last([tweets]),
        "SimpleRNN(40)": _last([Embedding(10, 32), SimpleRNN(40)]),
        "LSTM(40)": _last([Embedding(10, 32), LSTM(40)]),
        "second LSTM(40)": _last([Embedding(10, 32), LSTM(40, return_sequences=True), LSTM(40)]),
        "Dense(2)": _last([Embedding(10, 32), LSTM(40), Dense(2)]),
        "toy SimpleRNN(1)": _last([SimpleRNN(1, input_shape=(2, 1))]),
        "toy LSTM(1)": _last([LSTM(1, input_shape=(2, 1))]),
        "toy Dense(5)": _last([SimpleRNN(1, input_shape=(2, 1)), Dense(5)]),
    }


def _last(layers: list[Layer]) -> int:
    return Sequential(layers).layers[-1].count_params()
