"""The third oracle: what Keras on TensorFlow computed for 92 cases, kept in golden/golden.npz and golden/dropout.npz.

float32 on both sides; 1e-5 of each tensor's largest entry leaves room for two orders of summation over a few hundred
terms, and for nothing else. The cases stand away from kinks (golden/make_golden.py).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from golden.case import Case, differences
from golden.cases import all_cases, dropout_cases
from golden.with_unrolled import run

FOLDER = Path(__file__).parent / "golden"
CASES = all_cases() + dropout_cases()


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    found = {}
    for name in ("golden", "dropout"):
        with np.load(FOLDER / f"{name}.npz") as file:
            found |= dict(file)
    return found


def kept(golden: dict[str, np.ndarray], case: Case) -> tuple[Case, dict[str, np.ndarray]]:
    prefix = f"{case.name}/"
    results = {name.removeprefix(prefix): value for name, value in golden.items() if name.startswith(prefix)}
    return replace(case, seed=int(results.pop("seed"))), results


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outputs_and_gradients_are_keras(case: Case, dtype: str, golden: dict[str, np.ndarray]) -> None:
    case, expected = kept(golden, case)
    wrong = {name: far for name, far in differences(run(case, dtype), expected).items() if far > 1e-5}
    assert not wrong, f"{case}: relative differences {wrong}"


def test_every_kept_case_is_run(golden: dict[str, np.ndarray]) -> None:
    assert {name.split("/")[0] for name in golden} - {"made with"} == {case.name for case in CASES}
