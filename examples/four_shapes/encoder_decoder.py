"""Many to many through one vector: numbers written in English words to digits.

"forty thousand seven hundred and six" -> "40706". An encoder reads the words into one vector, RepeatVector hands it to
a decoder at each of six steps, and each step names a digit. Scored by exact match on numbers it has never seen.
"""

from __future__ import annotations

import time

import numpy as np

from unrolled import utils
from unrolled.layers import GRU, Bidirectional, Dense, Embedding, RepeatVector, TimeDistributed
from unrolled.models import Sequential
from unrolled.optimizers import Adam
from unrolled.preprocessing.sequence import pad_sequences

ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
WORDS = ["", *ONES, *TENS, "hundred", "and", "thousand"]  # 0 is for padding
WORD_TO_ID = {word: i for i, word in enumerate(WORDS)}
DIGITS, BLANK = 6, 10  # digits are classes 0 to 9; shorter numbers start with blanks


def in_words(number: int) -> list[str]:
    """A number from 0 to 999,999 as it is said in British English."""
    if number >= 1000:
        rest = number % 1000
        joint = ["and"] if 0 < rest < 100 else []
        return [*in_words(number // 1000), "thousand", *joint, *(in_words(rest) if rest else [])]
    if number >= 100:
        return [*in_words(number // 100), "hundred", *(["and", *in_words(number % 100)] if number % 100 else [])]
    if number >= 20:
        return [TENS[number // 10 - 2], *(in_words(number % 10) if number % 10 else [])]
    return [ONES[number]]


def to_classes(number: int) -> list[int]:
    """Six classes: blanks, then the digits."""
    digits = [int(digit) for digit in str(number)]
    return [BLANK] * (DIGITS - len(digits)) + digits


def to_text(classes: np.ndarray) -> str:
    """The digits that six classes stand for."""
    return "".join("" if k == BLANK else str(k) for k in classes)


def draw_numbers(rows: int, rng: np.random.Generator) -> np.ndarray:
    """Distinct numbers below a million of all lengths: as many short ones as there are, the rest spread evenly."""
    limits = rng.choice([100, 1000, 10_000, 100_000, 1_000_000], size=4 * rows)
    drawn = list(dict.fromkeys(rng.integers(0, limits).tolist()))
    return np.array(drawn[:rows])


def main(train_rows: int = 12_000, test_rows: int = 2_000, epochs: int = 10, seed: int = 1) -> dict[str, float]:
    """Train, and print and return the exact match on unseen numbers."""
    utils.set_random_seed(seed)
    numbers = draw_numbers(train_rows + test_rows, np.random.default_rng(seed))
    x = pad_sequences([[WORD_TO_ID[word] for word in in_words(n)] for n in numbers])
    y = np.array([to_classes(n) for n in numbers])
    test = slice(train_rows, None)

    model = Sequential()
    model.add(Embedding(len(WORDS), 32, mask_zero=True))
    model.add(Bidirectional(GRU(96)))
    model.add(RepeatVector(DIGITS))
    model.add(GRU(128, return_sequences=True))
    model.add(TimeDistributed(Dense(11, activation="softmax")))
    model.compile(Adam(2e-3), "sparse_categorical_crossentropy", ["acc"])
    start = time.perf_counter()
    model.fit(x[:train_rows], y[:train_rows], batch_size=64, epochs=epochs, validation_split=0.1)
    seconds = time.perf_counter() - start

    read = model.predict(x[test]).argmax(axis=-1)
    exact = float((read == y[test]).all(axis=1).mean())
    for number, classes in list(zip(numbers[test], read, strict=True))[:5]:
        print(f"  {' '.join(in_words(number))} -> {to_text(classes)}")
    print(f"Encoder-decoder: {exact:.1%} of {len(read):,} unseen numbers exactly right, {seconds:.0f} s of training.")
    return {"exact_match": exact, "digits": float((read == y[test]).mean()), "seconds": seconds}


if __name__ == "__main__" and main()["exact_match"] < 0.95:
    raise SystemExit("expected at least 0.95")
