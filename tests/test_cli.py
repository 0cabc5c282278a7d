"""The command line as a person uses it: train, predict, judge, look, compare; bad files; Ctrl-C and going on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unrolled.classifiers import TextClassifier
from unrolled.cli import main
from unrolled.cli.bench import make_batch, measure
from unrolled.cli.predict import waiting
from unrolled.errors import TableError

pytestmark = pytest.mark.whole_programs

GOOD, BAD = ["good", "great", "fine", "lovely"], ["bad", "awful", "poor", "boring"]
SMALL = ["--units", "8", "--epochs", "3", "--batch-size", "16", "--learning-rate", "0.02", "--embedding-dim", "8"]
Run = Callable[..., tuple[int, str, str]]


def rows(number: int, seed: int = 0) -> list[tuple[str, str]]:
    """Texts of seven words, one of which tells the label."""
    rng = np.random.default_rng(seed)
    made = []
    for row in range(number):
        words = [f"w{i}" for i in rng.integers(30, size=6)]
        words.insert(int(rng.integers(6)), str(rng.choice(BAD if row % 2 else GOOD)))
        made.append((" ".join(words), "negative" if row % 2 else "positive"))
    return made


def write(path: Path, lines: list[tuple[str, str]]) -> Path:
    path.write_text("review,sentiment\n" + "".join(f"{text},{label}\n" for text, label in lines))
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs the command in this process, in a folder of its own: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["unrolled", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call


def test_chapter_writes_a_page(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("chapter", "--only", "loop", "-o", "page.html", "-q")
    assert code == 0 and "Page: page.html, after " in out
    assert "<html" in (tmp_path / "page.html").read_text()
    code, _, err = run("chapter", "--only", "nothing", "-q")
    assert code == 1 and err.startswith("Error: ") and "'nothing'" in err


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A trained model, as unrolled train leaves it."""
    texts, labels = zip(*rows(200), strict=True)
    classifier = TextClassifier(
        units=8, epochs=8, batch_size=16, learning_rate=0.02, early_stopping=False, random_state=0
    ).fit(list(texts), list(labels))
    classifier.report_ = {}
    classifier.save(tmp_path / "model")
    return tmp_path / "model"


# ---- train


def test_train_from_a_file_to_a_model(run: Run, tmp_path: Path) -> None:
    lines = rows(200)
    write(tmp_path / "reviews.csv", [*lines, *lines[:4]])
    code, out, err = run("train", "reviews.csv", *SMALL, "-o", "model")
    assert (code, err) == (0, "")
    shown = out.splitlines()
    assert shown[0].startswith("reviews.csv: 204 rows, read in ")
    assert shown[1:5] == [
        '  Texts: column "review", guessed (the only column of long values, 27 characters on average). '
        "Otherwise name it with --text.",
        '  Labels: column "sentiment", guessed (its name, and 2 different values). Otherwise name it with --label.',
        '  Classes: "positive" 102, "negative" 102.',
        shown[4],
    ]
    assert "; 4 texts repeat an earlier one and stay on its side." in shown[4]
    assert [line.partition(" - ")[0] for line in shown if line.startswith("Epoch")] == [
        f"Epoch {i}/3" for i in (1, 2, 3)
    ]
    table = out[out.index("\nOn ") :]
    assert "\nbidirectional GRU(8) with max+mean pooling " in table or "\nLSTM(8) " in table  # the preset's cell
    assert "\nTF-IDF logistic regression " in table and "\nthe most frequent class " in table
    assert "the network" in table and "95 % interval" in table and "Confusion: " in table and "By class" in table
    assert all((tmp_path / f"model.{name}.png").read_bytes()[:4] == b"\x89PNG" for name in ("curves", "report"))
    classifier = TextClassifier.load(tmp_path / "model")
    assert classifier.predict(["w1 good w2", "w1 awful w2"]).tolist() == ["positive", "negative"]
    assert classifier.report_["data"] == {
        "file": "reviews.csv", "text": "review", "label": "sentiment", "rows": 204, "seed": 0, "test_file": None,
        "test_size": 0.2,
    }  # fmt: skip
    assert len(classifier.report_["figures"]) == 3


def test_train_says_what_it_met_in_the_texts(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "reviews.csv", [*rows(100), *[("?!", "positive")] * 3])
    code, out, _ = run("train", "reviews.csv", *SMALL, "--no-baseline", "--no-plots", "-q", "--test-size", "0.01")
    assert code == 0
    assert '3 texts learned from have no word, such as "?!": all such texts get the same answer.\n' in out


@pytest.mark.filterwarnings("default")
def test_warnings_are_lines_without_code(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "reviews.csv", rows(4))
    code, _, err = run("train", "reviews.csv", *SMALL, "--no-baseline", "--no-plots", "-q")
    assert code == 0
    assert err == (
        "Warning: TextClassifier: too few different rows to hold some out for early stopping in 2 of 2 classes "
        "('negative', 'positive'); they are trained on all their rows. Add rows, or set early_stopping=False.\n"
    )


def test_train_judges_by_a_file_of_its_own_and_counts_the_overlap(run: Run, tmp_path: Path) -> None:
    lines = rows(100)
    write(tmp_path / "train.csv", lines)
    write(tmp_path / "test.csv", [*rows(30, seed=1), *lines[:2]])
    code, out, _ = run("train", "train.csv", "--test", "test.csv", *SMALL, "--no-baseline", "--no-plots", "-q")
    assert code == 0
    assert "  2 of its 32 texts are also in train.csv; they flatter the figures, and are judged as given.\n" in out
    assert "On 32 rows of the test file\n" in out
    assert "TF-IDF" not in out and "Epoch" not in out and not list(tmp_path.glob("*.png"))
    write(tmp_path / "test.csv", [("a film", "positive"), ("b film", "neutral")])
    code, _, err = run("train", "train.csv", "--test", "test.csv", *SMALL)
    assert code == 1
    assert err == (
        'Error: test.csv: row 2 (line 3) has the label "neutral", which the model does not know; it knows "negative", '
        '"positive". Correct the label, name another column with --label, or train with rows of that class.\n'
    )


def test_a_simple_winner_is_said_plainly(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "reviews.csv", rows(400))
    code, out, _ = run(
        "train", "reviews.csv", "--units", "1", "--epochs", "1", "--learning-rate", "0.00001", "--no-plots"
    )
    assert code == 0
    assert "TF-IDF logistic regression wins: accuracy 1.0000, the network 0." in out


def test_the_same_seed_gives_the_same_model(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "reviews.csv", rows(60))
    arguments = ["train", "reviews.csv", *SMALL, "--no-baseline", "--no-plots", "-q"]
    proba = []
    for seed in ("3", "3", "4"):
        assert run(*arguments, "--seed", seed)[0] == 0
        proba.append(TextClassifier.load(tmp_path / "model").predict_proba(["good w1", "bad w2"]))
    np.testing.assert_array_equal(proba[0], proba[1])
    assert not np.array_equal(proba[0], proba[2])


BAD_CALLS = {
    "no file": (["train", "reviews.cvs"], "Error: reviews.cvs: there is no such file, did you mean reviews.csv?\n"),
    "no column": (
        ["train", "reviews.csv", "--text", "body"],
        'Error: reviews.csv: there is no column "body" for --text. There are: "review", "sentiment".\n',
    ),
    "one class": (
        ["train", "one.csv"],
        'Error: one.csv: column "sentiment" has the same label "good" in all 2 rows, and a classifier needs two '
        "classes. Name another column with --label, or add rows of another class.\n",
    ),
    "rare class": (
        ["train", "rare.csv"],
        'Error: rare.csv: column "sentiment" has a class with one row alone: "postive" in row 9 (line 10). It cannot '
        "be both learned and tested. Correct a slip in the label, add rows, or leave such rows out with "
        "--skip-rare-classes.\n",
    ),
    "bad row": (
        ["train", "hole.csv", "--text", "review", "--label", "sentiment"],
        'Error: hole.csv: row 9 (line 10) has no text: column "review" is empty. '
        "Fill it in, or leave such rows out with --skip-bad-rows.\n",
    ),
    "no folder": (
        ["train", "reviews.csv", "-o", "there/model"],
        "Error: --output there/model: there is no folder there. Make it first.\n",
    ),
    "folder": (
        ["train", "reviews.csv", "-o", "."],
        "Error: --output . is a folder. Give the name of a file, such as model.\n",
    ),
    "no model": (
        ["predict", "modell", "a text"],
        'Error: There is no model "modell". Make one: unrolled train reviews.csv -o modell\n',
    ),
    "other file": (
        ["predict", "reviews.csv", "a text"], None,
    ),
    "other network": (
        ["train", "reviews.csv", "--resume", "model", "--units", "9"],
        "Error: --resume model goes on with the network in that file, whose --units is 8, got 9. Leave the option out, "
        "or train anew without --resume.\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_CALLS)
def test_what_goes_wrong_is_said_in_one_line(name: str, run: Run, tmp_path: Path, model: Path) -> None:
    write(tmp_path / "reviews.csv", rows(8))
    write(tmp_path / "one.csv", [("a film that is good", "good"), ("b film that is good", "good")])
    (tmp_path / "one.csv").write_text((tmp_path / "one.csv").read_text())
    write(tmp_path / "rare.csv", [*rows(8), ("a film that is new", "postive")])
    write(tmp_path / "hole.csv", [*rows(8), ("", "positive")])
    arguments, text = BAD_CALLS[name]
    if name == "one class":
        arguments = [*arguments, "--text", "review", "--label", "sentiment"]
    code, _, err = run(*arguments)
    assert code == 1
    if text is None:
        assert (
            err.startswith('Error: "reviews.csv" is no model, or a broken or truncated one (') and err.count("\n") == 1
        )
    else:
        assert err == text


def test_rows_left_out_are_counted(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", [*rows(60), ("", "positive"), ("a new film", "postive"), ("a, b", "positive")])
    code, out, _ = run(
        "train", "a.csv", "--skip-bad-rows", "--skip-rare-classes", *SMALL, "--no-baseline", "--no-plots", "-q"
    )
    assert code == 0
    assert "  Left out 1 row with more or fewer values than the 2 columns: row 63 (line 64).\n" in out
    assert "  Left out 1 row of 62 without a text: row 61 (line 62).\n" in out
    assert '  Left out 1 row whose class has one row alone: "postive" in row 62 (line 63).\n' in out
    assert '  Classes: "positive" 30, "negative" 30.\n' in out


# ---- Ctrl-C


def start(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "unrolled", *arguments],
        cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


def test_ctrl_c_leaves_a_model_and_resume_goes_on(tmp_path: Path) -> None:
    write(tmp_path / "reviews.csv", rows(2000))
    arguments = ["train", "reviews.csv", "--units", "8", "--epochs", "400", "--no-early-stopping", "--no-plots",
                 "--no-baseline", "-o", "my model"]  # fmt: skip
    process = start(*arguments, folder=tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Epoch 2/400"):
            process.send_signal(signal.SIGINT)
            break
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    classifier = TextClassifier.load(tmp_path / "my model")
    done = classifier.n_iter_
    assert 2 <= done < 400 and classifier.interrupted_
    assert classifier.predict(["w1 good w2"]).tolist() in (["positive"], ["negative"])
    assert out.endswith(
        f"Stopped by Ctrl-C after {done} of 400 epochs. my model holds the model so far, and it can be used.\n"
        f"To go on, with epoch {done + 1} from its beginning: unrolled train reviews.csv --units 8 --epochs 400 "
        "--no-early-stopping --no-plots --no-baseline "
        "-o 'my model' --resume 'my model'\n"
    )
    arguments[arguments.index("400")] = str(done + 2)
    process = start(*arguments, "--resume", "my model", folder=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert f" texts, after {done} epochs.\n" in out and f"Epoch {done + 1}/{done + 2}" in out
    again = TextClassifier.load(tmp_path / "my model")
    assert again.n_iter_ == done + 2 and not again.interrupted_
    assert again.history_["loss"][:done] == classifier.history_["loss"]


# ---- predict


def test_predict_a_text(run: Run, model: Path) -> None:
    code, out, _ = run("predict", "model", "w1 w2 good w3")
    label, probability = out.strip().split("\t")
    assert (code, label) == (0, "positive") and 0.5 < float(probability) <= 1
    _, out, _ = run("predict", "model", "w1 w2 good w3", "--format", "jsonl")
    found = json.loads(out)
    assert found["row"] == 1 and found["label"] == "positive"
    assert found["probability"] == pytest.approx(float(probability), abs=1e-4)
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_predict_a_file_keeps_every_row(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("review,n\nw1 good w2 a b,1\n,2\nw1 awful w2 c d,3\n?!?!?!?!?!?!?!,4\n")
    code, out, err = run("predict", "model", "--file", "new.csv", "--text", "review", "--format", "jsonl")
    assert code == 0
    assert [(line["row"], line["label"]) for line in map(json.loads, out.splitlines())] == [
        (1, "positive"), (2, None), (3, "negative"), (4, None),
    ]  # fmt: skip
    assert err == "new.csv: 1 row without text: row 2 (line 3).\n"
    _, out, _ = run("predict", "model", "--file", "new.csv", "--text", "review")
    assert [line.partition("\t")[0] for line in out.splitlines()] == ["positive", "-", "negative", "-"]


def test_predict_answers_each_line_as_it_comes(model: Path, tmp_path: Path) -> None:
    process = start("predict", "model", "--format", "jsonl", folder=tmp_path)
    assert process.stdin is not None and process.stdout is not None
    for number, (text, label) in enumerate([("w1 good w2", "positive"), ("", None), ("w1 awful w2", "negative")], 1):
        process.stdin.write(text + "\n")
        process.stdin.flush()
        line = json.loads(process.stdout.readline())  # would wait for ever if the answer waited for more lines
        assert (line["row"], line["label"]) == (number, label)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


def test_lines_that_have_come_are_taken_together_and_in_order() -> None:
    taken = list(waiting(b"%d\n" % number for number in range(1000)))
    assert [line for part in taken for line in part] == [b"%d\n" % number for number in range(1000)]


# ---- evaluate, summary, plot, compare, bench


def test_evaluate(run: Run, model: Path, tmp_path: Path) -> None:
    write(tmp_path / "test.csv", rows(40, seed=5))
    code, out, err = run("evaluate", "model", "test.csv")
    assert (code, err) == (0, "") and "40 rows, 2 classes" in out and "accuracy" in out and "By class" in out
    code, out, err = run("evaluate", "model", "test.csv", "--format", "json")
    found = json.loads(out)
    assert code == 0 and err.startswith("test.csv: 40 rows, read in ")
    assert found["accuracy"] > 0.9 and np.sum(found["confusion"]) == 40


def test_summary_and_plot(run: Run, model: Path, tmp_path: Path) -> None:
    code, out, _ = run("summary", "model")
    assert code == 0 and "2 classes: 'negative', 'positive'" in out and "Total params" in out
    assert "Options: batch_size=16, " in out and "units=8" in out
    code, out, _ = run("plot", "model")
    assert (code, out) == (0, "Curves of 8 epochs: model.curves.png\n")
    assert (tmp_path / "model.curves.png").read_bytes()[:4] == b"\x89PNG"


def test_trace(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "reviews.csv", rows(60))
    plain = ["--cell", "lstm", "--no-bidirectional", "--pooling", "last", "--no-baseline", "--no-plots", "-q"]
    assert run("train", "reviews.csv", *SMALL, *plain)[0] == 0
    code, out, _ = run("trace", "model", "w1 good w2", "--verify", "--attribution", "--script", "by_hand.py")
    assert code == 0 and "good" in out and out.endswith("Script: by_hand.py\n")
    by_hand = subprocess.run([sys.executable, "by_hand.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    best = TextClassifier.load(tmp_path / "model").predict_proba(["w1 good w2"]).max()
    assert f"{best:.3f}" in by_hand.stdout or f"{1 - best:.3f}" in by_hand.stdout
    code, out, _ = run("trace", "model", "w1 good w2", "--html", "trace.html")
    assert code == 0 and out.endswith("Page: trace.html\n")
    assert (tmp_path / "trace.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    code, _, err = run("trace", "model", "")
    assert code == 1 and err.startswith("Error: ")
    code, _, err = run("trace", "model", "w1 good", "--network", "1")
    assert (code, err) == (1, "Error: TextClassifier: there is no network 1. It has 1: 0 to 0.\n")


def test_compare(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "reviews.csv", rows(80))
    code, out, err = run("compare", "reviews.csv", *SMALL, "-q")
    assert (code, err) == (0, "")
    lines = out[out.index("\nOn ") :].splitlines()[3:10]
    assert [line[:26].rstrip() for line in lines] == [
        "SimpleRNN", "LSTM", "GRU", "two LSTM", "bidirectional LSTM", "TF-IDF logistic regression",
        "the most frequent class",
    ]  # fmt: skip
    assert (tmp_path / "compare.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("command", ["plot", "compare", "evaluate"])
def test_a_picture_that_cannot_be_written_is_refused_before_the_work(command: str, run: Run, model: Path) -> None:
    write(model.parent / "reviews.csv", rows(20))
    arguments = {
        "plot": ["model", "-o", "a.foo"],
        "compare": ["reviews.csv", "-o", "a"],
        "evaluate": ["model", "reviews.csv", "--plot", "a.foo"],
    }[command]
    code, out, err = run(command, *arguments)
    assert (code, out) == (1, "")
    name, got = ("a", "none") if command == "compare" else ("a.foo", 'the ending ".foo"')
    assert err.startswith(
        f'Error: "{name}": expected the name of a picture with an ending that says its format, got {got}. Known: '
    )
    assert ", pdf, " in err and ", png, " in err


def test_bench(run: Run) -> None:
    code, out, _ = run("bench", "--rounds", "1", "--seconds", "0.01", "--threads", "1")
    assert code == 0
    line = next(line for line in out.splitlines() if line.startswith("unrolled "))
    assert float(line.split()[1]) > 0


def test_bench_says_when_the_machine_is_busy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 1.6])
    monkeypatch.setattr("unrolled.cli.bench.measure", lambda *_: next(times))
    monkeypatch.setattr("unrolled.cli.bench.CONTESTANTS", {"unrolled": ("unrolled", lambda *_: lambda x, y: 0.0)})
    _, out, _ = run("bench", "--rounds", "2")
    assert out.endswith(
        "Times of one library differ by a factor of up to 1.6: the machine is busy, and ratios say little.\n"
    )


def test_bench_measures_what_it_says() -> None:
    ids, labels = make_batch(np.random.default_rng(0))
    lengths = (ids > 0).sum(axis=1)
    assert ids.shape == (128, 500) and labels.shape == (128,) and 130 < np.median(lengths) < 240
    assert (np.diff((ids > 0).astype(int), axis=1) >= 0).all()  # padded in front alone
    calls: list[int] = []
    assert measure(lambda x, y: calls.append(len(x)) or 0.0, [(ids, labels)] * 4, 0) >= 0  # type: ignore[func-returns-value]
    assert len(calls) == 5  # one warms up, then every batch


# ---- help


@pytest.mark.parametrize(
    "command", ["train", "evaluate", "predict", "summary", "plot", "compare", "bench", "chapter", "trace"]
)
def test_help_teaches_by_examples(command: str, run: Run) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0 and f"unrolled {command} " in out.partition("Usage:")[2].partition("\n")[2]


def test_the_module_and_the_version(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "unrolled", "--version"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    import unrolled

    assert found.stdout == f"unrolled {unrolled.__version__}\n"


def test_without_the_extra_it_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typer", None)
    code, _, err = run("--help")
    assert code == 1
    assert err == (
        'Error: The command unrolled needs the package "typer", which is not installed. '
        'Install it with: pip install "unrolled[cli]"\n'
    )


def test_only_errors_made_for_people_are_shown_without_their_place(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(tmp_path / "reviews.csv", rows(8))
    monkeypatch.setattr(sys, "argv", ["unrolled", "train", "reviews.csv", "--text", "body"])
    monkeypatch.setenv("UNROLLED_TRACEBACK", "1")
    with pytest.raises(TableError):  # with its traceback, when asked for
        main()
    monkeypatch.delenv("UNROLLED_TRACEBACK")
    monkeypatch.setattr("unrolled.cli.train.divide", lambda *_: (1, 2) + 3)  # a mistake of ours
    monkeypatch.setattr(sys, "argv", ["unrolled", "train", "reviews.csv", "--text", "review", "--label", "sentiment"])
    with pytest.raises(TypeError):
        main()
