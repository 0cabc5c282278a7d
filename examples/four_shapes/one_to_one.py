"""One to one: a point of the plane to the spiral that it lies on; and a recurrent network of one step is a dense one.

Two spirals wind around each other, so no line parts them. With one step there is no past: h = relu(x W + 0 U + b), a
Dense layer. The trained Dense layer's weights, put into a SimpleRNN, give the same answers.
"""

from __future__ import annotations

import numpy as np

from unrolled import utils
from unrolled.layers import Dense, SimpleRNN
from unrolled.models import Sequential
from unrolled.optimizers import Adam

UNITS = 32


def draw_spirals(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points (rows, 2) on one of two spirals of one and a half turns, and which one: 0 or 1."""
    spiral = rng.integers(0, 2, rows)
    turn = rng.uniform(0.1, 1.5, rows)
    angle = 2 * np.pi * turn + np.pi * spiral
    points = (turn / 1.5)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return points + rng.normal(0, 0.02, points.shape), spiral


def main(rows: int = 2_000, epochs: int = 100, seed: int = 1) -> dict[str, float]:
    """Train, print and return the accuracy on new points and how far the recurrent twin is off."""
    utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = draw_spirals(rows, rng)
    x_test, y_test = draw_spirals(1_000, rng)

    model = Sequential()
    model.add(Dense(UNITS, activation="relu", input_shape=(2,)))
    model.add(Dense(UNITS, activation="relu"))
    model.add(Dense(1, activation="sigmoid"))
    model.compile(Adam(0.01), "binary_crossentropy", ["acc"])
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    accuracy = float(model.evaluate(x_test, y_test, verbose=0, return_dict=True)["acc"])

    twin = Sequential()
    twin.add(SimpleRNN(UNITS, activation="relu", input_shape=(1, 2)))
    for layer in (Dense(UNITS, activation="relu"), Dense(1, activation="sigmoid")):
        twin.add(layer)
    kernel, bias, *rest = model.get_weights()
    twin.set_weights([kernel, twin.layers[0].get_weights()[1], bias, *rest])  # U stays random: nothing to weigh
    difference = float(np.abs(twin.predict(x_test[:, None]) - model.predict(x_test)).max())
    print(
        f"One to one: {accuracy:.1%} of 1,000 new points on the right spiral. In a recurrent network of one step the "
        f"same weights give the same probabilities, within {difference:.0e}."
    )
    return {"accuracy": accuracy, "difference": difference}


if __name__ == "__main__":
    main()
