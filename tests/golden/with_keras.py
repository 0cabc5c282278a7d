"""Run a case with Keras on TensorFlow: outputs, and gradients for a random cotangent of every output."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf

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

Results = dict[str, np.ndarray]


def run(case: Case, nudge: float = 0.0, dtype: str = "float32") -> Results:
    """Keras' results: y0, y1, ..., d_x (dense input), d_s0, ... (initial states), d_w0, ... (weights in order).

    nudge: added to every weight, relative; a result that jumps under a tiny nudge stands at a kink.
    """
    x, mask = draw_inputs(case)
    layers = [make_layer(spec, keras.layers, dtype) for spec in case.stack]
    x = tf.constant(x if case.vocabulary else x.astype(dtype))
    states = [tf.constant(s.astype(dtype)) for s in given_states(case)]
    forward(layers, x, mask, states)  # builds
    if case.training:
        give_factors(case, layers)
    variables = [v for layer in layers for v in layer.weights]
    for variable, value in zip(variables, draw_weights(case, [tuple(v.shape) for v in variables]), strict=True):
        variable.assign((value * np.float32(1 + nudge)).astype(dtype))
    with tf.GradientTape() as tape:
        tape.watch([*states, *([] if case.vocabulary else [x])])
        outputs = forward(layers, x, mask, states, case.training)
        cotangents = draw_cotangents(case, [tuple(y.shape) for y in outputs])
        total = tf.add_n([tf.reduce_sum(y * d_y.astype(dtype)) for y, d_y in zip(outputs, cotangents, strict=True)])
    targets = {f"d_s{i}": s for i, s in enumerate(states)} | {f"d_w{i}": v.value for i, v in enumerate(variables)}
    if not case.vocabulary:
        targets["d_x"] = x
    gradients = tape.gradient(total, targets, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    results = {f"y{i}": y for i, y in enumerate(outputs)} | gradients
    return {name: np.asarray(tf.convert_to_tensor(value), dtype) for name, value in results.items()}


def given_states(case: Case) -> list[np.ndarray]:
    first = case.stack[1 if case.vocabulary else 0]
    return draw_states(case, state_shapes(first, case.B)) if case.initial_state else []


def give_factors(case: Case, layers: list) -> None:
    """Have the cells take the case's factors where they would draw: as many masks as Keras asks for."""
    parts = [part for layer in layers for part in (getattr(layer, "forward_layer", layer), *backward_of(layer))]
    for number, layer in enumerate(part for part in parts if isinstance(part, keras.layers.RNN)):
        cell = layer.cell

        def create(step_input: tf.Tensor, rate: float, number: int = number, cell: object = cell) -> object:
            kind = "input" if rate == cell.dropout else "state"
            count = getattr(cell, "dropout_mask_count", None)
            batch, width = step_input.shape
            factors = tf.constant(draw_factors(case, number, kind, (batch, count or 1, width), rate))
            return factors[:, 0] if count is None else [factors[:, i] for i in range(count)]

        assert cell.dropout != cell.recurrent_dropout
        cell._create_dropout_mask = create


def backward_of(layer: object) -> list:
    return [layer.backward_layer] if hasattr(layer, "backward_layer") else []


def forward(layers: list, x: tf.Tensor, mask: np.ndarray | None, states: list, training: bool = False) -> list:
    """All outputs of the last layer; masks travel between layers as Keras passes them on."""
    value = tf.identity(x)
    if mask is not None:
        value._keras_mask = tf.constant(mask)
    for layer in layers:
        takes_state = states and isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional)
        if takes_state:  # Keras forgets the mask that came with x when a state comes too
            value = layer(value, initial_state=states, mask=getattr(value, "_keras_mask", None), training=training)
        else:
            value = layer(value, training=training)
        states = [] if takes_state else states
    return list(value) if isinstance(value, list | tuple) else [value]


def steady(case: Case, results: Results) -> bool:
    """Whether no result jumps when the weights move by two millionths: nothing stands at a kink."""
    nudged = [run(case, nudge) for nudge in (2e-6, -2e-6)]
    return all(
        np.abs(other[name] - value).max(initial=0) <= 2e-4 * max(np.abs(value).max(initial=0), 1e-6)
        for other in nudged
        for name, value in results.items()
    )
