"""The engine's map x W + b and its way back, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest

from cases import threads
from unrolled import engine

# rows, features, units: one vector and less, parts of the rows, weights that stay near and those that do not
SHAPES = [(1, 1, 1), (7, 3, 5), (130, 32, 1), (700, 40, 33), (300, 300, 500)]


def arrays(n, features, units, dtype):
    random = np.random.default_rng(n)
    return [random.standard_normal(s).astype(dtype) for s in ((n, features), (features, units), (units,), (n, units))]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float64, 1e-13)])
def test_forward_and_backward_are_the_products_that_they_stand_for(shape, dtype, tolerance):
    x, kernel, bias, d_z = arrays(*shape, dtype)
    wide = [a.astype(np.float64) for a in (x, kernel, bias, d_z)]

    def close(ours, expected):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance * np.abs(expected).max())

    close(engine.dense(x, kernel, bias), wide[0] @ wide[1] + wide[2])
    close(engine.dense(x, kernel, None), wide[0] @ wide[1])
    d_kernel, d_bias, d_x = engine.dense_backward(x, kernel, d_z, True, True)
    close(d_kernel, wide[0].T @ wide[3])
    close(d_bias, wide[3].sum(axis=0))
    close(d_x, wide[3] @ wide[1].T)


@pytest.mark.parametrize("shape", SHAPES[2:], ids=str)
def test_bits_do_not_depend_on_threads_nor_on_the_other_rows(shape):
    x, kernel, bias, d_z = arrays(*shape, np.float32)
    found = []
    for count in (1, 2, 4):
        with threads(count):
            found.append([engine.dense(x, kernel, bias), *engine.dense_backward(x, kernel, d_z, True, True)])
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))
    assert np.array_equal(engine.dense(x[5:6], kernel, bias), found[0][0][5:6])


def test_steps_of_sequences_and_rows_that_stand_apart():
    x, kernel, bias, d_z = arrays(24, 6, 3, np.float32)
    expected = engine.dense(x, kernel, bias)
    assert np.array_equal(engine.dense(x.reshape(4, 6, 6), kernel, bias), expected.reshape(4, 6, 3))
    apart = np.zeros((24, 9), np.float32)
    apart[:, :6] = x
    assert np.array_equal(engine.dense(apart[:, :6], kernel, bias), expected)
    d_kernel, d_bias, d_x = engine.dense_backward(x.reshape(4, 6, 6), kernel, d_z.reshape(4, 6, 3), True, True)
    assert d_x.shape == (4, 6, 6)
    for got, want in zip(
        (d_kernel, d_bias), engine.dense_backward(apart[:, :6], kernel, d_z, True, True), strict=False
    ):
        assert np.array_equal(got, want)
    assert engine.dense_backward(x, kernel, d_z, True, False)[2] is None
    assert engine.dense_backward(x, kernel, d_z, False, True)[0].shape == (0, 3)
