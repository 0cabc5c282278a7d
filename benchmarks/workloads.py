"""What is measured: models, shapes, real data and initial weights, the same for every contestant."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
THREADS = int(os.environ.get("UNROLLED_BENCH_THREADS", "2"))
GATES = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    kind: "train" (a step with optimizer), "predict" (all rows) or "latency" (one row a call); data: where x comes from;
    batches: distinct batches, run round after round; must, goal: the ratio to reach against the best peer.
    """

    name: str
    title: str
    cell: str
    units: int
    B: int
    T: int
    must: float
    goal: float
    data: str = "reviews"
    kind: str = "train"
    depth: int = 1
    vocabulary: int = 10_000
    features: int = 32
    classes: int = 1
    optimizer: str = "rmsprop"
    batches: int = 8
    seconds: float = 0.5  # least time of one round

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.T,) if self.vocabulary else (self.T, self.features)

    @property
    def flops(self) -> float:
        """Products of one training step of one layer: 2(D+H)GH forward and 2(D+2H)GH backward a row-step."""
        D, H, G = self.features, self.units, GATES[self.cell]
        return self.B * self.T * (2 * (D + H) * G * H + 2 * (D + 2 * H) * G * H)


def chapter(name: str, title: str, cell: str = "LSTM", *, must: float, goal: float, **options: Any) -> Workload:
    return Workload(name, title, cell, 32, **{"B": 128, "T": 500, "must": must, "goal": goal, **options})


def airline(name: str, title: str, cell: str, depth: int = 1) -> Workload:
    shape: dict[str, Any] = {"B": 32, "T": 26, "vocabulary": 12_533, "classes": 2, "batches": 64}
    return Workload(name, title, cell, 40, must=2.5, goal=4, data="tweets", depth=depth, optimizer="adam", **shape)


def dense(name: str, title: str, size: int, B: int, T: int, must: float, batches: int) -> Workload:
    options: dict[str, Any] = {"data": "normal", "vocabulary": 0, "features": size, "batches": batches}
    return Workload(name, title, "LSTM", size, B, T, must, 1.3, optimizer="adam", **options)


WORKLOADS = [
    chapter("chapter-lstm", "Reviews, LSTM(32)", must=12, goal=20),
    chapter("chapter-gru", "Reviews, GRU(32)", "GRU", must=12, goal=20),
    chapter("chapter-rnn", "Reviews, SimpleRNN(32)", "SimpleRNN", must=10, goal=20),
    chapter("full-rows", "Reviews without padding, LSTM(32)", must=5, goal=8, data="long reviews"),
    airline("airline-rnn", "Tweets, SimpleRNN(40)", "SimpleRNN"),
    airline("airline-lstm", "Tweets, LSTM(40)", "LSTM"),
    airline("airline-two-lstm", "Tweets, two LSTM(40)", "LSTM", depth=2),
    chapter("long", "5,000 steps, LSTM(32)", must=3, goal=3, B=16, T=5000, batches=2, data="joined reviews"),
    dense("dense-128", "Dense input, LSTM(128)", 128, 32, 80, must=1.0, batches=8),
    dense("dense-512", "Dense input, LSTM(512)", 512, 64, 100, must=0.6, batches=2),
    chapter("predict", "Predict 25,000 reviews", must=4, goal=4, kind="predict", B=25_000, batches=1, seconds=0.1),
    chapter("latency", "Predict one review", must=1, goal=1, kind="latency", B=1, batches=32, data="long reviews"),
]


def build(work: Workload, models: Any, layers: Any, **recurrent_options: Any) -> Any:
    """The model, from Keras' `models` and `layers` or ours."""
    model = models.Sequential()
    model.add(layers.Input(work.input_shape, dtype="int32" if work.vocabulary else "float32"))
    if work.vocabulary:
        model.add(layers.Embedding(work.vocabulary, work.features))
    for level in range(work.depth):
        layer = getattr(layers, work.cell)
        model.add(layer(work.units, return_sequences=level + 1 < work.depth, **recurrent_options))
    model.add(layers.Dense(work.classes, activation="sigmoid" if work.classes == 1 else "softmax"))
    return model


def loss_name(work: Workload) -> str:
    return "binary_crossentropy" if work.classes == 1 else "categorical_crossentropy"


def weights(work: Workload) -> list[np.ndarray]:
    """Initial weights in Keras' order: small uniform embeddings, Glorot kernels, zero biases (forget gate 1)."""
    random = np.random.default_rng(7)

    def glorot(rows: int, columns: int) -> np.ndarray:
        limit = np.sqrt(6 / (rows + columns))
        return random.uniform(-limit, limit, (rows, columns)).astype(np.float32)

    H, columns = work.units, GATES[work.cell] * work.units
    values, features = [], work.features
    if work.vocabulary:
        values.append(random.uniform(-0.05, 0.05, (work.vocabulary, features)).astype(np.float32))
    for _ in range(work.depth):
        bias = np.zeros((2, columns) if work.cell == "GRU" else columns, np.float32)
        if work.cell == "LSTM":
            bias[H : 2 * H] = 1
        values += [glorot(features, columns), glorot(H, columns), bias]
        features = H
    return [*values, glorot(features, work.classes), np.zeros(work.classes, np.float32)]


def make_arrays(work: Workload) -> Arrays:
    """x (batches, B, ...) and y (batches, B, classes), and w0, w1, ...: the initial weights."""
    sources = {"normal": normal, "tweets": tweets}
    x, y = sources.get(work.data, reviews)(work)
    x = x.reshape(work.batches, work.B, *work.input_shape)
    y = y.reshape(work.batches, work.B, work.classes).astype(np.float32)
    return {"x": x, "y": y} | {f"w{i}": value for i, value in enumerate(weights(work))}


def normal(work: Workload) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    rows = work.batches * work.B
    return random.standard_normal((rows, *work.input_shape), np.float32), random.integers(0, 2, rows)


def data_folder() -> Path | None:
    """Where imdb/ and airline/ lie: UNROLLED_TEST_DATA, or shared/data beside the project; None if neither exists."""
    given = os.environ.get("UNROLLED_TEST_DATA")
    folder = Path(given) if given else ROOT.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def reviews(work: Workload) -> tuple[np.ndarray, np.ndarray]:
    """Real reviews, cut and padded in front; for "long reviews" those without padding, for "joined" end to end."""
    rows, labels = load_reviews(work.vocabulary)
    count = work.batches * work.B
    if work.data == "joined reviews":
        ids = np.concatenate([np.asarray(row, np.int32) for row in rows])[: count * work.T]
        return ids.reshape(count, work.T), labels[:count]
    if work.data == "long reviews":
        chosen = [i for i, row in enumerate(rows) if len(row) >= work.T]
        rows, labels = [rows[i] for i in chosen], labels[chosen]
    x = np.zeros((count, work.T), np.int32)
    for i, row in enumerate(rows[:count]):
        tail = row[-work.T :]
        x[i, work.T - len(tail) :] = tail
    return x, labels[:count]


def load_reviews(vocabulary: int) -> tuple[list[list[int]], np.ndarray]:
    """25,000 real reviews as ids, and labels: IMDB's own arrays, or the bench extra's reviews, repeated to fill."""
    from unrolled.datasets import imdb
    from unrolled.datasets import reviews as extra

    folder = data_folder()
    if folder is not None:
        (rows, labels), _ = imdb.load_data(path=str(folder / "imdb" / "imdb.npz"), num_words=vocabulary)
        return list(rows), np.asarray(labels)
    (train, train_labels), (rest, rest_labels) = extra.load_data(num_words=vocabulary)
    rows, labels = [*train, *rest], np.concatenate([train_labels, rest_labels])
    order = np.arange(25_000) % len(rows)
    return [rows[i] for i in order], labels[order]


def short_reviews(work: Workload) -> tuple[np.ndarray, np.ndarray]:
    """In place of the tweets: first words of reviews, as short and as padded as tweets are (11 words in the mean)."""
    rows, labels = load_reviews(work.vocabulary)
    count = work.batches * work.B
    lengths = np.random.default_rng(5).integers(1, 22, count)
    x = np.zeros((count, work.T), np.int32)
    for i, length in enumerate(lengths):
        words = rows[i][:length]
        x[i, : len(words)] = words
    return x, np.eye(2)[labels[:count].astype(int)]


def tweets(work: Workload) -> tuple[np.ndarray, np.ndarray]:
    """The airline tweets as the cookbook prepares them: ids by falling count, padded behind."""
    folder = data_folder()
    if folder is None:
        return short_reviews(work)
    stop = set((folder / "stopwords" / "english.txt").read_text().split())
    with (folder / "airline" / "airline_sentiment.csv").open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    texts = [
        [word for word in re.sub("[^0-9a-zA-Z]+", " ", row["text"].lower()).split() if word not in stop]
        for row in records
    ]
    counts = Counter(word for text in texts for word in text)
    number = {word: i + 1 for i, (word, _) in enumerate(counts.most_common())}
    assert len(number) == work.vocabulary - 1, len(number)
    order = np.random.default_rng(5).permutation(len(texts))[: work.batches * work.B]
    x = np.zeros((len(order), work.T), np.int32)
    for i, which in enumerate(order):
        ids = [number[word] for word in texts[which]][: work.T]
        x[i, : len(ids)] = ids
    return x, np.eye(2)[[int(records[i]["airline_sentiment"]) for i in order]]
