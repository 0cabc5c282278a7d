"""The chapter's NumPy forward pass and its carry-track cell, and how both stand to the layers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from unrolled import from_scratch, reference
from unrolled.errors import ShapeError


def test_forward_pass_of_100_steps() -> None:
    example = from_scratch.forward_pass_example(seed=0)
    assert [a.shape for a in example] == [(100, 32), (64, 32), (64, 64), (64,)]
    assert min(a.min() for a in example) >= 0 and max(a.max() for a in example) < 1
    stacked = from_scratch.simple_rnn_forward_pass(*example)
    joined = from_scratch.simple_rnn_forward_pass(*example, concatenate=True)
    assert (stacked.shape, joined.shape) == ((100, 64), (6400,))
    assert_array_equal(joined, np.concatenate(list(stacked)))
    assert_allclose(stacked[0], np.tanh(example.W @ example.inputs[0] + example.b), rtol=1e-15)


def test_forward_pass_is_the_simple_rnn_layer(rng: np.random.Generator) -> None:
    # Uniform weights saturate every tanh at 1; small ones of both signs show each term.
    inputs, W, U, b = (rng.normal(size=s) * 0.3 for s in ((7, 3), (5, 3), (5, 5), (5,)))
    run = reference.forward("simple_rnn", inputs[None], [W.T, U.T, b])
    got = from_scratch.simple_rnn_forward_pass(inputs, W, U, b)
    assert_allclose(got, run.outputs[0], rtol=0, atol=1e-15)


def test_forward_pass_says_which_shapes_it_wants() -> None:
    with pytest.raises(ShapeError) as caught:
        from_scratch.simple_rnn_forward_pass(np.ones((4, 3)), np.ones((3, 5)), np.ones((5, 5)), np.ones(5))
    assert str(caught.value) == ("expected W (H, 3), U (H, H) and b (H,) with one H, got (3, 5), (5, 5) and (5,).")
    with pytest.raises(ShapeError) as caught:
        from_scratch.simple_rnn_forward_pass(np.ones(4), np.ones((3, 5)), np.ones((5, 5)), np.ones(5))
    assert str(caught.value) == "inputs: expected 2 axes (steps, features), got shape (4,)."


def test_carry_track_by_hand() -> None:
    numbers = [0.3, -0.2, 0.7, 0.1, 0.5, 0.4, -0.6, -0.3, 0.8, 0.2, 0.9, -0.5, 0.05]
    square = [np.array([[v]]) for v in numbers]
    Wo, Uo, Vo, bo, Wi, Ui, bi, Wf, Uf, bf, Wk, Uk, bk = numbers
    w = from_scratch.CarryTrackWeights(*square)
    w = replace(w, **{name: getattr(w, name)[0] for name in ("bo", "bi", "bf", "bk")})
    outputs, carries = from_scratch.carry_track_forward_pass([[3.0], [1.0]], w)
    state = carry = 0.0
    for t, x in enumerate((3.0, 1.0)):
        output = math.tanh(state * Uo + x * Wo + carry * Vo + bo)
        i, f, k = (math.tanh(state * u + x * v + b) for u, v, b in ((Ui, Wi, bi), (Uf, Wf, bf), (Uk, Wk, bk)))
        state, carry = output, i * k + carry * f
        assert (outputs[t, 0], carries[t, 0]) == pytest.approx((state, carry), rel=1e-14)


def test_the_carry_reaches_the_output_one_step_late() -> None:
    """What the docstring says against the LSTM: the output reads the old carry, and reads it through Vo."""
    w = from_scratch.CarryTrackWeights.draw(features=3, units=4, seed=1)
    inputs = np.random.default_rng(2).normal(size=(3, 3))
    outputs, carries = from_scratch.carry_track_forward_pass(inputs, w)
    assert (outputs.shape, carries.shape) == ((3, 4), (3, 4))
    blind, same_carries = from_scratch.carry_track_forward_pass(inputs, replace(w, Vo=np.zeros((4, 4))))
    assert_array_equal(outputs[0], blind[0])  # the first carry is zero
    assert_array_equal(carries[0], same_carries[0])
    assert np.abs(outputs[1] - blind[1]).max() > 1e-3
    lstm_weights = [np.concatenate([getattr(w, n + g) for g in "ifko"], axis=-1) for n in "WUb"]
    lstm = reference.forward("lstm", inputs[None], lstm_weights)
    assert np.abs(lstm.outputs[0] - outputs).max() > 1e-2


def test_carry_of_sigmoids_is_never_negative() -> None:
    w = from_scratch.CarryTrackWeights.draw(features=2, units=8, seed=3)
    inputs = np.random.default_rng(4).normal(size=(50, 2))
    assert from_scratch.carry_track_forward_pass(inputs, w, "sigmoid")[1].min() > 0
    assert from_scratch.carry_track_forward_pass(inputs, w, "tanh")[1].min() < 0
