"""Many to many, step by step: letters run together are cut into words again.

"thefilmwasgreat" -> "the film was great": for every letter the network says whether a word begins there. Sentences are
of different lengths; mask_zero keeps the padding out of the network, the loss and the accuracy. Real sentences from
the film reviews of the demo; no review is both in the training and in the test part.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

import numpy as np

from unrolled import utils
from unrolled.datasets import reviews
from unrolled.layers import LSTM, Bidirectional, Dense, Embedding, TimeDistributed
from unrolled.models import Sequential
from unrolled.optimizers import Adam
from unrolled.preprocessing.sequence import pad_sequences

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789'"
STEPS = 80


def sentences_of(texts: Sequence[str], limit: int) -> list[list[str]]:
    """Sentences of 2 words or more and up to 80 letters, as lists of words."""
    found = []
    for text in texts:
        for sentence in re.split(r"[.!?;:()]|<br />", text):
            words = reviews.split_words(sentence)
            letters = "".join(words)
            if len(words) > 1 and len(letters) <= STEPS and set(letters) <= set(LETTERS):
                found.append(words)
        if len(found) >= limit:
            break
    return found[:limit]


def encode(sentences: list[list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Letters (N, T) from 1, and (N, T, 1) tags: 1 where a word begins; both padded with 0 behind."""
    letters = [[LETTERS.index(letter) + 1 for letter in "".join(words)] for words in sentences]
    tags = [[float(i == 0) for word in words for i in range(len(word))] for words in sentences]
    x = pad_sequences(letters, STEPS, padding="post")
    return x, pad_sequences(tags, STEPS, "float32", padding="post")[..., None]


def cut(words: list[str], begins: np.ndarray) -> str:
    """The letters of a sentence with blanks where words were found to begin."""
    letters = "".join(words)
    return "".join(f" {letter}" if i and begins[i] else letter for i, letter in enumerate(letters))


def main(
    train_rows: int = 20_000,
    test_rows: int = 2_000,
    epochs: int = 8,
    seed: int = 1,
    texts: tuple[Sequence[str], Sequence[str]] | None = None,
) -> dict[str, float]:
    """Train, print and return accuracy and F1 on unseen sentences. texts: to learn from and to test, else reviews."""
    utils.set_random_seed(seed)
    if texts is None:
        train_part, test_part = reviews.split(reviews.load_texts())
        texts = train_part.texts, test_part.texts
    sentences = sentences_of(texts[0], train_rows)
    x, y = encode(sentences)
    unseen = sentences_of(texts[1], test_rows)
    x_test, y_test = encode(unseen)

    model = Sequential()
    model.add(Embedding(len(LETTERS) + 1, 32, mask_zero=True))
    model.add(Bidirectional(LSTM(64, return_sequences=True)))
    model.add(TimeDistributed(Dense(1, activation="sigmoid")))
    model.compile(Adam(3e-3), "binary_crossentropy", ["acc"])
    start = time.perf_counter()
    model.fit(x, y, batch_size=64, epochs=epochs, validation_split=0.1)
    seconds = time.perf_counter() - start

    accuracy = float(model.evaluate(x_test, y_test, verbose=0, return_dict=True)["acc"])
    found, kept = model.predict(x_test)[..., 0] > 0.5, x_test != 0
    true = y_test[..., 0] == 1
    # The first letter of a sentence always begins a word: it is no merit to find it.
    kept[:, 0] = False
    hits = float((found & true & kept).sum())
    f1 = 2 * hits / float((found & kept).sum() + (true & kept).sum())
    majority = 1 - float(true[x_test != 0].mean())
    for words, begins in list(zip(unseen, found, strict=True))[:5]:
        print(f"  {''.join(words)} -> {cut(words, begins)}")
    print(
        f"Tagging: {accuracy:.1%} of the letters right (never a beginning: {majority:.1%}), F1 of beginnings {f1:.3f} "
        f"on {len(unseen):,} unseen sentences, {seconds:.0f} s of training."
    )
    return {"accuracy": accuracy, "majority": majority, "f1": f1, "seconds": seconds}


if __name__ == "__main__":
    main()
