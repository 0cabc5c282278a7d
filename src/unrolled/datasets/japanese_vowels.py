"""640 recordings of nine men saying two Japanese vowels: real series of unequal length with 12 features a step.

Source: M. Kudo, J. Toyama and M. Shimbo 1999, "Multidimensional curve classification using passing-through regions",
Pattern Recognition Letters 20; UCI Machine Learning Repository, "Japanese Vowels" (CC BY 4.0). The PyPI packages sktime
and aeon carry it.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import FileFormatError, MissingExtraError

Array = NDArray[Any]
Part = tuple[list[Array], Array]

_PACKAGES = ("sktime", "aeon")  # the same two files, byte for byte
_SHA256 = {
    "TRAIN": "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
    "TEST": "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
}


def load_data() -> tuple[Part, Part]:
    """The series and who speaks, in the split of those who made the set.

    A step is a frame of 6.4 ms, its 12 features the linear prediction cepstrum; a series has 7 to 29 steps.

    Returns: (x_train, y_train), (x_test, y_test): x lists of 270 and 370 arrays (T, 12) float64; y arrays of the
             speakers "1" to "9". 30 series of each speaker train, 24 to 88 test.
    Raises:  MissingExtraError (an ImportError) naming the extra if neither sktime nor aeon is installed;
             FileFormatError (a ValueError) if a file is not the one that was checked.
    """
    return _read("TRAIN"), _read("TEST")


def _read(part: str) -> Part:
    """The series and labels of one file; its data lines are feature:feature:...:label, each a list over time."""
    file = _find_file(part)
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != _SHA256[part]:
        raise FileFormatError(
            f"{file}: expected the sha256 {_SHA256[part]}, got {digest}. "
            'Install the version that was checked: pip install --force-reinstall --no-deps "sktime==1.2.0"'
        )
    lines = content.decode("utf-8").split("@data\n")[1].splitlines()
    series, labels = [], []
    for line in lines:
        *features, label = line.strip().split(":")
        series.append(np.array([feature.split(",") for feature in features], np.float64).T.copy())
        labels.append(label)
    return series, np.array(labels)


def _find_file(part: str) -> Path:
    """The file inside a package, found without importing the package."""
    for package in _PACKAGES:
        spec = find_spec(package)
        for place in (None if spec is None else spec.submodule_search_locations) or []:
            file = Path(place) / "datasets" / "data" / "JapaneseVowels" / f"JapaneseVowels_{part}.ts"
            if file.is_file():
                return file
    raise MissingExtraError(
        'datasets.japanese_vowels needs the package "sktime" (or "aeon"), which is not installed. '
        'Install it with: pip install "unrolled[series]"'
    )
