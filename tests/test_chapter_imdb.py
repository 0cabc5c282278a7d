"""The chapter's calls on the real IMDB arrays; `make examples` and benchmarks/ train for all ten epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled import layers, utils
from unrolled.datasets import imdb
from unrolled.layers import GRU, LSTM, Dense, Embedding, SimpleRNN
from unrolled.models import Sequential
from unrolled.preprocessing import sequence

pytestmark = pytest.mark.whole_programs

MAX_FEATURES, MAXLEN, BATCH_SIZE = 10000, 500, 128
Halves = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def halves(shared_data: Path) -> Halves:
    return imdb.load_data(path=shared_data / "imdb" / "imdb.npz", num_words=MAX_FEATURES)


@pytest.fixture(scope="module")
def padded(halves: Halves) -> np.ndarray:
    return sequence.pad_sequences(halves[0][0], maxlen=MAXLEN)


def test_sizes_and_padding(halves: Halves, padded: np.ndarray) -> None:
    (x_train, y_train), (x_test, y_test) = halves
    assert [len(part) for part in (x_train, y_train, x_test, y_test)] == [25000] * 4
    assert max(max(row) for row in x_train) == MAX_FEATURES - 1
    assert padded.shape == (25000, 500)
    short, long = np.argmin([len(r) for r in x_train]), np.argmax([len(r) for r in x_train])
    assert padded[short].tolist() == [0] * (500 - len(x_train[short])) + x_train[short]  # padded in front
    assert padded[long].tolist() == x_train[long][-500:]  # cut in front
    np.testing.assert_array_equal(utils.data_utils.pad_sequences(x_train[:3], maxlen=500), padded[:3])


def test_with_numpy_load_replaced(halves: Halves, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One version forces allow_pickle=True upon numpy.load; a loader that passes it as well would fail."""
    monkeypatch.setenv("UNROLLED_HOME", str(shared_data / "imdb"))
    np_load_old = np.load
    try:
        np.load = lambda *a, **k: np_load_old(*a, allow_pickle=True, **k)  # type: ignore[assignment]
        (x_train, y_train), _ = imdb.load_data(num_words=1000)
    finally:
        np.load = np_load_old  # type: ignore[assignment]
    cut = [[i if i < 1000 else 2 for i in row] for row in halves[0][0][:200]]
    assert x_train[:200].tolist() == cut
    np.testing.assert_array_equal(y_train, halves[0][1])


@pytest.mark.parametrize("cell", [SimpleRNN, LSTM, GRU])
@pytest.mark.parametrize("input_length", [None, MAXLEN])
def test_one_epoch_on_some_reviews(
    cell: type[layers.Recurrent], input_length: int | None, halves: Halves, padded: np.ndarray
) -> None:
    utils.set_random_seed(1)
    model = Sequential()
    model.add(
        Embedding(MAX_FEATURES, 32) if input_length is None else Embedding(MAX_FEATURES, 32, input_length=input_length)
    )
    model.add(cell(32))
    model.add(Dense(1, activation="sigmoid"))
    model.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["acc"])
    history = model.fit(
        padded[:1280], halves[0][1][:1280], epochs=1, batch_size=BATCH_SIZE, validation_split=0.2, verbose=0
    )
    assert set(history.history) == {"acc", "val_acc", "loss", "val_loss"}
    assert history.params["steps"] == 8  # 1,024 of 1,280 rows train
    assert all(0 < value[0] < 1 for value in history.history.values())
    assert history.history["loss"][0] < 0.70


def test_a_full_epoch_has_157_steps_and_learns(halves: Halves, padded: np.ndarray) -> None:
    utils.set_random_seed(1)
    model = Sequential()
    model.add(Embedding(MAX_FEATURES, 32))
    model.add(LSTM(32))
    model.add(Dense(1, activation="sigmoid"))
    model.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["acc"])
    history = model.fit(padded, halves[0][1], epochs=2, batch_size=BATCH_SIZE, validation_split=0.2, verbose=0)
    assert history.params["steps"] == 157  # 20,000 rows
    # The recorded runs stand at .7814 to .8862 after one or two epochs; chance is .5.
    assert max(history.history["val_acc"]) > 0.75
    last = model.evaluate(padded[-5000:], halves[0][1][-5000:], batch_size=BATCH_SIZE, verbose=0)
    assert last == pytest.approx([history.history["val_loss"][-1], history.history["val_acc"][-1]], rel=1e-5)


def test_curves_of_a_history(halves: Halves, padded: np.ndarray, tmp_path: Path) -> None:
    """Dots and lines over the epochs, accuracy in one figure, loss in a second."""
    plt: Any = pytest.importorskip("matplotlib.figure")
    model = Sequential([Embedding(MAX_FEATURES, 8), SimpleRNN(8), Dense(1, activation="sigmoid")])
    model.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["acc"])
    history = model.fit(padded[:256, -40:], halves[0][1][:256], epochs=3, validation_split=0.2, verbose=0)
    for key in ("acc", "loss"):
        values, val_values = history.history[key], history.history[f"val_{key}"]
        figure = plt.Figure()
        axes = figure.subplots()
        epochs = range(1, len(values) + 1)
        axes.plot(epochs, values, "bo", label=f"Training {key}")
        axes.plot(epochs, val_values, "b", label=f"Validation {key}")
        axes.set_title(f"Training and validation {key}")
        axes.legend()
        figure.savefig(tmp_path / f"{key}.png")
        assert [len(line.get_xdata()) for line in axes.lines] == [3, 3]
        assert (tmp_path / f"{key}.png").stat().st_size > 1000
