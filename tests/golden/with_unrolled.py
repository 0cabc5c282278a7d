"""Run a case with `unrolled`: the same results as with_keras, through the contract of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from golden.case import (
    Case,
    draw_cotangents,
    draw_factors,
    draw_inputs,
    draw_states,
    draw_weights,
    make_layer,
    state_shapes,
)
from unrolled import layers
from unrolled.batch import Sequence
from unrolled.layers.recurrent_dropout import Factors
from unrolled.layers.values import as_array, as_value
from unrolled.parameters import Gradients, Mode

Results = dict[str, np.ndarray]


def run(case: Case, dtype: str = "float32") -> Results:
    """y0, y1, ..., d_x (dense input), d_s0, ... (initial states), d_w0, ... (weights in order)."""
    x, mask = draw_inputs(case)
    stack = [make_layer(spec, layers, dtype) for spec in case.stack]
    shape: Any = (None, *x.shape[1:])
    for layer in stack:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
    parameters = [p for layer in stack for p in layer.weights]
    for parameter, value in zip(parameters, draw_weights(case, [p.shape for p in parameters]), strict=True):
        parameter.assign(value)
    states = first_states(case, dtype)
    value = x if case.vocabulary else as_value(x.astype(dtype), mask)
    backprops = []
    if case.training:
        give_factors(case, stack)
    for layer in stack:
        given = {"initial_state": states} if states and hasattr(layer, "return_state") else {}
        value, backprop = layer.forward(value, Mode(case.training, keep=True), **given)
        backprops.append(backprop)
        states = [] if given else states
    outputs = list(value) if isinstance(value, list | tuple) else [value]
    results = {f"y{i}": np.asarray(as_array(y)) for i, y in enumerate(outputs)}
    cotangents = draw_cotangents(case, [y.shape for y in results.values()])
    d_outputs = [of_values(y, d_y.astype(dtype)) for y, d_y in zip(outputs, cotangents, strict=True)]
    return results | backward(case, backprops, d_outputs, parameters)


def give_factors(case: Case, stack: list[Any]) -> None:
    """Have the recurrent layers take the case's factors where they would draw."""
    parts = [part for layer in stack for part in (layer.sublayers or [layer])]
    for number, layer in enumerate(part for part in parts if isinstance(part, layers.Recurrent)):

        def give(
            batch: int, mode: Mode, number: int = number, layer: Any = layer, draw: Any = layer.draw_factors
        ) -> Any:
            drawn = draw(batch, mode)  # says which masks are wanted, and of which shapes
            return Factors(
                *(
                    None if f is None else draw_factors(case, number, kind, f.shape, rate).astype(f.dtype)
                    for f, kind, rate in (
                        (drawn.input, "input", layer.dropout), (drawn.state, "state", layer.recurrent_dropout),
                    )
                )
            )  # fmt: skip

        layer.draw_factors = give


def first_states(case: Case, dtype: str) -> list[np.ndarray]:
    if not case.initial_state:
        return []
    first = case.stack[1 if case.vocabulary else 0]
    return [state.astype(dtype) for state in draw_states(case, state_shapes(first, case.B))]


def of_values(y: Any, d_y: np.ndarray) -> np.ndarray:
    """The gradient of a layer's output as the layer wants it: of a Sequence, the gradient of its values."""
    return y.collect(d_y) if isinstance(y, Sequence) else d_y


def backward(case: Case, backprops: list[Any], d_outputs: list[np.ndarray], parameters: list[Any]) -> Results:
    gradients = Gradients()
    d_value: Any = d_outputs if len(d_outputs) > 1 else d_outputs[0]
    results = {}
    for backprop in reversed(backprops):
        d_value = backprop(d_value, gradients)
        if isinstance(d_value, tuple):  # the layer that was given initial states
            d_value, d_states = d_value
            results |= {f"d_s{i}": d_state for i, d_state in enumerate(d_states)}
    if not case.vocabulary:
        results["d_x"] = d_value.reshape(case.B, case.T, case.D)
    return results | {f"d_w{i}": gradients.dense(p) for i, p in enumerate(parameters)}
