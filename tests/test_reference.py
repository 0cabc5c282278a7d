"""The reference cells against central differences, hand-worked numbers, Keras' numbers, and the printed toys."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from unrolled import reference
from unrolled.errors import ShapeError

GOLDEN = json.loads((Path(__file__).parent / "golden" / "reference.json").read_text())
RECORDED = json.loads((Path(reference.__file__).parent / "datasets" / "recorded.json").read_text())
CELLS = list(reference.CELLS)
SMOOTH = [("tanh", "sigmoid"), ("sigmoid", "tanh"), ("softsign", "linear"), ("linear", "softsign")]
KINKED = [("relu", "hard_sigmoid"), ("hard_sigmoid", "relu")]
FORMS = [  # (B, T, D, H), bias, masked, go_backwards
    ((1, 1, 1, 1), True, False, False),
    ((3, 4, 2, 3), True, True, False),
    ((2, 3, 1, 2), False, True, True),
]


def draw_case(
    cell: str,
    sizes: tuple[int, int, int, int],
    rng: np.random.Generator,
    bias: bool = True,
    masked: bool = False,
) -> dict[str, Any]:
    """Arguments of `forward`: distinct weights, non-zero initial states, a ragged mask."""
    batch, steps, features, units = sizes
    kind = reference.CELLS[cell]
    width = units * len(kind.gates)
    bias_shape = (width,) if kind.bias_rows == 1 else (kind.bias_rows, width)
    case: dict[str, Any] = {
        "x": rng.normal(size=(batch, steps, features)),
        "weights": [rng.normal(size=s) * 0.6 for s in ((features, width), (units, width), bias_shape)],
        "mask": rng.random((batch, steps)) < 0.6 if masked else None,
    }
    if not bias:
        case["weights"][2] = None
    for name in kind.states:
        case[f"{name}0"] = rng.normal(size=(batch, units))
    return case


def scalar_loss(run: reference.Run, d: dict[str, np.ndarray]) -> float:
    """A loss that touches everything `forward` returns, each entry with a weight of its own."""
    total = (run.outputs * d["d_outputs"]).sum() + (run.last * d["d_last"]).sum() + (run.h * d["d_h"]).sum()
    return float(total + ((run.c * d["d_c"]).sum() if run.c is not None else 0))


def central_difference(cell: str, case: dict[str, Any], d: dict[str, Any], array: np.ndarray, **how: Any) -> Any:
    """d loss / d array, entry by entry; the error is of order step squared, 1e-10."""
    gradient, step = np.zeros_like(array), 1e-5
    for position in np.ndindex(array.shape):
        value, sides = array[position], []
        for shift in (step, -step):
            array[position] = value + shift
            sides.append(scalar_loss(reference.forward(cell, **case, **how), d))
        array[position] = value
        gradient[position] = (sides[0] - sides[1]) / (2 * step)
    return gradient


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("activations", SMOOTH + KINKED)
@pytest.mark.parametrize("form", FORMS)
def test_backward_is_the_slope_of_forward(
    cell: str, activations: tuple[str, str], form: tuple[Any, ...], rng: np.random.Generator
) -> None:
    # A kink (relu at 0, hard_sigmoid at -3 and 3) within a step of a value is a chance of about 1e-5 a number,
    # and the seed is fixed: these cases are away from all of them.
    sizes, bias, masked, go_backwards = form
    how: dict[str, Any] = dict(zip(("activation", "recurrent_activation"), activations, strict=True))
    how |= {"go_backwards": go_backwards}
    case = draw_case(cell, sizes, rng, bias, masked)
    run = reference.forward(cell, **case, **how)
    d = {name: rng.normal(size=run.outputs.shape) for name in ("d_outputs",)}
    d |= {name: rng.normal(size=run.h.shape) for name in ("d_last", "d_h", "d_c")}
    given = d if run.c is not None else {k: v for k, v in d.items() if k != "d_c"}
    gradients = reference.backward(run, **given)
    arrays = {"d_x": case["x"]} | {f"d_{s}0": case[f"{s}0"] for s in run.cell.states}
    arrays |= {f"d_{n}": w for n, w in zip(reference.Weights._fields, case["weights"], strict=True) if w is not None}
    assert set(gradients) == set(arrays)
    for name, array in arrays.items():
        expected = central_difference(cell, case, d, array, **how)
        scale = max(np.abs(expected).max(), 1e-3)
        assert_allclose(gradients[name], expected, rtol=0, atol=1e-7 * scale, err_msg=name)


def wave(*shape: int, phase: float) -> np.ndarray:
    """Distinct numbers in (-1, 1) by a formula."""
    return np.sin(1.7 * np.arange(math.prod(shape)) + phase).reshape(shape)


def golden_case(cell: str) -> tuple[reference.Run, dict[str, np.ndarray]]:
    """Two rows of three steps, one masked in front and one inside; the same numbers that Keras was given."""
    kind, (batch, steps, features, units) = reference.CELLS[cell], (2, 3, 2, 2)
    width = units * len(kind.gates)
    bias_shape = (width,) if kind.bias_rows == 1 else (2, width)
    shapes = ((features, width), (units, width), bias_shape)
    run = reference.forward(
        cell,
        wave(batch, steps, features, phase=0.3),
        [wave(*shape, phase=phase) for shape, phase in zip(shapes, (0.1, 0.9, 2.2), strict=True)],
        h0=wave(batch, units, phase=0.5),
        c0=wave(batch, units, phase=1.3) if "c" in kind.states else None,
        mask=np.array([[0, 1, 1], [1, 0, 1]]),
    )
    d_c = wave(batch, units, phase=2.9) if run.c is not None else None
    d_outputs = wave(batch, steps, units, phase=0.7)
    gradients = reference.backward(run, d_outputs, d_h=wave(batch, units, phase=1.9), d_c=d_c)
    return run, gradients


@pytest.mark.parametrize("cell", CELLS)
def test_values_and_gradients_of_keras(cell: str) -> None:
    run, gradients = golden_case(cell)
    computed = {"outputs": run.outputs, "h": run.h} | ({} if run.c is None else {"c": run.c}) | gradients
    assert set(computed) == set(GOLDEN[cell])
    for name, values in GOLDEN[cell].items():  # twelve digits are written down, all values are below 2
        assert_allclose(computed[name].reshape(-1), values, rtol=0, atol=5.1e-12, err_msg=name)


def test_simple_rnn_by_hand() -> None:
    run = reference.forward("simple_rnn", [[[3.0], [1.0]]], [[[0.5]], [[0.25]], [-1.0]])
    first = math.tanh(3 * 0.5 - 1)
    second = math.tanh(1 * 0.5 + first * 0.25 - 1)
    assert_allclose(run.outputs[0, :, 0], [first, second], rtol=1e-15)
    assert first == pytest.approx(0.46211715726)


def test_lstm_by_hand() -> None:
    # One unit; every gate has its own numbers, so that no two may be swapped.
    kernel, recurrent, bias = [[1.0, 2.0, 3.0, 4.0]], [[0.1, 0.2, 0.3, 0.4]], [0.0, -1.0, 0.5, -2.0]
    run = reference.forward("lstm", [[[0.5]]], [kernel, recurrent, bias], h0=[[1.0]], c0=[[2.0]])
    i, f, o = (1 / (1 + math.exp(-z)) for z in (0.5 + 0.1, 1.0 + 0.2 - 1, 2.0 + 0.4 - 2))
    candidate = math.tanh(1.5 + 0.3 + 0.5)
    c = f * 2.0 + i * candidate
    got = {name: gate[0, 0, 0] for name, gate in run.gates.items()}
    assert got == pytest.approx({"input": i, "forget": f, "candidate": candidate, "output": o}, rel=1e-14)
    assert (run.c[0, 0], run.h[0, 0]) == pytest.approx((c, o * math.tanh(c)), rel=1e-14)


@pytest.mark.parametrize("reset_after", [False, True])
def test_gru_by_hand(reset_after: bool) -> None:
    kernel, recurrent = [[1.0, -2.0, 3.0]], [[0.1, 0.2, 0.3]]
    bias = [[0.5, 0.6, 0.7], [0.01, 0.02, 0.03]]
    cell = "gru_reset_after" if reset_after else "gru_reset_before"
    run = reference.forward(cell, [[[0.5]]], [kernel, recurrent, bias if reset_after else bias[0]], h0=[[2.0]])
    extra = [0.01, 0.02, 0.03] if reset_after else [0.0, 0.0, 0.0]
    update, reset = (1 / (1 + math.exp(-z)) for z in (0.5 + 0.5 + 0.2 + extra[0], -1.0 + 0.6 + 0.4 + extra[1]))
    candidate = math.tanh(1.5 + 0.7 + (reset * (2.0 * 0.3 + extra[2]) if reset_after else reset * 2.0 * 0.3))
    got = {name: gate[0, 0, 0] for name, gate in run.gates.items()}
    assert got == pytest.approx({"update": update, "reset": reset, "candidate": candidate}, rel=1e-14)
    assert run.h[0, 0] == pytest.approx(update * 2.0 + (1 - update) * candidate, rel=1e-14)


@pytest.mark.parametrize("cell", CELLS)
def test_masked_steps_keep_the_state_and_repeat_the_output(cell: str, rng: np.random.Generator) -> None:
    case = draw_case(cell, (3, 4, 2, 3), rng)
    case["mask"] = np.array([[0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    case["x"][0, 0] = np.nan  # a masked step is not computed, so that nothing in it can spread
    run = reference.forward(cell, **case)
    assert run.row_steps == 6
    assert_array_equal(run.outputs[0, 0], 0)  # nothing ran yet, though the initial state is not zero
    assert_array_equal(run.outputs[0, 2], run.outputs[0, 1])
    assert_array_equal(run.states["h"][0, 0], case["h0"][0])
    assert_array_equal(run.last[1], 0)
    assert_array_equal(run.h[1], case["h0"][1])
    assert all(np.isnan(gate[~case["mask"]]).all() for gate in run.gates.values())
    short = {k: (v[:1, [1, 3]] if k in ("x", "mask") else v[:1] if k != "weights" else v) for k, v in case.items()}
    assert_allclose(run.h[:1], reference.forward(cell, **short).h, rtol=0, atol=1e-15)
    gradients = reference.backward(run, np.ones_like(run.outputs))
    assert_array_equal(gradients["d_x"][~case["mask"]], 0)
    assert_array_equal(gradients["d_h0"][1], 0)  # the zeros of a fully masked row depend on nothing


@pytest.mark.parametrize("cell", CELLS)
def test_go_backwards_is_forward_on_reversed_time(cell: str, rng: np.random.Generator) -> None:
    case = draw_case(cell, (3, 5, 2, 3), rng, masked=True)
    run = reference.forward(cell, **case, go_backwards=True)
    turned = case | {"x": case["x"][:, ::-1], "mask": case["mask"][:, ::-1]}
    expected = reference.forward(cell, **turned)
    assert_array_equal(run.outputs, expected.outputs)
    d = rng.normal(size=run.outputs.shape)
    assert_array_equal(reference.backward(run, d)["d_x"], reference.backward(expected, d)["d_x"][:, ::-1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cell", CELLS)
def test_float_type_follows_x(cell: str, dtype: type, rng: np.random.Generator) -> None:
    case = draw_case(cell, (2, 3, 2, 3), rng)
    for activation in reference.ACTIVATIONS:
        run = reference.forward(
            cell,
            **case | {"x": case["x"].astype(dtype)},
            activation=activation,
            recurrent_activation=activation,
        )
        arrays = [run.outputs, run.h, *run.gates.values(), *reference.backward(run, run.outputs).values()]
        assert {a.dtype for a in arrays} == {np.dtype(dtype)}


def test_no_steps_returns_the_initial_state() -> None:
    run = reference.forward("lstm", np.zeros((2, 0, 3)), [np.ones((3, 4)), np.ones((1, 4))], h0=[[1.0], [2.0]])
    assert_array_equal(run.h, [[1.0], [2.0]])
    assert_array_equal(run.last, np.zeros((2, 1)))


def test_activations_do_not_overflow_and_keep_nan() -> None:
    z = np.array([-1e4, -745.0, 0.0, 745.0, 1e4, np.nan])
    with np.errstate(all="raise", under="ignore"):
        assert_array_equal(reference.sigmoid(z)[[0, 2, 4, 5]], [0.0, 0.5, 1.0, np.nan])
    assert_allclose(reference.hard_sigmoid(np.array([-4.0, -3.0, 0.0, 1.5, 3.0, 9.0])), [0, 0, 0.5, 0.75, 1, 1])
    for name, activation in reference.ACTIVATIONS.items():
        assert np.isnan(activation.function(z)[-1]), name


@pytest.mark.parametrize(("toy", "cell"), [("SimpleRNN", "simple_rnn"), ("LSTM", "lstm")])
def test_toys_of_the_cookbook(toy: str, cell: str) -> None:
    """The printed weights give the printed prediction; both are printed with eight digits of float32."""
    toys, printed = RECORDED["toys"], RECORDED["toys"][toy]
    x = np.array(toys["input"], float).reshape(1, 2, 1)
    run = reference.forward(cell, x, [printed[name] for name in ("kernel", "recurrent_kernel", "bias")])
    prediction = reference.softmax(run.last @ np.array(printed["dense_kernel"]) + printed["dense_bias"])
    assert_allclose(prediction[0], printed["prediction"], rtol=0, atol=2e-7)


def test_errors_say_what_came(rng: np.random.Generator) -> None:
    case = draw_case("lstm", (2, 3, 4, 5), rng)
    names = "simple_rnn, lstm, gru_reset_before, gru_reset_after"
    cases: list[tuple[type[Exception], str, str, dict[str, Any]]] = [
        (ValueError, f"cell: expected one of {names}, got 'gru'.", "gru", {}),
        (
            ValueError,
            "activation: expected one of tanh, sigmoid, relu, linear, hard_sigmoid, softsign, got 'tan'.",
            "lstm",
            {"activation": "tan"},
        ),
        (
            ShapeError,
            "lstm: expected x with 3 axes (batch, time, features), got shape (2, 3).",
            "lstm",
            {"x": np.zeros((2, 3))},
        ),
        (
            ShapeError,
            "lstm: expected kernel with shape (3, 20), got (4, 20).",
            "lstm",
            {"x": np.zeros((2, 3, 3))},
        ),
        (
            ShapeError,
            "lstm: expected mask with shape (2, 3), got (3, 2).",
            "lstm",
            {"mask": np.ones((3, 2))},
        ),
        (ShapeError, "h0: expected shape (2, 5), got (2, 4).", "lstm", {"h0": np.zeros((2, 4))}),
    ]
    for kind, text, cell, change in cases:
        with pytest.raises(kind) as caught:
            reference.forward(cell, **case | change)
        assert str(caught.value) == text
    with pytest.raises(ValueError, match=r"^simple_rnn: got c0, but only the LSTM has a cell state\.$"):
        reference.forward("simple_rnn", np.zeros((1, 1, 1)), [[[1.0]], [[1.0]]], c0=[[1.0]])
    run = reference.forward("simple_rnn", np.zeros((1, 1, 1)), [[[1.0]], [[1.0]]])
    with pytest.raises(ValueError, match=r"^backward: got d_c, but only the LSTM has a cell state\.$"):
        reference.backward(run, d_c=[[1.0]])
    with pytest.raises(ShapeError) as caught_shape:
        reference.backward(reference.forward("lstm", **case), np.zeros((2, 3, 4)))
    assert str(caught_shape.value) == "d_outputs: expected shape (2, 3, 5), got (2, 3, 4)."
