"""Many to one: the adding problem. Of many random numbers two are marked; the answer is their sum.

The first mark stands in the first tenth of the sequence, so the network has to remember it over nearly all steps: what
SimpleRNN forgets (vanishing gradients) and LSTM keeps. Answering 1 every time has the mean squared error 1/6. Film
reviews to an opinion have the same shape: see demo.py.
Source: Hochreiter & Schmidhuber 1997.
"""

from __future__ import annotations

import time

import numpy as np

from unrolled import utils
from unrolled.layers import LSTM, Dense, Recurrent, SimpleRNN
from unrolled.models import Sequential
from unrolled.optimizers import Adam


def draw_sums(rows: int, steps: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """x (rows, steps, 2): a number in [0, 1) and a mark, 0 or 1; y (rows,): the sum of the two marked numbers."""
    numbers, marks = rng.random((rows, steps)), np.zeros((rows, steps))
    first = rng.integers(0, steps // 10, rows)
    second = rng.integers(steps // 2, steps, rows)
    for place in (first, second):
        marks[np.arange(rows), place] = 1
    return np.stack([numbers, marks], axis=-1), (numbers * marks).sum(axis=1)


def train(cell: Recurrent, x: np.ndarray, y: np.ndarray, test: int, epochs: int) -> float:
    """Mean squared error on the last `test` rows after training on the others."""
    model = Sequential([cell, Dense(1)])
    model.compile(Adam(5e-3, clipnorm=1.0), "mse")
    model.fit(x[:-test], y[:-test], batch_size=64, epochs=epochs, verbose=0)
    return float(model.evaluate(x[-test:], y[-test:], verbose=0))


def main(rows: int = 20_000, steps: int = 60, epochs: int = 12, seed: int = 1) -> dict[str, float]:
    """Train both networks; print and return their errors on unseen sequences."""
    utils.set_random_seed(seed)
    test = rows // 10
    x, y = draw_sums(rows + test, steps, np.random.default_rng(seed))
    start = time.perf_counter()
    figures = {
        "baseline": float(np.mean((y[-test:] - 1) ** 2)),
        "SimpleRNN": train(SimpleRNN(32), x, y, test, epochs),
        "LSTM": train(LSTM(32), x, y, test, epochs),
    }
    figures["seconds"] = time.perf_counter() - start
    print(
        f"Many to one: sums of two numbers among {steps}, mean squared error on {test:,} unseen sequences: "
        f"LSTM {figures['LSTM']:.5f}, SimpleRNN {figures['SimpleRNN']:.5f}, always answering 1 "
        f"{figures['baseline']:.5f}; {figures['seconds']:.0f} s of training."
    )
    return figures


if __name__ == "__main__":
    main()
