"""The cookbook's three models on airline tweets, the notebook's split, several seeds, beside what it recorded.

Called by chapter_results.py. The notebook looks for the best epoch on the rows that it reports, and so do the first
figures; for the second the epoch is chosen on a tenth of the training rows, which that training does not see.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from unrolled import datasets, get_num_threads
from unrolled.chapter import airline, data


def load(folder: Path | None) -> airline.Tweets:
    """The prepared tweets; stops where the file or the stop words are absent."""
    rows = data.load_tweets(folder)
    stop_words, notes = data.load_stop_words(folder)
    if isinstance(rows, data.Absent) or notes:
        raise SystemExit("\n".join([*rows.notes, *notes]))
    return airline.prepare(rows, stop_words)


def inner(tweets: airline.Tweets, seed: int) -> airline.Tweets:
    """The training rows alone, a stratified tenth of them in the place of the test rows."""
    labels = tweets.y_train.argmax(axis=1)
    rows = np.arange(len(labels))
    learn, choose = train_test_split(rows, test_size=0.1, random_state=seed, stratify=labels)
    X, y = tweets.X_train, tweets.y_train
    outer = tweets.train_rows
    return airline.Tweets(
        tweets.texts,
        tweets.words,
        tweets.longest,
        X[learn],
        X[choose],
        y[learn],
        y[choose],
        outer[learn],
        outer[choose],
    )


def runs_to_do(seeds: int) -> Iterator[tuple[str, str, int]]:
    """Key, model and seed of each run."""
    for seed in range(1, seeds + 1):
        for name in airline.MODELS:
            yield f"{name}/{seed}", name, seed


def train(name: str, seed: int, epochs: int, tweets: airline.Tweets) -> dict[str, Any]:
    """The notebook's run, and the same on nine tenths of its training rows to choose an epoch by."""
    outer, _ = airline.train(name, tweets, epochs, seed, 2)
    chooser, _ = airline.train(name, inner(tweets, seed), epochs, seed, 0)
    return {"threads": get_num_threads(), **outer, "inner_val_accuracy": chooser["val_accuracy"]}


def chosen_inside(run: dict[str, Any]) -> float:
    """Accuracy on the test rows after the epoch that was best on the tenth of the training rows."""
    epoch = int(np.argmax(run["inner_val_accuracy"]))
    return float(run["val_accuracy"][epoch])


def to_markdown(runs: dict[str, dict[str, Any]], epochs: int, references: dict[str, float]) -> str:
    """The table of all finished runs."""
    recorded = datasets.recorded()["airline"]
    lines = [
        "",
        "Embedding(12533, 32), the cells, Dense(2) on airline tweets: 26 steps, padded behind, 8,078 tweets to train "
        f"on and 3,463 to test with (random_state=10, as in the notebook), Adam, batches of 32, {epochs} epochs. Best: "
        "the best epoch of each seed, chosen on the 3,463 tweets that it is reported on, as the notebook does, so it "
        "flatters. Chosen inside: accuracy on them after the epoch that was best on a tenth of the training tweets, "
        "held out of a second training with the same seed; the figure to trust. Seconds include validation; the "
        "machine was shared.",
        "",
        "| model | best, by seed | median | recorded | after one epoch, by seed | recorded | chosen inside, by seed | "
        "median | seconds an epoch, least |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in airline.MODELS:
        mine = [run for key, run in sorted(runs.items()) if key.startswith(f"{name}/")]
        if not mine:
            continue
        best = [max(run["val_accuracy"]) for run in mine]
        inside = [chosen_inside(run) for run in mine]
        first = [run["val_accuracy"][0] for run in mine]
        known = recorded["val_acc_by_epoch"][name]
        seconds = min(second for run in mine for second in run["seconds"])
        lines.append(
            f"| {name} | {_join(best)} | {statistics.median(best):.4f} | {max(known):.4f} | {_join(first)} | "
            f"{known[0]:.4f} | {_join(inside)} | {statistics.median(inside):.4f} | {seconds:.2f} |"
        )
    lines += [
        "",
        f"On the same 3,463 tweets: majority class {references['majority']:.4f}; logistic regression on TF-IDF of the "
        f"cleaned words {references['logistic_regression']:.4f}, its penalty chosen by cross-validation inside the "
        "training tweets.",
    ]
    return "\n".join(lines) + "\n"


def _join(values: list[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)
