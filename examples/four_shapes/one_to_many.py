"""One to many: a vector unrolled into a sequence. A number, as three digits, is spelled out letter by letter.

RepeatVector shows the vector to the network at every step; what was already said is in its state alone. A picture to
its caption has this shape. Scored by exact match on numbers it has never seen.
"""

from __future__ import annotations

import time

import numpy as np
from encoder_decoder import in_words

from unrolled import utils
from unrolled.layers import LSTM, Dense, RepeatVector, TimeDistributed
from unrolled.models import Sequential
from unrolled.optimizers import Adam
from unrolled.utils import to_categorical

LETTERS = " abcdefghijklmnopqrstuvwxyz"
STEPS = max(len(" ".join(in_words(number))) for number in range(1000))


def to_vector(number: int) -> np.ndarray:
    """Three digits, one-hot: 30 numbers."""
    return to_categorical([int(digit) for digit in f"{number:03d}"], 10).reshape(-1)


def to_letters(number: int) -> list[int]:
    """What is to be said: the number of each letter, blanks at the end."""
    return [LETTERS.index(letter) for letter in " ".join(in_words(number)).ljust(STEPS)]


def main(unseen: int = 200, epochs: int = 150, seed: int = 1) -> dict[str, float]:
    """Train on the other numbers below 1,000; print and return the exact match on the unseen ones."""
    utils.set_random_seed(seed)
    numbers = np.random.default_rng(seed).permutation(1000)
    x = np.array([to_vector(number) for number in numbers])
    y = np.array([to_letters(number) for number in numbers])

    model = Sequential()
    model.add(RepeatVector(STEPS, input_shape=(30,)))
    model.add(LSTM(128, return_sequences=True))
    model.add(TimeDistributed(Dense(len(LETTERS), activation="softmax")))
    model.compile(Adam(3e-3), "sparse_categorical_crossentropy", ["acc"])
    start = time.perf_counter()
    model.fit(x[unseen:], y[unseen:], batch_size=32, epochs=epochs, verbose=0)
    seconds = time.perf_counter() - start

    said = model.predict(x[:unseen]).argmax(axis=-1)
    exact = float((said == y[:unseen]).all(axis=1).mean())
    for number, letters in list(zip(numbers, said, strict=False))[:4]:
        print(f"  {number} -> {''.join(LETTERS[k] for k in letters).strip()}")
    print(f"One to many: {exact:.1%} of {unseen} unseen numbers spelled without mistake, {seconds:.0f} s of training.")
    return {"exact_match": exact, "letters": float((said == y[:unseen]).mean()), "seconds": seconds}


if __name__ == "__main__":
    main()
