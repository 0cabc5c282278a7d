"""The chapter's three models on Keras' IMDB arrays and the cookbook's three on airline tweets, ten epochs, several
seeds, beside what published runs recorded.

Run: python benchmarks/chapter_results.py [--path imdb.npz] [--data FOLDER] [--seeds 5] [--epochs 10]
     [--cells SimpleRNN LSTM GRU] [--parts imdb airline]
--data: the folder with airline_sentiment.csv and english.txt, NLTK's stop words.
Writes chapter_results.json and chapter_results.md to benchmarks/results; each finished run is kept, so a stopped
measurement goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

import airline_results
from unrolled import datasets, get_num_threads, layers, utils
from unrolled.callbacks import LambdaCallback
from unrolled.chapter import airline
from unrolled.datasets import imdb
from unrolled.layers import Dense, Embedding
from unrolled.models import Sequential
from unrolled.preprocessing import sequence

TARGETS = {"SimpleRNN": 0.84, "LSTM": 0.865, "GRU": 0.865}  # of the median seed's best epoch
RESULTS = Path(__file__).parent / "results"


def train(cell: str, seed: int, epochs: int, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """One run as the chapter writes it: figures and seconds (validation included) of every epoch."""
    utils.set_random_seed(seed)
    model = Sequential()
    model.add(Embedding(10000, 32))
    model.add(getattr(layers, cell)(32))
    model.add(Dense(1, activation="sigmoid"))
    model.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["acc"])
    ends = [time.perf_counter()]
    clock = LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter()))
    history = model.fit(x, y, epochs=epochs, batch_size=128, validation_split=0.2, callbacks=[clock], verbose=2)
    seconds = [round(float(s), 3) for s in np.diff(ends)]
    return {"threads": get_num_threads(), "seconds": seconds, **history.history}


def recorded_best(cell: str) -> list[float]:
    """Best validation accuracy of each full published run."""
    runs = datasets.recorded()["imdb"]
    return [max(runs[run][cell]["val_acc"]) for run in ("run_a", "run_b") if cell in runs[run]]


def to_markdown(runs: dict[str, dict[str, Any]], epochs: int) -> str:
    """The table of all finished runs."""
    lines = [
        "Embedding(10000, 32), cell(32), Dense(1) on IMDB: 500 steps, 20,000 reviews to train on and 5,000 to validate "
        f"with, rmsprop, batches of 128, {epochs} epochs. Best validation accuracy of each seed. The best epoch is "
        "chosen on the same 5,000 reviews, as the chapter does, so these figures flatter. Seconds include validation.",
        "",
        "| cell | by seed | median | aim | published runs | seconds an epoch, least |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for cell, aim in TARGETS.items():
        mine = [run for key, run in sorted(runs.items()) if key.startswith(f"{cell}/")]
        if mine:
            best = [max(run["val_acc"]) for run in mine]
            seconds = [second for run in mine for second in run["seconds"]]
            lines.append(
                f"| {cell} | {', '.join(f'{b:.4f}' for b in best)} | {statistics.median(best):.4f} | {aim} | "
                f"{', '.join(f'{b:.4f}' for b in recorded_best(cell))} | "
                f"{min(seconds):.2f} |"
            )
    return "\n".join(lines) + "\n"


def read_kept(file: Path, epochs: int) -> dict[str, Any]:
    """What earlier calls finished, if they ran as many epochs."""
    kept = json.loads(file.read_text()) if file.exists() else {}
    return kept if kept.get("epochs") == epochs else {"epochs": epochs, "runs": {}}


def run_imdb(kept: dict[str, Any], file: Path, path: str | None, seeds: int, cells: list[str]) -> None:
    """Train what is not there yet."""
    wanted = [(cell, seed) for seed in range(1, seeds + 1) for cell in cells if f"{cell}/{seed}" not in kept["runs"]]
    if not wanted:
        return
    (x, y), _ = imdb.load_data(path=path, num_words=10000)
    x = sequence.pad_sequences(x, maxlen=500)
    for cell, seed in wanted:
        print(f"{cell}, seed {seed}")
        kept["runs"][f"{cell}/{seed}"] = train(cell, seed, kept["epochs"], x, y)
        file.write_text(json.dumps(kept, indent=1) + "\n")


def run_airline(kept: dict[str, Any], file: Path, folder: Path | None, seeds: int) -> None:
    """Train what is not there yet, and the two simple references."""
    runs = kept.setdefault("airline", {})
    wanted = [todo for todo in airline_results.runs_to_do(seeds) if todo[0] not in runs]
    if not wanted:
        return
    tweets = airline_results.load(folder)
    majority, logistic = airline.references(tweets)
    kept["airline_references"] = {"majority": majority, "logistic_regression": logistic}
    for key, name, seed in wanted:
        print(f"{name}, seed {seed}")
        runs[key] = airline_results.train(name, seed, kept["epochs"], tweets)
        file.write_text(json.dumps(kept, indent=1) + "\n")


def main(
    path: str | None,
    data: Path | None,
    seeds: int,
    epochs: int,
    cells: list[str],
    parts: list[str],
    out: Path = RESULTS,
) -> dict[str, Any]:
    """Train what is not there yet; write and return all runs of this number of epochs."""
    file = out / "chapter_results.json"
    kept = read_kept(file, epochs)
    out.mkdir(parents=True, exist_ok=True)
    if "imdb" in parts:
        run_imdb(kept, file, path, seeds, cells)
    if "airline" in parts:
        run_airline(kept, file, data, seeds)
    text = to_markdown(kept["runs"], epochs)
    if kept.get("airline"):
        text += airline_results.to_markdown(kept["airline"], epochs, kept["airline_references"])
    (out / "chapter_results.md").write_text(text)
    print(text)
    return kept


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=" ".join(__doc__.split("\n\n", maxsplit=1)[0].split()))
    parser.add_argument("--path", help="of imdb.npz, by default as imdb.load_data finds it")
    parser.add_argument("--data", type=Path, help="the folder of the airline tweets, by default $UNROLLED_HOME")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--cells", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--parts", nargs="+", choices=["imdb", "airline"], default=["imdb", "airline"])
    main(**vars(parser.parse_args()))
