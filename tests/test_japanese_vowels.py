"""Real series of unequal length: the checked files, and the example that learns who speaks."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.classifiers import SequenceClassifier
from unrolled.datasets import japanese_vowels
from unrolled.errors import FileFormatError, MissingExtraError

Part = tuple[list[np.ndarray], np.ndarray]
needs_package = pytest.mark.skipif(
    find_spec("sktime") is None and find_spec("aeon") is None, reason='needs pip install "unrolled[series]"'
)


@pytest.fixture(scope="module")
def parts() -> tuple[Part, Part]:
    return japanese_vowels.load_data()


@needs_package
def test_sizes_and_first_values(parts: tuple[Part, Part]) -> None:
    (x, y), (x_test, y_test) = parts
    assert (len(x), len(x_test)) == (270, 370)
    assert {a.shape[1] for a in x + x_test} == {12}
    lengths = [len(a) for a in x + x_test]
    assert (min(lengths), max(lengths)) == (7, 29)
    assert np.unique(y, return_counts=True)[1].tolist() == [30] * 9
    assert np.unique(y_test, return_counts=True)[1].tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]  # as published
    assert x[0][:2, :3].tolist() == [[1.860936, -0.207383, 0.261557], [1.891651, -0.193249, 0.235363]]


@needs_package
def test_the_package_is_not_imported() -> None:
    program = (
        "import sys\nfrom unrolled.datasets import japanese_vowels\njapanese_vowels.load_data()\n"
        "print(sorted({'sktime', 'aeon', 'pandas'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@needs_package
def test_a_classifier_learns_who_speaks(parts: tuple[Part, Part]) -> None:
    """Three of the nine speakers, few epochs, unequal lengths as they come."""
    (x, y), (x_test, y_test) = ((list(s), labels) for s, labels in parts)
    some = [k for k, label in enumerate(y) if label in "123"]
    test = [k for k, label in enumerate(y_test) if label in "123"]
    network = SequenceClassifier("gru", units=16, epochs=15, early_stopping=False, random_state=0)
    network.fit([x[k] for k in some], y[some])
    assert (network.n_channels_, network.classes_.tolist()) == (12, ["1", "2", "3"])
    assert network.score([x_test[k] for k in test], y_test[test]) > 0.9  # the commonest has 57 %
    alone = network.predict_proba([x_test[test[0]]])
    among = network.predict_proba([x_test[k] for k in test])
    np.testing.assert_allclose(alone[0], among[0], rtol=0, atol=1e-6)  # whatever the lengths around it


@needs_package
def test_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(__file__).parents[1] / "examples" / "series.py"
    spec = importlib.util.spec_from_file_location("series", path)
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    figures = module.main(seeds=1)
    assert figures["nearest mean vector"] == pytest.approx(347 / 370)
    assert figures["SequenceClassifier"] > 0.94  # 0.97 to 0.99 by seed when written
    printed = capsys.readouterr().out
    assert "370 to score; 7 to 29 steps of 12 features" in printed
    assert f"{figures['SequenceClassifier']:.1%}  SequenceClassifier" in printed


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(japanese_vowels, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        japanese_vowels.load_data()
    assert str(caught.value) == (
        'datasets.japanese_vowels needs the package "sktime" (or "aeon"), which is not installed. '
        'Install it with: pip install "unrolled[series]"'
    )


def test_another_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "JapaneseVowels_TRAIN.ts"
    file.write_bytes(b"@data\n1:2:a\n")
    monkeypatch.setattr(japanese_vowels, "_find_file", lambda part: file)
    with pytest.raises(FileFormatError) as caught:
        japanese_vowels.load_data()
    wanted = "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd"
    assert str(caught.value) == (
        f"{file}: expected the sha256 {wanted}, got {sha256(file.read_bytes()).hexdigest()}. "
        'Install the version that was checked: pip install --force-reinstall --no-deps "sktime==1.2.0"'
    )
