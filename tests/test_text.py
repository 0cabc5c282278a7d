"""Words of any language, the cookbook's cleaning, numbering by frequency; real tweets and reviews."""

from __future__ import annotations

import csv
import gzip
import json
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.errors import MissingExtraError, NotBuiltError, ShapeError
from unrolled.preprocessing.sequence import pad_sequences
from unrolled.text import PackedIds, TextVectorizer, Vocabulary, clean, split_words
from unrolled.text import words as words_module

WORDS = {
    "Don’t PANIC, it's": ["don't", "panic", "it's"],
    "'quoted' rock'n'roll": ["quoted", "rock'n'roll"],
    "naïve cafe\u0301 Москва ΣΟΦΊΑ": ["naïve", "café", "москва", "σοφία"],
    "東京タワーで10分": [*"東京タワーで", "10", "分"],
    "ﾊﾟﾝ ＡＢＣ ™": ["パ", "ン", "abc", "tm"],
    "नमस्ते 한국어 עברית": ["नमस्ते", "한국어", "עברית"],
    "สวัสดี": ["ส", "วั", "ส", "ดี"],
    "ok👍🏽👍 👨‍👩‍👧 🇩🇪🇫🇷 ❤️!": ["ok", "👍🏽", "👍", "👨‍👩‍👧", "🇩🇪", "🇫🇷", "❤️"],
    "@united #fail http://t.co/x_1": ["united", "fail", "http", "t", "co", "x_1"],
    " .,;-'’ ": [],
    "": [],
}  # fmt: skip


@pytest.mark.parametrize("text", WORDS)
def test_words_of_any_language(text: str) -> None:
    assert split_words(text) == WORDS[text]


@given(st.text(st.sampled_from("aZ9_' .-<\x00\x7f\n"), max_size=12))
def test_the_short_way_for_ascii_finds_the_same(text: str) -> None:
    assert split_words(text) == words_module._pattern().findall(text.lower())


@given(st.text(max_size=30))
def test_any_text_gives_words_without_blanks(text: str) -> None:
    assert all(word and not any(c.isspace() for c in word) for word in split_words(text))


def test_cleaning_as_in_the_cookbook() -> None:
    assert clean("@VirginAmerica it's NOT a café... 10/10!") == "virginamerica it s not a caf 10 10"
    assert clean("It is not good", stop_words=(w for w in ("is", "it"))) == "not good"
    assert clean("?!") == ""
    with pytest.raises(TypeError) as error:
        clean("a", stop_words="the")
    assert str(error.value) == "stop_words: expected a list of words, got the text 'the'. Write ['the', 'a']."


def test_ids_fall_with_frequency_and_ties_keep_their_first_appearance() -> None:
    vocabulary = Vocabulary.count([["b", "a", "c"], ["c", "a", "d", "c"]])
    assert vocabulary.words == ["c", "a", "b", "d"]
    assert vocabulary.counts == {"c": 3, "a": 2, "b": 1, "d": 1}
    assert vocabulary.index == {"c": 2, "a": 3, "b": 4, "d": 5}
    assert len(vocabulary) == 6
    assert vocabulary.to_ids(["d", "zebra", "c"]) == [5, 1, 2]
    assert vocabulary.to_words([0, 0, 5, 1, 2]) == ["d", "[?]", "c"]
    assert "d" in vocabulary and "zebra" not in vocabulary


def test_without_an_unknown_id_words_start_at_one_and_others_are_left_out() -> None:
    vocabulary = Vocabulary.count([["b", "a", "a"]], oov=False)
    assert vocabulary.index == {"a": 1, "b": 2} and len(vocabulary) == 3
    assert vocabulary.to_ids(["b", "zebra", "a"]) == [2, 1]
    assert vocabulary.to_words([0, 2, 1]) == ["b", "a"]


def test_rare_words_can_be_left_out() -> None:
    rows = [["a", "a", "a", "b", "b", "c"]]
    assert Vocabulary.count(rows, num_words=2).words == ["a", "b"]
    assert Vocabulary.count(rows, min_count=3).words == ["a"]


def test_vocabulary_errors() -> None:
    with pytest.raises(ValueError, match="expected every word once, got 'a' more than once"):
        Vocabulary(["a", "b", "a"])
    with pytest.raises(TypeError, match="expected words, got 3"):
        Vocabulary(["a", 3])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="expected ids from 0 to 2, got 3"):
        Vocabulary(["a"]).to_words([3])


TEXTS = ["The film was good, good!", "the end", "", "電影 good 👍"]
IDS = [[3, 4, 5, 2, 2], [3, 6], [], [7, 8, 2, 9]]


def test_fit_and_transform() -> None:
    vectorizer = TextVectorizer()
    assert vectorizer.fit_transform(TEXTS) == IDS
    assert vectorizer.fit(TEXTS).transform(TEXTS) == IDS
    assert vectorizer.transform(["a good 影"]) == [[1, 2, 8]]
    assert vectorizer.inverse_transform([[0, 1, 2, 8]]) == ["[?] good 影"]
    padded = vectorizer.to_array(TEXTS, maxlen=3)
    assert padded.dtype == np.int32
    np.testing.assert_array_equal(padded, [[5, 2, 2], [0, 3, 6], [0, 0, 0], [8, 2, 9]])
    np.testing.assert_array_equal(vectorizer.to_array(TEXTS[1:2], 3, "post", "post"), [[3, 6, 0]])


@pytest.mark.parametrize(
    "column",
    [
        tuple(TEXTS), np.array(TEXTS), np.array(TEXTS, object), np.array(TEXTS)[:, None],
        pd.Series(TEXTS, index=[3, 1, 4, 1]),
        pd.DataFrame({"text": TEXTS}), pl.Series(TEXTS), pl.DataFrame({"text": TEXTS}), pa.array(TEXTS),
        pa.chunked_array([TEXTS[:1], TEXTS[1:]]), (text for text in TEXTS),
    ],
    ids=lambda column: f"{type(column).__module__}.{type(column).__name__}",
)  # fmt: skip
def test_columns_of_any_kind(column: object) -> None:
    assert TextVectorizer().fit_transform(column) == IDS


def test_packed_ids_are_the_same_rows_without_padding() -> None:
    vectorizer = TextVectorizer()
    packed = vectorizer.fit_packed(TEXTS)
    assert packed.to_lists() == IDS and len(packed) == len(TEXTS)
    assert packed.lengths.tolist() == [len(row) for row in IDS]
    assert (
        vectorizer.vocabulary is not None
        and vectorizer.vocabulary.counts == Vocabulary.count(map(vectorizer.tokenize, TEXTS)).counts
    )
    assert vectorizer.transform_packed(["a good 影"])[0].tolist() == [1, 2, 8]
    without = TextVectorizer(num_words=1, oov=False)
    assert without.fit_packed(TEXTS).to_lists() == without.transform(TEXTS) == [[1] * row.count(2) for row in IDS]


def test_packed_ids_are_cut_and_padded_in_front() -> None:
    packed = PackedIds.from_rows([np.arange(1, 7), np.array([7]), np.zeros(0, np.int64), np.arange(11, 16)])
    for side, rows in {
        "pre": [[4, 5, 6], [7], [], [13, 14, 15]],
        "middle": [[1, 2, 6], [7], [], [11, 12, 15]],
        "post": [[1, 2, 3], [7], [], [11, 12, 13]],
    }.items():
        assert packed.cut(3, side).to_lists() == rows
    assert packed.cut(6) is packed
    assert packed.cut(3).to_array().tolist() == [[4, 5, 6], [0, 0, 7], [0, 0, 0], [13, 14, 15]]
    assert packed.to_array(np.array([2, 1])).tolist() == [[0], [7]]
    assert packed.to_array(np.array([1, 3]), length=6).tolist() == [[0, 0, 0, 0, 0, 7], [0, 11, 12, 13, 14, 15]]
    assert PackedIds.from_rows([]).to_array().shape == (0, 1)
    many = [np.arange(1, 1 + row % 7) for row in range(10_000)]  # more than are padded at once
    np.testing.assert_array_equal(PackedIds.from_rows(many).to_array(), pad_sequences(many, 6))


@pytest.mark.parametrize(
    "arguments",
    [{}, {"tokenizer": "cookbook", "stop_words": ["the"], "oov": False}, {"num_words": 2, "min_count": 2}],
)
def test_a_saved_vectorizer_gives_the_same_ids(arguments: dict[str, object]) -> None:
    vectorizer = TextVectorizer(**arguments).fit(TEXTS)  # type: ignore[arg-type]
    again = TextVectorizer.from_config(json.loads(json.dumps(vectorizer.get_config())))
    assert again.transform([*TEXTS, "a new text"]) == vectorizer.transform([*TEXTS, "a new text"])
    assert again.get_config() == vectorizer.get_config()
    assert TextVectorizer.from_config(TextVectorizer().get_config()).vocabulary is None


def test_a_function_splits_but_is_not_saved() -> None:
    vectorizer = TextVectorizer(tokenizer=str.split, stop_words=["the"]).fit(["the a-b a-b c"])
    assert vectorizer.transform(["c a-b the"]) == [[3, 2]]
    with pytest.raises(TypeError, match=r"the tokenizer is a function, .*, and a file holds no code"):
        vectorizer.get_config()


MISSING = 'got a missing value in row 1. Drop such rows or fill them with "".'
ERRORS = {
    "one text": ("a text", "texts: expected a list or a column, got 'a text'. Put a single entry into a list."),
    "number": (["a", 3], "texts: expected a text in every row, got int 3 in row 1. Turn it into text with str()."),
    "none": (["a", None], f"texts: expected a text in every row, {MISSING}"),
    "nan": (pd.Series(["a", np.nan]), f"texts: expected a text in every row, {MISSING}"),
    "two columns": (
        pd.DataFrame({"a": ["x"], "b": ["y"]}),
        "texts: expected one column, got a table of shape (1, 2). Choose one of its columns.",
    ),
    "no words": (
        ["?", ""],
        "TextVectorizer: expected at least one word that occurs 1 times, found none in 2 texts. "
        "Check that this is the column of texts; lower min_count; use fewer stop words.",
    ),
}
KINDS = {"two columns": ShapeError, "no words": ValueError}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_columns(case: str) -> None:
    column, text = ERRORS[case]
    with pytest.raises(KINDS.get(case, TypeError)) as error:
        TextVectorizer().fit(column)
    assert str(error.value) == text


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="unknown tokenizer 'word', did you mean 'words'"):
        TextVectorizer(tokenizer="word")
    with pytest.raises(TypeError, match="expected tokenizer as a name or a function, got 3"):
        TextVectorizer(tokenizer=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected num_words as a whole number of at least 1, got 0"):
        TextVectorizer(num_words=0)
    with pytest.raises(ValueError, match="expected min_count as a whole number of at least 1, got None"):
        TextVectorizer(min_count=None)  # type: ignore[arg-type]
    with pytest.raises(NotBuiltError, match=r"transform needs a vocabulary. Call fit\(texts\) first."):
        TextVectorizer().transform(["a"])


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "regex", None)
    words_module._pattern.cache_clear()
    try:
        with pytest.raises(MissingExtraError) as error:
            split_words("ein schöner Text")
        assert split_words("a text") == ["a", "text"]
        assert TextVectorizer(tokenizer="cookbook").fit_transform(["a text"]) == [[2, 3]]
    finally:
        words_module._pattern.cache_clear()
    assert str(error.value) == (
        'Splitting texts into words needs the package "regex", which is not installed. '
        'Install it with: pip install "unrolled[text]"'
    )


def test_the_cookbooks_tweets(shared_data: Path) -> None:
    with open(shared_data / "airline" / "airline_sentiment.csv", newline="", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    stop_words = (shared_data / "stopwords" / "english.txt").read_text().split()
    vectorizer = TextVectorizer(tokenizer="cookbook", stop_words=stop_words, oov=False)
    ids = vectorizer.fit_transform(texts)
    assert vectorizer.vocabulary is not None and len(vectorizer.vocabulary) == 12_533
    assert max(map(len, ids)) == 26
    assert ids[0] == [44, 450, 1142, 2233, 100, 5429]  # as the book's notebook prints them
    assert ids[1] == [44, 57, 3036, 3845, 3846, 815, 3037, 3847, 19, 366, 2234]


@pytest.mark.timed
def test_reviews_are_cut_into_words_fast(shared_data: Path) -> None:
    csv.field_size_limit(sys.maxsize)
    with gzip.open(shared_data / "imdb" / "reviews.csv.gz", "rt", encoding="utf-8", newline="") as file:
        texts = [row["review"] for row in islice(csv.DictReader(file), 2000)]
    vectorizer = TextVectorizer(num_words=20_000)
    rates = []
    for _ in range(3):
        start = time.process_time()  # one thread: other programs do not count
        ids = vectorizer.fit_transform(texts)
        rates.append(len(texts) / (time.process_time() - start))
    assert len(ids) == 2000 and 200 < np.mean([*map(len, ids)]) < 260
    assert max(rates) > 5000
