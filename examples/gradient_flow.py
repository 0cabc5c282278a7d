"""Vanishing and exploding gradients as pictures: SimpleRNN, LSTM and GRU on the adding problem and on film reviews.

Run: python examples/gradient_flow.py [--out gradient_flow_out] [--epochs 3]   (a few minutes; needs the demo extra)
Source of the adding problem: Hochreiter & Schmidhuber 1997.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from unrolled import utils
from unrolled.datasets import reviews
from unrolled.inspect import gradient_flow, recurrent_powers, unrolled_terms
from unrolled.inspect.flow import draw_flow
from unrolled.layers import GRU, LSTM, Dense, Embedding, SimpleRNN
from unrolled.models import Sequential
from unrolled.preprocessing.sequence import pad_sequences

CELLS = {"SimpleRNN": SimpleRNN, "LSTM": LSTM, "GRU": GRU}


def adding(rows: int, steps: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Series of numbers in [0, 1) of which two are marked; the label is their sum."""
    x = np.zeros((rows, steps, 2))
    x[..., 0] = rng.random((rows, steps))
    for row in x:
        row[[rng.integers(0, steps // 2), rng.integers(steps // 2, steps)], 1] = 1
    return x, (x[..., 0] * x[..., 1]).sum(axis=1)


def adding_models(steps: int, epochs: int, rows: int, seed: int = 1) -> dict[str, tuple[Any, float]]:
    """A trained model and its mean squared error for each cell."""
    found = {}
    x, y = adding(rows, steps, np.random.default_rng(seed))
    x_new, y_new = adding(500, steps, np.random.default_rng(seed + 1))
    for name, cell in CELLS.items():
        utils.set_random_seed(seed)
        model = Sequential([cell(32, input_shape=(steps, 2), name="rnn"), Dense(1)])
        model.compile("adam", "mse")
        model.optimizer.learning_rate = 0.003
        model.fit(x, y, 64, epochs, verbose=0)
        found[name] = (model, float(model.evaluate(x_new, y_new, verbose=0)))
    return found


def review_models(epochs: int, limit: int | None, seed: int = 1) -> tuple[dict[str, tuple[Any, float]], np.ndarray]:
    """A trained model and its hold-out accuracy for each cell, and held-out reviews of 200 words."""
    train, holdout = reviews.split(reviews.load_texts().thinned(limit))
    ranks = reviews.number_words(train.texts)
    x, x_new = (pad_sequences(reviews.to_ids(part.texts, ranks, 10_000), 200) for part in (train, holdout))
    found = {}
    for name, cell in CELLS.items():
        utils.set_random_seed(seed)
        model = Sequential([Embedding(10_000, 32), cell(32, name="rnn"), Dense(1, activation="sigmoid")])
        model.compile("rmsprop", "binary_crossentropy", metrics=["acc"])
        model.fit(x, train.labels, 128, epochs, verbose=0)
        found[name] = (model, float(model.evaluate(x_new, holdout.labels, verbose=0)[1]))
    return found, x_new[(x_new != 0).all(axis=1)][:50]


def fresh(cell: Any, steps: int, seed: int = 1) -> Any:
    """The same network before training."""
    utils.set_random_seed(seed)
    return Sequential([cell(32, input_shape=(steps, 2), name="rnn"), Dense(1)])


def exploding(steps: int, factor: float) -> Any:
    """A SimpleRNN without a squashing activation whose U is orthogonal times a factor."""
    utils.set_random_seed(1)
    model = Sequential([SimpleRNN(32, activation="linear", input_shape=(steps, 2), name="rnn"), Dense(1)])
    layer = model.layers[0]
    layer.recurrent_kernel.assign(layer.recurrent_kernel.numpy() * factor)
    return model


def main(
    out: Path = Path("gradient_flow_out"), epochs: int = 3, limit: int | None = None, steps: int = 100, rows: int = 6000
) -> dict[str, Any]:
    """Train, measure, draw; returns the figures."""
    out.mkdir(parents=True, exist_ok=True)
    x, _ = adding(50, steps, np.random.default_rng(5))
    flows: dict[str, dict[str, Any]] = {
        "Adding problem, before training": {name: gradient_flow(fresh(cell, steps), x) for name, cell in CELLS.items()}
    }
    solved = adding_models(steps, 10 * epochs, rows)
    flows["Adding problem, trained"] = {
        f"{name}, error {error:.4f}": gradient_flow(model, x) for name, (model, error) in solved.items()
    }
    read, x_reviews = review_models(epochs, limit)
    flows["Film reviews of 200 words, trained"] = {
        f"{name}, {accuracy:.1%} right": gradient_flow(model, x_reviews) for name, (model, accuracy) in read.items()
    }
    flows["Linear SimpleRNN, radius of U"] = {
        f"radius {factor}": gradient_flow(exploding(steps, factor), x[:1]) for factor in (0.9, 1.0, 1.1)
    }
    for title, part in flows.items():
        for label, flow in part.items():
            shares = [f"{k}: {flow.share[k]:.1e}" for k in (10, 50, 100) if k < len(flow.share)]
            print(f"{title:36} {label:24} half left after {flow.half_life()} steps; share at lag {', '.join(shares)}")
    powers = {name: recurrent_powers(model.layers[1], 100) for name, (model, _) in read.items()}
    for name, power in powers.items():
        print(f"{name}: U of the candidate, spectral radius {power.radius:.3f}, |U^100| = {power.norms[100]:.2e}")
    print(unrolled_terms(exploding(5, 0.5).layers[0], x[0, :5]))
    figure = Figure(figsize=(12.5, 8.2), dpi=130, layout="constrained")
    for axes, (title, part) in zip(figure.subplots(2, 2).flat, flows.items(), strict=True):
        draw_flow(axes, part)
        axes.set_title(title)
    figure.suptitle("How much of the gradient is left, k steps back")
    figure.savefig(out / "gradient_flow.png")
    return {"flows": flows, "powers": powers, "errors": {name: error for name, (_, error) in solved.items()}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("gradient_flow_out"), help="folder for the picture")
    parser.add_argument("--epochs", type=int, default=3, help="on the reviews, 3 by default; ten times as many adding")
    parser.add_argument("--limit", type=int, help="use only so many reviews")
    main(**vars(parser.parse_args()))
