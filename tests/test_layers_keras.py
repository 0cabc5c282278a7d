"""Outputs and gradients of every layer against those that Keras 3 on TensorFlow computed (golden/make_layers.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from layer_cases import cases, cotangent, weights
from unrolled import activations, layers, models
from unrolled.batch import Sequence
from unrolled.parameters import Gradients, Mode

GOLDEN = np.load(Path(__file__).parent / "golden" / "layers.npz")


# 1e-7 in float64: TensorFlow keeps some constants, such as the slope of leaky_relu, in float32.
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-7), ("float32", 1e-5)])
@pytest.mark.parametrize("name", cases(layers))
@pytest.mark.filterwarnings("ignore::unrolled.errors.PaddingWarning")
def test_layers_equal_keras(name: str, dtype: str, tolerance: float) -> None:
    x, stack = cases(layers)[name]
    for layer in stack:
        set_dtype(layer, dtype)
    model = models.Sequential(stack)
    model.build_from_data(x)
    model.set_weights(weights(name, [p.shape for p in model.weights]))
    y, backprop = model.forward(model.check_input(x), Mode(keep=True, input_gradient=False))
    array = y.to_array() if isinstance(y, Sequence) else y
    close(array, GOLDEN[f"{name}/y"], tolerance, "y")
    d_y = cotangent(name, array.shape).astype(dtype)
    gradients = Gradients()
    backprop(y.collect(d_y) if isinstance(y, Sequence) else d_y, gradients)
    for i, parameter in enumerate(model.weights):
        close(gradients.dense(parameter), GOLDEN[f"{name}/d{i}"], tolerance, parameter.path)


def set_dtype(layer: layers.Layer, dtype: str) -> None:
    layer.dtype = np.dtype(dtype)
    for inner in layer.sublayers:
        set_dtype(inner, dtype)


def close(found: np.ndarray, expected: np.ndarray, tolerance: float, what: str) -> None:
    assert found.shape == expected.shape
    assert_allclose(found, expected, rtol=0, atol=tolerance * max(np.abs(expected).max(), 1e-3), err_msg=what)


def test_every_activation_has_a_case() -> None:
    assert {name.removeprefix("dense_") for name in cases(layers) if name.startswith("dense_")} == set(
        activations.KNOWN
    )


def test_max_pooling_honours_the_mask_where_keras_does_not() -> None:
    layer = layers.GlobalMaxPooling1D()
    x = np.array([[[-1.0], [-2.0], [5.0]], [[3.0], [4.0], [9.0]]])
    mask = np.array([[True, True, False], [False, False, False]])
    assert_allclose(layer(x, mask=mask), [[-1.0], [0.0]])
    assert_allclose(layers.GlobalAveragePooling1D()(x, mask=mask), [[-1.5], [0.0]])
