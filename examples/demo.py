"""Train the chapter's LSTM on 25,000 real film reviews: under a minute on two cores.

Run: make demo, or python examples/demo.py [--epochs 8] [--out demo_out] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from unrolled import get_num_threads, utils
from unrolled.callbacks import EarlyStopping
from unrolled.datasets import reviews
from unrolled.layers import LSTM, Dense, Embedding
from unrolled.models import Sequential
from unrolled.plotting import plot_history
from unrolled.preprocessing.sequence import pad_sequences
from unrolled.progress import ProgressLogger

WORDS, STEPS, UNITS, BATCH = 10_000, 500, 32, 128
VALIDATION = 0.15  # of the training rows, to choose the epoch; the hold-out rows are looked at once, at the end


def main(epochs: int = 8, out: Path = Path("demo_out"), seed: int = 1, limit: int | None = None) -> dict[str, Any]:
    """Train, report, save; returns the figures. limit: use only so many reviews (for a quick look)."""
    console = Console(highlight=False)
    texts = reviews.load_texts()
    read, repeats = len(texts) + texts.repeats, texts.repeats
    train, holdout = reviews.split(texts.thinned(limit))
    console.print(
        f"{read:,} film reviews, {repeats} of them repeats and dropped; "
        f"{len(train):,} to learn from, {len(holdout):,} held out."
    )
    word_index = reviews.number_words(train.texts)
    x, x_holdout = (pad_sequences(reviews.to_ids(part.texts, word_index, WORDS), STEPS) for part in (train, holdout))

    utils.set_random_seed(seed)
    model = Sequential()
    model.add(Embedding(WORDS, 32))
    model.add(LSTM(UNITS))
    model.add(Dense(1, activation="sigmoid"))
    model.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["acc"])
    model.summary(print_fn=console.print)
    console.print(
        f"The {WORDS:,} commonest words, the last {STEPS} of each review, batches of {BATCH};\n"
        f"{get_num_threads()} threads. {VALIDATION:.0%} of the training reviews choose the best of {epochs} epochs.\n"
    )
    best = EarlyStopping("val_loss", patience=epochs, restore_best_weights=True)
    start = time.perf_counter()
    history = model.fit(
        x, train.labels, BATCH, epochs, callbacks=[best, ProgressLogger("reviews")], validation_split=VALIDATION
    )
    seconds = time.perf_counter() - start

    positive = model.predict(x_holdout)[:, 0]
    figures = {
        "holdout_accuracy": float(np.mean((positive > 0.5) == holdout.labels)),
        "majority": float(max(np.mean(holdout.labels), 1 - np.mean(holdout.labels))),
        "best_epoch": best.best_epoch + 1,
        "training_seconds": seconds,
    }
    out.mkdir(parents=True, exist_ok=True)
    model.save(out / "model.unrolled")
    (out / "words.json").write_text(json.dumps(word_index), encoding="utf-8")
    title = f"LSTM({UNITS}) on film reviews: {figures['holdout_accuracy']:.1%} of the held-out ones right"
    plot_history(history, out / "curves.png", title)
    show(console, figures, out)
    return figures


def show(console: Console, figures: dict[str, Any], out: Path) -> None:
    """What came out, and where it lies."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("Hold-out accuracy", f"[bold]{figures['holdout_accuracy']:.1%}[/bold]")
    table.add_row("Majority class", f"{figures['majority']:.1%}")
    table.add_row("Training", f"{figures['training_seconds']:.1f} s, best epoch {figures['best_epoch']}")
    table.add_row("Model", f"{out / 'model.unrolled'}")
    table.add_row("Word ranks", f"{out / 'words.json'}")
    table.add_row("Curves", f"{out / 'curves.png'}")
    console.print()
    console.print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8, help="how many, 8 by default")
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for the results")
    parser.add_argument("--seed", type=int, default=1, help="of weights and shuffling, 1 by default")
    parser.add_argument("--limit", type=int, help="use only so many reviews")
    main(**vars(parser.parse_args()))
