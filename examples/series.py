"""Who speaks? Real series of unequal length with 12 features a step: nine men, two Japanese vowels.

Run: pip install ".[series]", then python examples/series.py [--seeds 5]
270 series of 7 to 29 steps to learn from and 370 to score, in the split of those who made the set (datasets/
japanese_vowels.py names them). The settings were chosen by cross-validation inside the 270.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unrolled.classifiers import SequenceClassifier
from unrolled.datasets import japanese_vowels

Series = list[np.ndarray]


def classifier(seed: int = 0) -> SequenceClassifier:
    """Both directions, the mean over all steps; no row is held out, for there are only 30 of each speaker."""
    return SequenceClassifier(
        "gru",
        units=64,
        bidirectional=True,
        pooling="mean",
        dropout=0.5,
        epochs=60,
        early_stopping=False,
        random_state=seed,
    )


def means(series: Series) -> np.ndarray:
    """The mean step of each series: (N, 12)."""
    return np.array([steps.mean(axis=0) for steps in series])


def statistics_of(series: Series) -> np.ndarray:
    """Mean, deviation, least, greatest, first and last value of each feature, and the length: (N, 73)."""
    return np.array(
        [
            np.concatenate([s.mean(axis=0), s.std(axis=0), s.min(axis=0), s.max(axis=0), s[0], s[-1], [len(s)]])
            for s in series
        ]
    )


def baselines(x: Series, y: np.ndarray, x_test: Series, y_test: np.ndarray) -> dict[str, float]:
    """What simple methods reach on the same split."""
    nearest = KNeighborsClassifier(1).fit(means(x), y)
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)).fit(statistics_of(x), y)
    names, counts = np.unique(y_test, return_counts=True)
    return {
        f'majority (speaker "{names[counts.argmax()]}")': float(counts.max() / counts.sum()),
        "nearest mean vector": float(nearest.score(means(x_test), y_test)),
        "logistic regression on 73 statistics": float(logistic.score(statistics_of(x_test), y_test)),
    }


def main(seeds: int = 5) -> dict[str, Any]:
    """Train with several seeds, print the table; returns the accuracies on the 370 series."""
    (x, y), (x_test, y_test) = japanese_vowels.load_data()
    lengths = [len(steps) for steps in x + x_test]
    print(
        f"{len(x)} series to learn from, {len(x_test)} to score; {min(lengths)} to {max(lengths)} steps of 12 features"
    )
    baselines_found = baselines(x, y, x_test, y_test)
    figures: dict[str, Any] = dict(baselines_found)
    for name, accuracy in baselines_found.items():
        print(f"{accuracy:8.1%}  {name}")
    start = time.perf_counter()
    by_seed = [float(classifier(seed).fit(x, y).score(x_test, y_test)) for seed in range(seeds)]
    seconds = (time.perf_counter() - start) / seeds
    figures["SequenceClassifier"] = statistics.median(by_seed)
    shown = ", ".join(f"{accuracy:.1%}" for accuracy in by_seed)
    print(f"{figures['SequenceClassifier']:8.1%}  SequenceClassifier, median of {shown}; {seconds:.1f} s a training")
    name, best = max(baselines_found.items(), key=lambda item: item[1])
    if best >= figures["SequenceClassifier"]:
        print(f"The simple method wins here: {name}, by {best - figures['SequenceClassifier']:.1%}.")
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="trainings, 5 by default")
    main(**vars(parser.parse_args()))
