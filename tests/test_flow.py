"""Gradient flow and powers of U, against closed forms and against the gradients themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unrolled.inspect import gradient_flow, plot_flow, recurrent_powers, unrolled_terms
from unrolled.layers import LSTM, Dense, Embedding, Input, SimpleRNN
from unrolled.models import Sequential


def linear_rnn(factor: float) -> Sequential:
    model = Sequential(
        [Input((None, 2)), SimpleRNN(3, activation="linear", dtype="float64", name="rnn"), Dense(1, dtype="float64")]
    )
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    model.layers[0].recurrent_kernel.assign(factor * rotation)
    return model


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
def test_a_linear_rnn_shrinks_by_its_radius_at_every_step(factor: float) -> None:
    model = linear_rnn(factor)
    flow = gradient_flow(model, np.random.default_rng(1).normal(size=(4, 30, 2)))
    np.testing.assert_allclose(flow.share, factor ** np.arange(30), rtol=1e-10)
    assert flow.half_life() == (7 if factor == 0.9 else None)
    powers = recurrent_powers(model.layers[0], 20)
    assert powers.radius == pytest.approx(factor)
    np.testing.assert_allclose(powers.norms, factor ** np.arange(21), rtol=1e-9)
    kind = {0.9: "vanish", 1.1: "explode"}.get(factor)
    assert kind is None or f"such products {kind}" in str(powers)


def test_the_chapters_sum() -> None:
    model = linear_rnn(0.8)
    layer = model.layers[0]
    x = np.random.default_rng(2).normal(size=(5, 2))
    text = str(unrolled_terms(layer, x))
    assert [line.split("  ")[0] for line in text.splitlines()[2:7]] == [
        "W x_5", "U W x_4", "U^2 W x_3", "U^3 W x_2", "U^4 W x_1"
    ]  # fmt: skip
    layer.bias.assign(np.zeros(3))
    h = layer(x[None])[0]
    assert text.splitlines()[-1] == f"norm of the sum {np.linalg.norm(h):.4f}"


def test_flow_is_the_median_of_the_rows_without_padding() -> None:
    model = Sequential([Embedding(9, 3), LSTM(4, name="rnn"), Dense(2, "softmax")])
    x = np.array([[0, 0, 1, 2, 3], [0, 4, 5, 6, 7]])
    flow = gradient_flow(model, x, target=1)
    norms = [model.trace(row).backward(1)["rnn"].norms("h")[::-1] for row in x]
    np.testing.assert_allclose(flow.h[:3], np.median([n[:3] for n in norms], axis=0))
    np.testing.assert_array_equal(flow.rows, [2, 2, 2, 1])
    assert flow.c is not None and "|dL/dc|" in str(flow)
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert gradient_flow(model, x, np.array([0, 1])).target == "the loss"


def test_a_picture_of_flows(tmp_path: Path) -> None:
    flows = {f"U = {f}": gradient_flow(linear_rnn(f), np.ones((1, 9, 2))) for f in (0.9, 1.1)}
    figure = plot_flow(flows, tmp_path / "flow.png", "by radius")
    assert (tmp_path / "flow.png").stat().st_size > 5000
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == list(flows)


def test_powers_need_a_square_matrix() -> None:
    with pytest.raises(ValueError) as error:
        recurrent_powers(np.ones((2, 3)))
    assert str(error.value) == "recurrent_powers: expected a recurrent layer or a square matrix, got (2, 3)."
