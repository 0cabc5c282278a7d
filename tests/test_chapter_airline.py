"""The cookbook's airline tweets: from the CSV to the trained SimpleRNN, LSTM and stacked LSTM."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from unrolled import utils
from unrolled.errors import PaddingWarning
from unrolled.layers import LSTM, Dense, Embedding, Recurrent, SimpleRNN
from unrolled.models import Sequential
from unrolled.preprocessing.sequence import pad_sequences
from unrolled.utils import to_categorical

pytestmark = pytest.mark.whole_programs


class Tweets(NamedTuple):
    """Word numbers before padding, and what the notebook makes of them."""

    encoded: list[list[int]]
    words: int
    longest: int
    X_train: np.ndarray
    X_test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray


@pytest.fixture(scope="module")
def tweets(shared_data: Path) -> Tweets:
    pd = pytest.importorskip("pandas")
    selection = pytest.importorskip("sklearn.model_selection")
    table = pd.read_csv(shared_data / "airline" / "airline_sentiment.csv")
    stop = set((shared_data / "stopwords" / "english.txt").read_text().split())

    def preprocess(text: str) -> str:
        text = re.sub("[^0-9a-zA-Z]+", " ", text.lower())
        return " ".join(word for word in text.split() if word not in stop)

    table["text"] = table["text"].apply(preprocess)
    counts = Counter(word for text in table["text"] for word in text.split())
    word_to_int = {word: i for i, word in enumerate(sorted(counts, key=lambda w: -counts[w]), 1)}
    encoded = [[word_to_int[word] for word in text.split()] for text in table["text"]]
    longest = max(map(len, encoded))
    X = pad_sequences(maxlen=26, sequences=encoded, padding="post", value=0)
    y = to_categorical(table["airline_sentiment"])
    parts = selection.train_test_split(X, y, test_size=0.30, random_state=10)
    return Tweets(encoded, len(word_to_int), longest, *parts)


def model_of(*cells: Recurrent) -> Sequential:
    model = Sequential()
    model.add(Embedding(input_dim=12533, output_dim=32, input_length=26))
    for cell in cells:
        model.add(cell)
    model.add(Dense(2, activation="softmax"))
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


MODELS = {
    "SimpleRNN": lambda: model_of(SimpleRNN(40, return_sequences=False)),
    "LSTM": lambda: model_of(LSTM(40, return_sequences=False)),
    "two LSTM": lambda: model_of(LSTM(40, return_sequences=True), LSTM(40, return_sequences=False)),
}


def test_cleaning_gives_the_notebook_s_numbers(tweets: Tweets) -> None:
    assert (tweets.words, tweets.longest) == (12532, 26)
    assert tweets.encoded[0] == [44, 450, 1142, 2233, 100, 5429]
    assert tweets.encoded[1] == [44, 57, 3036, 3845, 3846, 815, 3037, 3847, 19, 366, 2234]
    assert (len(tweets.X_train), len(tweets.X_test)) == (8078, 3463)
    assert tweets.X_train.shape[1] == 26
    assert tweets.y_train.shape[1] == 2
    padded = pad_sequences(maxlen=26, sequences=tweets.encoded[:1], padding="post", value=0)
    assert padded[0].tolist() == tweets.encoded[0] + [0] * 20


@pytest.mark.parametrize(
    ("name", "shapes", "counts"),
    [
        ("SimpleRNN", [(None, 26, 32), (None, 40), (None, 2)], [401_056, 2_920, 82]),
        ("LSTM", [(None, 26, 32), (None, 40), (None, 2)], [401_056, 11_680, 82]),
        ("two LSTM", [(None, 26, 32), (None, 26, 40), (None, 40), (None, 2)], [401_056, 11_680, 12_960, 82]),
    ],
)
def test_print_of_the_summary(name: str, shapes: Any, counts: Any, capsys: pytest.CaptureFixture[str]) -> None:
    model = MODELS[name]()
    assert [layer.output_shape for layer in model.layers] == shapes
    assert [layer.count_params() for layer in model.layers] == counts
    print(model.summary())  # type: ignore[func-returns-value]  the notebook prints it, and so its None
    printed = capsys.readouterr().out
    assert printed.endswith("None\n")
    for shape, count in zip(shapes, counts, strict=True):
        assert re.search(re.escape(str(shape)) + rf"\s+{count}\b", printed)
    assert f"Total params: {sum(counts):,}" in printed


@pytest.mark.parametrize("name", MODELS)
def test_one_epoch_beats_the_majority(name: str, tweets: Tweets) -> None:
    utils.set_random_seed(10)
    model = MODELS[name]()
    majority = tweets.y_test.mean(axis=0).max()
    assert majority == pytest.approx(0.7996, abs=5e-5)
    with pytest.warns(PaddingWarning, match="end in zeros"):  # padding="post", and nothing masks it
        history = model.fit(
            tweets.X_train,
            tweets.y_train,
            validation_data=(tweets.X_test, tweets.y_test),
            epochs=1,
            batch_size=32,
            verbose=0,
        )
    assert set(history.history) == {"accuracy", "loss", "val_accuracy", "val_loss"}
    assert history.params["steps"] == 253
    # The recorded runs reach .9012, .9111 and .9033 in their first epoch.
    assert history.history["val_accuracy"][0] > 0.87


def test_weights_cut_into_gates(tweets: Tweets) -> None:
    """The notebook takes the LSTM's weights apart by 40 columns; with them one step by hand equals the layer."""
    model = MODELS["LSTM"]()
    kernel, recurrent, bias = model.layers[1].get_weights()
    assert (kernel.shape, recurrent.shape, bias.shape) == ((32, 160), (40, 160), (160,))
    W_i, _, W_c, W_o = (kernel[:, k * 40 : (k + 1) * 40] for k in range(4))
    b_i, b_f, b_c, b_o = (bias[k * 40 : (k + 1) * 40] for k in range(4))
    assert [b.tolist() for b in (b_i, b_f, b_c, b_o)] == [[v] * 40 for v in (0, 1, 0, 0)]  # unit_forget_bias
    x = model.layers[0].get_weights()[0][tweets.X_test[0, :1]]

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(-z)))

    carry = sigmoid(x @ W_i + b_i) * np.tanh(x @ W_c + b_c)
    by_hand = sigmoid(x @ W_o + b_o) * np.tanh(carry)
    layer: Any = model.layers[1]
    np.testing.assert_allclose(layer(x[None]), by_hand, rtol=0, atol=1e-6 * np.abs(by_hand).max())
