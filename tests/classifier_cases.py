"""Made-up texts and series that small classifiers learn in a second."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.classifiers import SequenceClassifier, TextClassifier

GOOD, BAD = ["good", "great", "fine", "lovely"], ["bad", "awful", "poor", "boring"]


def reviews(rng: np.random.Generator, n: int = 120) -> tuple[list[str], list[str]]:
    """Texts of six words, one of which tells the class."""
    texts, labels = [], []
    for row in range(n):
        words = [f"w{i}" for i in rng.integers(30, size=6)]
        words[rng.integers(6)] = str(rng.choice(BAD if row % 2 else GOOD))
        texts.append(" ".join(words))
        labels.append("negative" if row % 2 else "positive")
    return texts, labels


def text_classifier(**arguments: Any) -> TextClassifier:
    """A small plain one: an LSTM's last state, no dropout."""
    plain = {"cell": "lstm", "bidirectional": False, "pooling": None, "weight_averaging": 0.0, "embedding_dropout": 0.0}
    plain |= {"word_dropout": 0.0, "dropout": 0.2, "final_learning_rate": 1.0}
    small = {"units": 8, "epochs": 15, "batch_size": 16, "learning_rate": 0.02, "random_state": 0}
    return TextClassifier(**plain | small | arguments)


def waves(rng: np.random.Generator, n: int = 90, channels: int = 2) -> tuple[list[np.ndarray], list[str]]:
    """Series of 5 to 20 steps: slow or fast waves or noise around 100, on the last channel."""
    series, labels = [], []
    for row in range(n):
        steps = rng.integers(8, 20)
        x = rng.normal(size=(steps, channels))
        label = ("slow", "fast", "noise")[row % 3]
        if label != "noise":
            x[:, -1] = 2 * np.sin(np.arange(steps) * (0.4 if label == "slow" else 2.0) + rng.uniform(0, 6))
        series.append(100 + 10 * x)
        labels.append(label)
    return series, labels


def sequence_classifier(**arguments: Any) -> SequenceClassifier:
    return SequenceClassifier(**{"units": 16, "epochs": 40, "learning_rate": 0.02, "random_state": 0} | arguments)
