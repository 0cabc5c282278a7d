"""Section: a recurrent network is a loop. The forward pass in NumPy, and the LSTM told as a carry track."""

from __future__ import annotations

import numpy as np

from unrolled import from_scratch
from unrolled.chapter.blocks import Code, Figure, Figures, Row, Section, Table, Text
from unrolled.layers import SimpleRNN

KEY, TITLE = "loop", "A recurrent network is a loop"
FORWARD_PASS = """\
state_t = np.zeros(output_features)
for input_t in inputs:                       # 100 steps of 32 features
    output_t = np.tanh(np.dot(W, input_t) + np.dot(U, state_t) + b)
    successive_outputs.append(output_t)      # 64 features
    state_t = output_t                       # the output is the next state"""
CARRY_TRACK = """\
output_t = activation(dot(state_t, Uo) + dot(input_t, Wo) + dot(c_t, Vo) + bo)
i_t = activation(dot(state_t, Ui) + dot(input_t, Wi) + bi)      # f_t and k_t: their own U, W, b
c_t = i_t * k_t + c_t * f_t"""


def run(figures: Figures, seed: int) -> Section:
    """100 steps, 32 inputs, 64 units, uniform numbers; held against the layer of the library."""
    section = Section(KEY, TITLE)
    example = from_scratch.forward_pass_example(seed=seed)
    stacked = from_scratch.simple_rnn_forward_pass(*example)
    joined = from_scratch.simple_rnn_forward_pass(*example, concatenate=True)
    weights = from_scratch.CarryTrackWeights.draw(features=32, units=64, seed=seed)
    outputs, carries = from_scratch.carry_track_forward_pass(example.inputs, weights)

    def here(name: str, value: object, form: str = "") -> Figure:
        return figures.here(f"loop/{name}", value, form)

    rows: list[Row] = [
        ["outputs, stacked", "(100, 64)", here("stacked", stacked.shape)],
        ["outputs, joined end to end", "(6400,)", here("joined", joined.shape)],
        ["smallest and greatest entry of the last output", "–", f"{stacked[-1].min():.6f} to {stacked[-1].max():.6f}"],
        ["greatest difference from the layer `SimpleRNN(64)`", "–", here("difference", _difference(seed), ".1e")],
        ["carry track: outputs and carries", "–", f"{outputs.shape} and {carries.shape}"],
    ]
    section.add(
        Text(
            "Each step takes the input of that step and the output of the step before. Only the last output has seen "
            "the whole sequence. The weights are drawn from [0, 1), as in the chapter, so every sum is large and tanh "
            "sends it to 1; the comparison with the layer uses small weights of both signs instead."
        ),
        Code(FORWARD_PASS, "The loop; from_scratch.simple_rnn_forward_pass"),
        Table("The forward pass", ["", "in the chapter", "here"], [("", rows)]),
        Text(
            "The chapter then tells the LSTM as the same cell with a second track, the carry, that runs beside it. "
            "It is a picture, not the cell that Keras computes: there the gates i and f are sigmoids, and the output "
            "reads the new carry through an output gate, o * tanh(c)."
        ),
        Code(CARRY_TRACK, "The carry track; from_scratch.carry_track_forward_pass"),
    )
    section.glance = [["The forward pass in NumPy", "(100, 64)", str(stacked.shape)]]
    return section


def _difference(seed: int) -> float:
    """The loop's outputs against the layer's, float64, weights small enough that no tanh is at its end."""
    random = np.random.default_rng(seed)
    inputs, W, U, b = (random.normal(size=shape) * 0.1 for shape in ((100, 32), (64, 32), (64, 64), (64,)))
    layer = SimpleRNN(64, return_sequences=True, dtype="float64", input_shape=(100, 32))
    layer(np.zeros((1, 100, 32)))
    layer.set_weights([W.T, U.T, b])
    by_hand = from_scratch.simple_rnn_forward_pass(inputs, W, U, b)
    return float(np.abs(np.asarray(layer(inputs[None]))[0] - by_hand).max())
