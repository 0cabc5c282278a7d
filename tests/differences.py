"""Central differences through a layer, for whatever goes in and comes out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from unrolled.batch import Sequence
from unrolled.layers import Layer
from unrolled.parameters import Gradients, Mode

STEP = 1e-5
TOLERANCE = 1e-7  # of each tensor's largest entry: what float64 and a second-order difference leave


def parts(y: Any) -> list[Any]:
    return list(y) if isinstance(y, tuple | list) else [y]


def as_array(y: Any) -> np.ndarray:
    return y.to_array() if isinstance(y, Sequence) else y


def check_gradients(layer: Layer, x: Any, rng: np.random.Generator, training: bool = False) -> None:
    """Compare backprop with central differences for every weight and for x, all in float64."""
    layer.ensure_built((None, *x.shape[1:]))
    for parameter in layer.weights:
        parameter.assign(rng.normal(scale=0.7, size=parameter.shape))

    def run(value: Any, keep: bool = False) -> tuple[Any, Any]:
        return layer.forward(value, Mode(training, keep, np.random.default_rng(5)))

    y, backprop = run(x, keep=True)
    weight = [rng.normal(size=as_array(part).shape) for part in parts(y)]

    def total(value: Any) -> float:
        return sum(float((as_array(p) * w).sum()) for p, w in zip(parts(run(value)[0]), weight, strict=True))

    d_y = [p.collect(w) if isinstance(p, Sequence) else w for p, w in zip(parts(y), weight, strict=True)]
    gradients = Gradients()
    d_x = backprop(tuple(d_y) if isinstance(y, tuple | list) else d_y[0], gradients)
    for parameter in layer.weights:
        expected = differences(lambda: total(x), parameter.value)
        assert_close(gradients.dense(parameter), expected, parameter.path)
    if d_x is None:
        return
    values = np.array(x.values if isinstance(x, Sequence) else x)
    moving = replace(x, table=values, rows=None) if isinstance(x, Sequence) else values
    assert_close(d_x, differences(lambda: total(moving), values), "x")


def differences(f: Any, value: np.ndarray) -> np.ndarray:
    found = np.zeros_like(value)
    for i in np.ndindex(value.shape):
        kept = value[i]
        value[i] = kept + STEP
        above = f()
        value[i] = kept - STEP
        below = f()
        value[i] = kept
        found[i] = (above - below) / (2 * STEP)
    return found


def assert_close(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    assert found.shape == expected.shape, (what, found.shape, expected.shape)
    scale = max(1e-3, np.abs(expected).max(initial=0))
    worst = np.abs(found - expected).max(initial=0) / scale
    assert worst < TOLERANCE, f"{what}: off by {worst:.1e} of the largest entry"


def random_sequence(kind: str, rng: np.random.Generator, shape: tuple[int, int, int] = (4, 5, 3)) -> Sequence:
    """One of: expanded, shared rows, a table with rows, masked (ragged, one row without any step)."""
    batch, steps, features = shape
    if kind == "expanded":
        table = rng.normal(size=(batch * steps, features))
        return Sequence(table=table, index=np.arange(batch * steps, dtype=np.int32).reshape(batch, steps))
    index = rng.integers(0, 6, (batch, steps)).astype(np.int32)
    index.reshape(-1)[:6] = np.arange(6)
    mask = None
    if kind == "masked":
        mask = rng.random((batch, steps)) < 0.6
        mask[0] = False
        mask[1] = True
    if kind == "rows":
        rows = np.array([8, 1, 5, 0, 7, 3], np.int32)
        return Sequence(table=rng.normal(size=(9, features)), rows=rows, index=index)
    return Sequence(table=rng.normal(size=(6, features)), index=index, mask=mask)
