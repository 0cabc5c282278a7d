"""`chapter.replay`: every section, every recorded number and every number of ours on one self-contained page."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from unrolled import chapter, datasets
from unrolled.chapter import airline, blocks, charts, data
from unrolled.datasets import cache, reviews
from unrolled.errors import MissingExtraError

pytestmark = pytest.mark.whole_programs


class Page(HTMLParser):
    """What a test asks of the page: sections, cells by path, notes, all text, and anything that would be fetched."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.sections: list[str] = []
        self.cells: dict[str, dict[str, list[str]]] = {"recorded": {}, "here": {}}
        self.notes: list[str] = []
        self.fetched: list[str] = []
        self.text = ""
        self._sink: list[str] | None = None
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag == "section":
            self.sections.append(str(known["id"]))
        elif tag == "td":
            for source, cells in self.cells.items():
                if f"data-{source}" in known:
                    self._sink = cells.setdefault(str(known[f"data-{source}"]), [])
                    self._sink.append("")
        elif tag == "p" and known.get("class") == "note":
            self._sink = self.notes
            self._sink.append("")
        links = [known.get(name) for name in ("src", "href", "srcset", "data", "poster", "action")]
        self.fetched += [link for link in links if link and not link.startswith(("#", "data:"))]
        self.fetched += ["script"] if tag == "script" else []

    def handle_data(self, text: str) -> None:
        self.text += text
        if self._sink is not None:
            self._sink[-1] += text

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "p"):
            self._sink = None


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every figure of recorded.json with its path; text, and the numbers of run C's epochs (its columns), left out."""
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            if key != "epoch":
                yield from leaves(part, f"{path}/{key}".lstrip("/"))
    elif not isinstance(value, str):
        yield path, value


RECORDED = dict(leaves(datasets.recorded()))


def number(text: str) -> float:
    return float(text.replace(",", ""))


def write_reviews(path: Path, rows: int = 160) -> None:
    """Keras' file in small: ranks of words, one of them tells the label."""
    rng = np.random.default_rng(0)
    arrays = {}
    for half, count in (("train", rows), ("test", 20)):
        labels = np.arange(count) % 2
        x = np.empty(count, object)
        x[:] = [[*rng.integers(10, 60, rng.integers(3, 12)).tolist(), 1 + int(label)] for label in labels]
        arrays |= {f"x_{half}": x, f"y_{half}": labels}
    np.savez(path, **arrays)


def write_tweets(path: Path, rows: int = 120) -> None:
    rng = np.random.default_rng(1)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["airline_sentiment", "text"])
        for row in range(rows):
            words = " ".join(f"word{k}" for k in rng.integers(0, 30, 6))
            writer.writerow([row % 2, f"@Air, the flight was {('late', 'great')[row % 2]}:\n{words}!"])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[chapter.Replay, Page]:
    folder = tmp_path_factory.mktemp("data")
    write_reviews(folder / "imdb.npz")
    write_tweets(folder / "airline_sentiment.csv")
    (folder / "english.txt").write_text("the\nwas\n")
    run = chapter.replay(folder / "chapter.html", epochs=1, data=folder, progress=False)
    return run, Page(run.path)


@pytest.fixture
def nothing_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data folder, no network, no package with reviews."""
    monkeypatch.setenv("UNROLLED_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cache, "ORIGIN", (tmp_path / "nowhere").as_uri() + "/")
    monkeypatch.setattr(reviews, "find_spec", lambda name: None)
    return tmp_path


def test_every_section(small: tuple[chapter.Replay, Page]) -> None:
    assert small[1].sections == ["loop", "summaries", "imdb", "toys", "ideas", "airline"] == list(chapter.SECTIONS)


def test_every_recorded_figure_stands_on_the_page(small: tuple[chapter.Replay, Page]) -> None:
    cells = small[1].cells["recorded"]
    assert len(RECORDED) > 400
    assert set(RECORDED) - set(cells) == set()
    for path, value in RECORDED.items():
        for text in cells[path]:
            assert number(text) == pytest.approx(value, rel=0, abs=5e-9), path


def test_every_figure_of_ours_stands_on_the_page(small: tuple[chapter.Replay, Page]) -> None:
    run, page = small
    assert set(page.cells["here"]) == set(run.figures)
    for path, value in run.figures.items():
        if isinstance(value, int | float):
            for text in page.cells["here"][path]:
                decimals = len(text.partition(".")[2])
                rounding = 0.051 * value if "e" in text else 0.51 * 10.0**-decimals
                assert number(text) == pytest.approx(value, rel=0, abs=rounding), (path, text)


def test_every_measured_figure_has_its_recorded_one(small: tuple[chapter.Replay, Page]) -> None:
    """One epoch of each model: loss, accuracy and time of ours, and all ten of the recorded runs."""
    figures = small[0].figures
    for cell in ("SimpleRNN", "LSTM", "GRU"):
        for measure in ("loss", "acc", "val_loss", "val_acc", "seconds", "ms_per_step"):
            assert np.isfinite(figures[f"imdb/{cell}/{measure}/0"])
    for name in airline.MODELS:
        assert 0 <= figures[f"airline/val_acc_by_epoch/{name}/0"] <= 1
        assert figures[f"airline/{name}/seconds_per_epoch"] > 0
    parameters = {path: value for path, value in RECORDED.items() if path.startswith("parameters/")}
    assert len(parameters) == 14
    assert {path: figures[path] for path in parameters} == parameters


def test_toys_come_out_digit_for_digit(small: tuple[chapter.Replay, Page]) -> None:
    figures = small[0].figures
    for cell in ("SimpleRNN", "LSTM"):
        for k in range(5):
            recorded = RECORDED[f"toys/{cell}/prediction/{k}"]
            assert figures[f"toys/{cell}/prediction/{k}"] == pytest.approx(recorded, abs=2e-7)  # 8 decimals, float32
            assert figures[f"toys/{cell}/by_hand/{k}"] == pytest.approx(recorded, abs=2e-7)
            trained = figures[f"toys/{cell}/trained/{k}"]
            assert figures[f"toys/{cell}/trained_by_hand/{k}"] == pytest.approx(trained, abs=1e-6)
            assert trained != pytest.approx(recorded, abs=1e-4)
    assert "forget    = sigmoid(3 * -0.012657 + 0.000000 * 0.725692 + 1.584455) = " in small[1].text


def test_ideas_are_computed(small: tuple[chapter.Replay, Page]) -> None:
    figures = small[0].figures
    assert [figures[f"ideas/U=0.5/x{t}"] for t in range(1, 6)] == pytest.approx([0.0625, 0.125, 0.25, 0.5, 1.0])
    assert figures["ideas/U=1.5/x1"] == pytest.approx(1.5**4)
    assert abs(figures["ideas/order/this is an"] - figures["ideas/order/an is this"]) > 0.01
    assert figures["loop/difference"] < 1e-12


def test_the_page_needs_no_network_and_has_all_pictures(small: tuple[chapter.Replay, Page]) -> None:
    page = small[1]
    assert page.fetched == []
    assert re.findall(r"@import|url\(", page.html) == []
    assert set(re.findall(r"https?://[^\"'<\s]+", page.html)) <= {"http://www.w3.org/2000/svg"}
    pictures = re.findall(r"<svg.*?</svg>", page.html, re.DOTALL)
    assert len(pictures) == 6 + 1 + 3
    for picture in pictures:
        assert ElementTree.fromstring(picture).attrib["aria-label"]
        assert "nan" not in picture
    assert page.html.count('<meta name="viewport"') == 1
    assert "prefers-color-scheme: dark" in page.html


def test_without_any_data(nothing_at_hand: Path) -> None:
    output = nothing_at_hand / "chapter.html"
    run = chapter.replay(output, epochs=1, progress=False)
    page = Page(output)
    assert page.sections == list(chapter.SECTIONS)
    assert set(RECORDED) - set(page.cells["recorded"]) == set()  # what was recorded is shown all the same
    assert not [path for path in run.figures if re.match("imdb/(SimpleRNN|LSTM|GRU)|airline/(val|LSTM|Simple)", path)]
    assert page.text.count("not run") > 20
    home = nothing_at_hand / "home"
    arrays, instead, tweets = page.notes
    assert arrays.startswith("Keras' IMDB arrays: imdb.npz: not found at ")
    assert f"put it at {home / 'imdb.npz'}, or give path=... of a copy." in arrays
    assert instead.endswith('which is not installed. Install it with: pip install "unrolled[demo]"')
    assert tweets == (
        f"Airline tweets: no airline_sentiment.csv in {home}. It is the cookbook's file; Tweets.csv of "
        '"Twitter US Airline Sentiment" (CrowdFlower, on Kaggle), from which it was made, serves as well. '
        "Put one of them there. No other set stands in: the recorded figures belong to these tweets, and nothing was "
        "trained here."
    )


def test_other_reviews_in_place_of_keras(nothing_at_hand: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"A {('dull', 'fine')[k % 2]} film, number {k}." for k in range(60)]
    monkeypatch.setattr(reviews, "load_texts", lambda: reviews.Reviews(texts, np.arange(60) % 2))
    run = chapter.replay(nothing_at_hand / "page.html", epochs=1, progress=False, only=["imdb"])
    page = Page(run.path)
    assert page.sections == ["imdb"]
    assert "imdb/GRU/val_acc/0" in run.figures
    assert page.notes[1].startswith(
        "Used instead: the 60 distinct texts of IMDB's training half from the package movie"
    )
    assert "Same reviews, another order and split" in page.notes[1]
    assert page.notes[2] == "The recorded runs have 10 epochs, this one 1: the best of them do not compare."


def test_what_is_not_at_hand_is_printed_too(nothing_at_hand: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = chapter.replay(nothing_at_hand / "p.html", epochs=1, data=nothing_at_hand, only=["airline"])
    printed = capsys.readouterr().out
    assert "no airline_sentiment.csv in " in printed and "Put one of them there." in printed
    assert Page(run.path).notes[0] in printed


def test_without_stop_words_the_tweets_keep_them(nothing_at_hand: Path) -> None:
    write_tweets(nothing_at_hand / "airline_sentiment.csv")
    run = chapter.replay(nothing_at_hand / "p.html", epochs=1, data=nothing_at_hand, progress=False, only=["airline"])
    assert run.figures["airline/setup/vocabulary"] == 30 + 6
    note = Page(run.path).notes[0]
    assert note.startswith("Stop words: no english.txt (NLTK's 179 English stop words, one a line) in ")
    assert "there are more distinct words" in note


def test_real_tweets_of_both_files(shared_data: Path, tmp_path: Path) -> None:
    """The cookbook's file and Kaggle's larger one, neutral tweets left out, are the same 11,541 rows."""
    (tmp_path / "Tweets.csv").write_bytes((shared_data / "airline" / "tweets_3class.csv").read_bytes())
    ours, kaggle = data.load_tweets(shared_data), data.load_tweets(tmp_path)
    assert isinstance(ours, data.Rows) and isinstance(kaggle, data.Rows)
    assert (len(ours.x), ours.x == kaggle.x, ours.y.tolist() == kaggle.y.tolist()) == (11_541, True, True)
    stop_words, notes = data.load_stop_words(shared_data)
    assert (len(stop_words), notes) == (179, [])
    tweets = airline.prepare(ours, stop_words)
    setup = datasets.recorded()["airline"]["setup"]
    assert (tweets.words, tweets.longest) == (setup["vocabulary"], setup["maxlen"])
    assert [len(tweets.y_train), len(tweets.y_test)] == setup["train_test"]
    majority, logistic = airline.references(tweets)
    known = datasets.recorded()["airline"]["our_references_same_split"]
    assert majority == pytest.approx(known["majority"], abs=5e-5)
    assert logistic == pytest.approx(known["tfidf_logistic_regression"], abs=0.004)  # its settings are not recorded


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text,label\na,1\n", "expected CSV in UTF-8 with the columns airline_sentiment and text, got KeyError"),
        (b"airline_sentiment,text\n1,\xff\n", "expected CSV in UTF-8 with the columns airline_sentiment and text"),
        (b"airline_sentiment,text\n1,good\n", "expected positive and negative tweets, got 1 rows of one kind or none."),
    ],
)
def test_a_file_that_is_not_the_tweets(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "airline_sentiment.csv").write_bytes(content)
    found = data.load_tweets(tmp_path)
    assert isinstance(found, data.Absent)
    assert message in found.notes[0]


def test_bad_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError) as caught:
        chapter.replay(tmp_path / "x.html", only=["toy"])
    assert str(caught.value) == (
        "replay: unknown section 'toy', did you mean 'toys'? Known: loop, summaries, imdb, toys, ideas, airline."
    )
    with pytest.raises(ValueError) as caught:
        chapter.replay(tmp_path / "x.html", epochs=0)
    assert str(caught.value) == "replay: expected epochs as a whole number of at least 1, got 0."
    with pytest.raises(FileNotFoundError) as missing:
        chapter.replay(tmp_path / "x.html", data=tmp_path / "no")
    assert str(missing.value) == f"replay: no folder at {tmp_path / 'no'}. Give the folder that holds the data files."
    with pytest.raises(FileNotFoundError) as missing:
        chapter.replay(tmp_path / "no" / "x.html")
    assert str(missing.value) == f"replay: no folder at {tmp_path / 'no'}. Make it first, or write elsewhere."
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r'needs the package "jinja2".*unrolled\[cli\]'):
        chapter.replay(tmp_path / "x.html")
    assert list(tmp_path.iterdir()) == []


def test_progress_names_what_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chapter.replay(tmp_path / "x.html", only="toys")
    printed = capsys.readouterr().out
    assert "Two toy networks, by hand" in printed
    assert "LSTM: the printed weights, then 500 epochs" in printed
    chapter.replay(tmp_path / "x.html", only="loop", progress=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.61, 0.99, [0.6, 0.7, 0.8, 0.9, 1.0]),
        (0.02, 0.73, [0.0, 0.2, 0.4, 0.6, 0.8]),
        (3.0, 41.0, [0, 10, 20, 30, 40, 50]),
    ],
)
def test_ticks_are_round_and_enclose(low: float, high: float, expected: list[float]) -> None:
    assert charts.ticks(low, high) == pytest.approx(expected)
    assert charts.ticks(0.9, 0.9)[0] <= 0.9 <= charts.ticks(0.9, 0.9)[-1]


def test_a_chart_scales_its_values() -> None:
    svg = ElementTree.fromstring(charts.line_chart("A <b>", [charts.Line("x & y", [1.0, 2.0, 3.0], "dots", 1)]))
    heights = [float(dot.attrib["cy"]) for dot in svg.iter("{http://www.w3.org/2000/svg}circle")][:3]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)
    assert heights[0] > heights[2]


def test_figures_by_path() -> None:
    figures = blocks.Figures()
    assert figures.read("imdb/run_a/GRU/acc") is None
    assert figures.recorded("imdb/run_a/LSTM/acc/99") == blocks.Figure("–")
    assert figures.recorded("imdb/run_a/LSTM/acc/3", ".4f") == blocks.Figure(
        "0.9122", "recorded", "imdb/run_a/LSTM/acc/3"
    )
    assert figures.here("a/b", None) == blocks.Figure("not run")
    assert figures.ours == {}
