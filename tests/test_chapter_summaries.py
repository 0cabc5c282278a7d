"""The chapter's imports, and what its models' summaries print before any data."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from unrolled import layers
from unrolled.backend import clear_session
from unrolled.layers import GRU, LSTM, Activation, Dense, Embedding, SimpleRNN
from unrolled.models import Sequential


@pytest.fixture(autouse=True)
def fresh_names() -> None:
    clear_session()


def rows(model: Sequential) -> list[list[str]]:
    """The rows of summary() between the header and the totals, blanks out of the way."""
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    start, end = (i for i, line in enumerate(lines) if set(line) == {"="})
    return [line.split("  ") for line in lines[start + 1 : end] if set(line) != {"_"}]


def cells(model: Sequential) -> list[tuple[str, ...]]:
    return [tuple(part.strip() for part in row if part.strip()) for row in rows(model)]


def totals(model: Sequential) -> list[str]:
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    return [line for line in lines if "params" in line]


def test_summary_as_the_chapter_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    model = Sequential()
    model.add(Embedding(10000, 32))
    model.add(SimpleRNN(32))
    model.summary()
    assert capsys.readouterr().out == (
        'Model: "sequential"\n'
        "_________________________________________________________________\n"
        "Layer (type)                 Output Shape              Param #   \n"
        "=================================================================\n"
        "embedding (Embedding)        (None, None, 32)          320000    \n"
        "_________________________________________________________________\n"
        "simple_rnn (SimpleRNN)       (None, 32)                2080      \n"
        "=================================================================\n"
        "Total params: 322,080\n"
        "Trainable params: 322,080\n"
        "Non-trainable params: 0\n"
        "_________________________________________________________________\n"
    )


def test_return_sequences_keeps_the_time_axis_open() -> None:
    model = Sequential()
    model.add(Embedding(10000, 32))
    model.add(SimpleRNN(32, return_sequences=True))
    assert cells(model)[1] == ("simple_rnn (SimpleRNN)", "(None, None, 32)", "2080")
    assert totals(model) == ["Total params: 322,080", "Trainable params: 322,080", "Non-trainable params: 0"]


def test_input_length_sets_the_time_axis() -> None:
    model = Sequential()
    model.add(Embedding(10000, 32, input_length=20))
    model.add(SimpleRNN(32, return_sequences=True))
    assert cells(model) == [
        ("embedding (Embedding)", "(None, 20, 32)", "320000"),
        ("simple_rnn (SimpleRNN)", "(None, 20, 32)", "2080"),
    ]


def test_four_stacked_layers_count_their_names() -> None:
    model = Sequential()
    model.add(Embedding(10000, 32))
    model.add(SimpleRNN(32, return_sequences=True))
    model.add(SimpleRNN(32, return_sequences=True))
    model.add(SimpleRNN(32, return_sequences=True))
    model.add(SimpleRNN(32))
    assert cells(model) == [
        ("embedding (Embedding)", "(None, None, 32)", "320000"),
        ("simple_rnn (SimpleRNN)", "(None, None, 32)", "2080"),
        ("simple_rnn_1 (SimpleRNN)", "(None, None, 32)", "2080"),
        ("simple_rnn_2 (SimpleRNN)", "(None, None, 32)", "2080"),
        ("simple_rnn_3 (SimpleRNN)", "(None, 32)", "2080"),
    ]
    assert totals(model) == ["Total params: 328,320", "Trainable params: 328,320", "Non-trainable params: 0"]


@pytest.mark.parametrize(
    ("cell", "count", "total"), [(SimpleRNN, 2080, 322_113), (LSTM, 8320, 328_353), (GRU, 6336, 326_369)]
)
def test_counts_of_the_imdb_models(cell: type[layers.Recurrent], count: int, total: int) -> None:
    model = Sequential()
    model.add(Embedding(10000, 32))
    model.add(cell(32))
    model.add(Dense(1, activation="sigmoid"))
    assert [layer.count_params() for layer in model.layers] == [320_000, count, 33]
    assert model.count_params() == total
    assert totals(model)[0] == f"Total params: {total:,}"


def test_activation_as_a_layer() -> None:
    model = Sequential([Embedding(1000, 32), LSTM(32), Dense(1), Activation("sigmoid")])
    assert cells(model)[-1] == ("activation (Activation)", "(None, 1)", "0")
    assert model.logits_activation == "sigmoid"


@pytest.mark.parametrize(
    ("path", "same_as"),
    [
        ("models.Sequential", Sequential),
        ("layers.Embedding", Embedding),
        ("layers.SimpleRNN", SimpleRNN),
        ("layers.LSTM", LSTM),
        ("layers.GRU", GRU),
        ("layers.Dense", Dense),
        ("layers.Activation", Activation),
        ("layers.recurrent.SimpleRNN", SimpleRNN),
        ("layers.recurrent.LSTM", LSTM),
        ("layers.embeddings.Embedding", Embedding),
        ("datasets.imdb", "unrolled.datasets.imdb"),
        ("preprocessing.sequence", "unrolled.preprocessing.sequence"),
        ("preprocessing.sequence.pad_sequences", None),
        ("utils.data_utils.pad_sequences", None),
        ("utils.to_categorical", None),
    ],
)
def test_import_paths(path: str, same_as: Any) -> None:
    """`from unrolled.<module> import <name>`, each as some version of the texts writes it."""
    module, _, name = f"unrolled.{path}".rpartition(".")
    namespace: dict[str, Any] = {}
    exec(f"from {module} import {name}", namespace)
    found = namespace[name]
    if same_as is None:
        assert callable(found) and found.__name__ == name
    elif isinstance(same_as, str):
        assert found is importlib.import_module(same_as)
    else:
        assert found is same_as


def test_attributes_of_the_package() -> None:
    """`import unrolled as keras; keras.layers.LSTM(...)` reaches everything, nothing imported beforehand."""
    namespace: dict[str, Any] = {}
    exec("import unrolled as keras", namespace)
    keras = namespace["keras"]
    assert keras.models.Sequential is keras.Sequential
    assert keras.layers.LSTM is LSTM
    assert keras.preprocessing.sequence.pad_sequences is keras.utils.pad_sequences
    assert keras.utils.data_utils.pad_sequences is keras.utils.pad_sequences
    assert callable(keras.datasets.imdb.load_data)
