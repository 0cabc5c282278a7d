"""The chapter "Understanding recurrent neural networks" from its first loop to its last model, on Keras' IMDB arrays.

Run: python examples/chapter.py [--path imdb.npz] [--epochs 10] [--out chapter_out]
Without --path the file is looked for in $UNROLLED_HOME, then downloaded from where Keras keeps it. The code follows the
chapter; benchmarks/chapter_results.py runs the same three models with several seeds.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from unrolled import datasets, from_scratch, layers, utils
from unrolled.datasets import imdb
from unrolled.layers import Dense, Embedding, SimpleRNN
from unrolled.models import Sequential
from unrolled.plotting import plot_history
from unrolled.preprocessing import sequence

MAX_FEATURES, MAXLEN, BATCH_SIZE = 10000, 500, 128


def loop_in_numpy() -> None:
    """A recurrent network is a loop: 100 steps, each fed with the output of the one before."""
    example = from_scratch.forward_pass_example()
    outputs = from_scratch.simple_rnn_forward_pass(*example)
    print(f"100 steps of 32 inputs make {outputs.shape} outputs; the last one has seen all steps.\n")


def summaries() -> None:
    """One output for a sequence, one for each step, and layers on top of each other."""
    for stack in (
        [SimpleRNN(32)],
        [SimpleRNN(32, return_sequences=True)],
        [*(SimpleRNN(32, return_sequences=True) for _ in range(3)), SimpleRNN(32)],
    ):
        model = Sequential([Embedding(MAX_FEATURES, 32), *stack])
        model.summary()
        print()


def train(cell: str, x: np.ndarray, y: np.ndarray, epochs: int, out: Path) -> dict[str, float]:
    """One of the chapter's three models, its curves in a picture."""
    model = Sequential()
    model.add(Embedding(MAX_FEATURES, 32))
    model.add(getattr(layers, cell)(32))
    model.add(Dense(1, activation="sigmoid"))
    model.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["acc"])
    start = time.perf_counter()
    history = model.fit(x, y, epochs=epochs, batch_size=BATCH_SIZE, validation_split=0.2)
    seconds = time.perf_counter() - start
    plot_history(history, out / f"{cell}.png", f"{cell}(32) on IMDB")
    return {"val_acc": max(history.history["val_acc"]), "seconds": seconds}


def main(
    path: str | None = None, epochs: int = 10, out: Path = Path("chapter_out"), seed: int = 1, rows: int = 25_000
) -> dict[str, dict[str, float]]:
    """The whole chapter; returns best validation accuracy and seconds by cell. rows: train on so many reviews only."""
    utils.set_random_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    loop_in_numpy()
    summaries()
    (input_train, y_train), _ = imdb.load_data(path=path, num_words=MAX_FEATURES)
    input_train = sequence.pad_sequences(input_train[:rows], maxlen=MAXLEN)
    print("input_train shape:", input_train.shape)
    recorded = datasets.recorded()["imdb"]
    figures = {}
    for cell in ("SimpleRNN", "LSTM", "GRU"):
        print(f"\n{cell}")
        figures[cell] = train(cell, input_train, y_train[:rows], epochs, out)
        runs = [recorded[run][cell] for run in ("run_a", "run_b") if cell in recorded[run]]
        published = ", ".join(f"{max(run['val_acc']):.4f} in {sum(run['seconds']):.0f} s" for run in runs)
        print(f"Best of {epochs} epochs: {figures[cell]['val_acc']:.4f} in {figures[cell]['seconds']:.0f} s. ", end="")
        print(f"Published runs on other machines, 10 epochs: {published}.")
    print(f"\nCurves: {out}")
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--path", help="of imdb.npz")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("chapter_out"), help="folder for the curves")
    main(**vars(parser.parse_args()))
