"""Metrics against the values that Keras 3 on TensorFlow gives, after each of three batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from metric_cases import CASES, results
from unrolled import metrics

FOUND = results(metrics)


@pytest.mark.parametrize("name", CASES)
def test_results_are_keras(name: str) -> None:
    with np.load(Path(__file__).parent / "golden" / "metrics.npz") as expected:
        for number in range(3):
            # Keras adds up in float32, we in float64.
            assert_allclose(FOUND[f"{name}/{number}"], expected[f"{name}/{number}"], rtol=2e-6, atol=1e-7)
