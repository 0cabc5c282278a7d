"""Section: airline tweets, from the CSV to SimpleRNN, LSTM and two LSTM on top of each other."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.chapter.blocks import Block, Code, Figures, Note, Picture, Row, Section, Table, Text
from unrolled.chapter.charts import Line, line_chart
from unrolled.chapter.data import Rows, Say, load_stop_words, load_tweets
from unrolled.chapter.training import Clock, here_row, recorded_row
from unrolled.errors import MissingExtraError, PaddingWarning, require_extra
from unrolled.layers import LSTM, Dense, Embedding, Layer, SimpleRNN
from unrolled.models import Sequential
from unrolled.preprocessing.sequence import pad_sequences
from unrolled.random import set_random_seed
from unrolled.text.cleaning import clean
from unrolled.utils import to_categorical

KEY, TITLE = "airline", "Airline tweets: SimpleRNN, LSTM, two LSTM"
MAXLEN, TEST_SIZE, RANDOM_STATE, BATCH = 26, 0.30, 10, 32
MODELS = ("SimpleRNN(40)", "LSTM(40)", "LSTM(40)x2")
LONGER = 5  # the cookbook trains SimpleRNN for 10 epochs and the LSTMs for 50
CODE = """\
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.30, random_state=10)
model = Sequential()
model.add(Embedding(input_dim={words}, output_dim=32, input_length=26))
model.add(LSTM(40, return_sequences=False))     # or SimpleRNN; or LSTM(40, return_sequences=True) below it
model.add(Dense(2, activation='softmax'))
model.compile(loss='categorical_crossentropy', optimizer='adam', metrics=['accuracy'])
model.fit(X_train, y_train, validation_data=(X_test, y_test), epochs=10, batch_size=32)"""


@dataclass
class Tweets:
    """What the notebook makes of the file. texts: cleaned; words: distinct; longest: of a tweet, before the cut."""

    texts: list[str]
    words: int
    longest: int
    X_train: np.ndarray
    X_test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray
    train_rows: np.ndarray
    test_rows: np.ndarray


def prepare(rows: Rows, stop_words: frozenset[str]) -> Tweets:
    """Clean, number by frequency (ties by first appearance), pad behind, and split as the notebook does."""
    split = require_extra("sklearn.model_selection", "sklearn", "the airline section").train_test_split
    texts = [clean(text, stop_words) for text in rows.x]
    counts = Counter(word for text in texts for word in text.split())
    number = {word: k for k, word in enumerate(sorted(counts, key=lambda word: -counts[word]), 1)}
    encoded = [[number[word] for word in text.split()] for text in texts]
    X = pad_sequences(maxlen=MAXLEN, sequences=encoded, padding="post", truncating="post", value=0)
    y = to_categorical(rows.y)
    train, test = split(np.arange(len(y)), test_size=TEST_SIZE, random_state=RANDOM_STATE)
    return Tweets(texts, len(number), max(map(len, encoded)), X[train], X[test], y[train], y[test], train, test)


def build(name: str, words: int) -> Sequential:
    """One of the three models, compiled."""
    cells: dict[str, list[Layer]] = {
        "SimpleRNN(40)": [SimpleRNN(40, return_sequences=False)],
        "LSTM(40)": [LSTM(40, return_sequences=False)],
        "LSTM(40)x2": [LSTM(40, return_sequences=True), LSTM(40, return_sequences=False)],
    }
    model = Sequential()
    model.add(Embedding(input_dim=words + 1, output_dim=32, input_length=MAXLEN))
    for cell in cells[name]:
        model.add(cell)
    model.add(Dense(2, activation="softmax"))
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


def references(tweets: Tweets) -> tuple[float, float]:
    """Accuracy on the test rows of the commoner class, and of logistic regression on TF-IDF of the cleaned words.

    The strength of its penalty is chosen by cross-validation inside the training rows.
    """
    purpose = "the airline section"
    text = require_extra("sklearn.feature_extraction.text", "sklearn", purpose)
    linear = require_extra("sklearn.linear_model", "sklearn", purpose)
    search = require_extra("sklearn.model_selection", "sklearn", purpose).GridSearchCV
    vectors = text.TfidfVectorizer(token_pattern=r"\S+")
    labels, unseen = tweets.y_train.argmax(axis=1), tweets.y_test.argmax(axis=1)
    x = vectors.fit_transform([tweets.texts[i] for i in tweets.train_rows])
    model = search(linear.LogisticRegression(solver="liblinear"), {"C": [1, 3, 10, 30]})
    # One thread: those of the BLAS only spin here, on a busy machine for minutes. scikit-learn brings threadpoolctl.
    with require_extra("threadpoolctl", "sklearn", purpose).threadpool_limits(1):
        model.fit(x, labels)
    right = model.predict(vectors.transform([tweets.texts[i] for i in tweets.test_rows])) == unseen
    return float(np.mean(unseen == np.bincount(labels).argmax())), float(np.mean(right))


def train(name: str, tweets: Tweets, epochs: int, seed: int, verbose: int) -> tuple[dict[str, list[float]], Sequential]:
    """One of the three models: its measures over the epochs, and the model."""
    set_random_seed(seed)
    model = build(name, tweets.words)
    clock = Clock()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PaddingWarning)  # the notebook pads behind, and the page says what it means
        history = model.fit(
            tweets.X_train,
            tweets.y_train,
            validation_data=(tweets.X_test, tweets.y_test),
            epochs=epochs,
            batch_size=BATCH,
            callbacks=[clock],
            verbose=verbose,
        )
    return dict(history.history) | {"seconds": clock.whole}, model


def run(figures: Figures, folder: Path | None, epochs: int, seed: int, say: Say, verbose: int) -> Section:
    """Clean, split, train three models, and lay the recorded run beside them."""
    section = Section(KEY, TITLE)
    tweets: Tweets | None = None
    reference: tuple[float | None, float | None] = (None, None)
    results: dict[str, dict[str, list[float]]] = {}
    gates: Table | None = None
    rows = load_tweets(folder)
    section.add(*(Note(note) for note in rows.notes))
    if isinstance(rows, Rows):
        stop_words, notes = load_stop_words(folder)
        section.add(*(Note(note) for note in notes))
        try:
            tweets = prepare(rows, stop_words)
            reference = references(tweets)
        except MissingExtraError as error:
            tweets = None
            section.add(Note(str(error)))
    if tweets is not None:
        for name in MODELS:
            times = 1 if name == MODELS[0] else LONGER
            say(f"{name} on tweets")
            results[name], model = train(name, tweets, epochs * times, seed, verbose)
            if name == "LSTM(40)":
                gates = _gates(model)
    section.add(
        Text(
            "Tweets to airlines, positive or negative: lower case, all but letters and digits to blanks, English stop "
            "words out, words numbered by falling count, padded behind to 26 steps. "
            + (
                f"Data: {rows.source}."
                if tweets is not None and isinstance(rows, Rows)
                else "Nothing was trained here."
            )
        ),
        Code(CODE.format(words=tweets.words + 1 if tweets else 12_533)),
        _setup(figures, tweets, len(rows.x) if isinstance(rows, Rows) else None),
        _results(figures, results, reference),
        Text(
            "The best epoch is chosen on the same test rows that it is reported on, as in the notebook; that flatters. "
            "`benchmarks/results/chapter_results.md` has five seeds of each, and beside them what comes out when the "
            "epoch is chosen inside the training rows. Nothing masks the zeros behind short tweets, so the networks "
            "run on through them, as in Keras. The text states about .89, .91 and .91 after 10, 50 and 50 epochs."
        ),
        *_epochs(figures, results),
    )
    if gates is not None:
        section.add(gates)
    for name in MODELS:
        recorded = figures.read(f"airline/val_acc_by_epoch/{name}")
        said = f"{max(recorded):.4f}, {figures.read(f'airline/seconds_per_epoch/{name}')} s"
        mine = "not run"
        if name in results:
            best = max(results[name]["val_accuracy"][: len(recorded)])
            mine = f"{best:.4f}, {np.mean(results[name]['seconds']):.2f} s"
        section.glance.append([f"{name} on tweets: best validation accuracy, time of an epoch", said, mine])
    return section


def _setup(figures: Figures, tweets: Tweets | None, rows: int | None) -> Table:
    ours: dict[str, Any] = {
        "rows": rows,
        "vocabulary": tweets and tweets.words,
        "maxlen": tweets and tweets.longest,
        "padding": "post",
        "test_size": TEST_SIZE,
        "random_state_in_notebook": RANDOM_STATE,
        "train_test/0": tweets and len(tweets.y_train),
        "train_test/1": tweets and len(tweets.y_test),
        "optimizer": "adam",
        "loss": "categorical_crossentropy",
        "batch_size": BATCH,
    }
    names = {"train_test/0": "rows to train on", "train_test/1": "rows to test with", "maxlen": "longest tweet, words"}
    table: list[Row] = [
        [
            names.get(key, key.replace("_", " ")),
            figures.recorded(f"airline/setup/{key}"),
            figures.here(f"airline/setup/{key}", value),
        ]
        for key, value in ours.items()
    ]
    other = figures.recorded("airline/setup/random_state_in_text")
    table.append(["random state in the text", other, "not used: the recorded figures are the notebook's"])
    return Table("The setting", ["", "recorded", "here"], [("", table)], folded=True)


def _results(figures: Figures, results: dict[str, dict[str, list[float]]], reference: tuple[Any, Any]) -> Table:
    """Best, last and stated accuracies, and seconds."""
    stated = {MODELS[0]: MODELS[0], **{name: f"{name}, 50 epochs" for name in MODELS[1:]}}
    table: list[Row] = []
    for name in MODELS:
        mine = results.get(name)
        recorded = figures.read(f"airline/val_acc_by_epoch/{name}")
        known = len(recorded)
        path = f"airline/{name}"
        first = mine and mine["val_accuracy"][:known]
        table.append(
            [
                name,
                f"{max(recorded):.4f}",
                figures.here(f"{path}/best", first and max(first), ".4f"),
                figures.recorded(f"airline/stated_in_text/{stated[name]}"),
                figures.here(f"{path}/last", mine and mine["val_accuracy"][-1], ".4f"),
                figures.recorded(f"airline/seconds_per_epoch/{name}"),
                figures.here(f"{path}/seconds_per_epoch", mine and float(np.mean(mine["seconds"])), ".2f"),
            ]
        )
    for (key, name), value in zip(
        {"majority": "majority class", "tfidf_logistic_regression": "logistic regression on TF-IDF"}.items(),
        reference,
        strict=True,
    ):
        path = f"airline/our_references_same_split/{key}"
        table.append([name, figures.recorded(path), figures.here(path, value, ".4f"), "–", "–", "–", "–"])
    header = [
        "",
        "best of 10 epochs, recorded",
        "here",
        "last epoch, stated in the text",
        "here",
        "seconds an epoch, recorded",
        "here",
    ]
    return Table("Validation accuracy and time", header, [("", table)])


def _epochs(figures: Figures, results: dict[str, dict[str, list[float]]]) -> list[Block]:
    """Curves, and the recorded epochs beside ours."""
    svgs, groups, width = [], [], 0
    for name in MODELS:
        width = max(width, len(figures.read(f"airline/val_acc_by_epoch/{name}")))
    for name in MODELS:
        path = f"airline/val_acc_by_epoch/{name}"
        mine = results.get(name)
        lines = [Line("Validation, recorded", figures.read(path), "thin", 3)]
        if mine is not None:
            ours = [Line("Training accuracy", mine["accuracy"], "dots", 1)]
            lines = [*ours, Line("Validation accuracy", mine["val_accuracy"], "line", 2), *lines]
        svgs.append(line_chart(f"{name}: accuracy", lines))
        values = None if mine is None else mine["val_accuracy"]
        rows = [here_row(figures, path, values, ".4f", width), recorded_row(figures, "recorded", path, ".4f", width)]
        groups.append((name, rows))
    header = ["epoch", *map(str, range(1, width + 1))]
    return [Picture(svgs), Table("Validation accuracy, the first epochs", header, groups, folded=True)]


def _gates(model: Sequential) -> Table:
    """The notebook's view of the LSTM: its weights cut in four by 40 columns."""
    kernel, recurrent, bias = model.layers[1].get_weights()
    rows: list[Row] = []
    for k, gate in enumerate(("input", "forget", "cell", "output")):
        part = slice(40 * k, 40 * (k + 1))
        shapes = [str(weights[..., part].shape) for weights in (kernel, recurrent, bias)]
        rows.append([gate, *shapes, f"{float(bias[part].mean()):.3f}"])
    shapes = [str(weights.shape) for weights in (kernel, recurrent, bias)]
    rows.append(["all, as `get_weights()` has them", *shapes, "–"])
    header = ["gate", "from the input", "from the state", "bias", "mean bias after training"]
    return Table("`model.layers[1].get_weights()` of LSTM(40), cut into gates", header, [("", rows)])
