"""trace.verify and trace.backward: every step, gradient and update derived again, and what a tampered trace shows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from cases import CELLS, make_layer
from traced_models import random_model
from unrolled.batch import Sequence
from unrolled.errors import PaddingWarning, UnknownNameError
from unrolled.inspect.verify import TOLERANCE
from unrolled.layers import GRU, LSTM, Dense, Embedding
from unrolled.layers.watch import watching
from unrolled.models import Sequential
from unrolled.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from unrolled.optimizers.base import NativeOptimizer
from unrolled.parameters import Gradients, Mode


@pytest.mark.parametrize("seed", range(200))
def test_every_step_of_a_random_trained_model_is_proved(seed: int) -> None:
    case, row = random_model(seed), seed % 4
    report = case.model.trace(case.x)[row].verify(case.y[row : row + 1])
    assert report.ok, f"{case.text}\n{report}"
    whats = " ".join(check.what for check in report.checks)
    for part in ("step by step", "backward, kernel", "step: ", "output is predict's", "alone"):
        assert part in whats
    assert all(c.tolerance in (None, 0.0, *TOLERANCE.values()) for c in report.checks)


def test_gradients_of_the_head_and_of_the_embedding_are_proved() -> None:
    _, trace = traced()
    whats = [check.what for check in trace.verify().checks]
    assert {"head: backward, kernel", "head: backward, bias"} <= set(whats)
    assert any(what.endswith("backward, embeddings") for what in whats)


@pytest.mark.parametrize("cell", CELLS)
def test_the_shared_prefix_receives_from_all_rows(cell: str, rng: np.random.Generator) -> None:
    """every_state of the native backward: a state that several rows share has the sum of their gradients."""
    layer = make_layer(cell, 5, dtype="float64", return_sequences=True)
    x = rng.normal(size=(4, 6, 3))
    for row, lead in enumerate((3, 0, 2, 5)):
        x[row, :lead] = 0
    layer.ensure_built((None, 6, 3))
    d_y = rng.normal(size=(4, 6, 5))

    def states(rows: slice) -> tuple[object, np.ndarray]:
        y, backprop = layer.forward(Sequence.from_array(x[rows]), Mode(keep=True))
        seen: list[dict[str, object]] = []
        with watching(lambda event, _, values: seen.append(values) if event == "back" else None):
            backprop(y.collect(d_y[rows]), Gradients())
        return seen[0]["ran"].plan, seen[0]["d_h"]

    plan, together = states(slice(None))
    assert plan.prefix == 5
    expected = np.zeros_like(together)
    for row in range(4):
        _, alone = states(slice(row, row + 1))
        np.add.at(expected, plan.out_index()[row], alone[1:])
    np.testing.assert_allclose(together[1:, :5], expected[1:, :5], rtol=0, atol=1e-12)
    assert not together[0].any()


def traced(cell: str = "lstm") -> tuple[Sequential, object]:
    model = Sequential([Embedding(9, 4), make_layer(cell, 5, name="rnn"), Dense(1, "sigmoid", name="head")], name="m")
    model.compile("adam", "binary_crossentropy")
    model.train_on_batch(np.array([[1, 2, 3, 4]]), np.array([1]))
    return model, model.trace([5, 6, 7, 8, 2])


@pytest.mark.parametrize("cell", CELLS)
def test_a_tampered_state_is_found_where_it_is(cell: str) -> None:
    _, trace = traced(cell)
    assert trace.verify().ok
    trace["rnn"].states["h"][2, 3] += 1e-3
    report = trace.verify()
    assert not report.ok
    assert any("h, step by step, step 2, unit 3" in check.where for check in report.failures)
    assert "FAILS" in str(report) and "step 2, unit 3" in str(report)
    with pytest.raises(AssertionError, match=r'verification of trace of "m" does not hold:(?s:.*)step 2, unit 3'):
        report.require()


@pytest.mark.parametrize("gate", ["input", "forget", "candidate", "output"])
def test_a_tampered_gate_is_found(gate: str) -> None:
    _, trace = traced()
    trace["rnn"].gate(gate)[:][4, 1] += 1e-3
    first, *others = [c.what for c in trace.verify().failures]
    assert first == f"rnn: {gate}, step by step"
    assert all("backward" in what for what in others), "whose slopes are functions of the gate"


@pytest.mark.parametrize("what", ["input", "weights", "logit", "output"])
def test_other_tampering_is_found(what: str) -> None:
    _, trace = traced()
    if what == "input":
        trace["rnn"].x = trace["rnn"].x.copy()
        trace["rnn"].x[0, 0] += 1e-3
    elif what == "weights":
        trace["rnn"].weights.recurrent_kernel[...] += 0.01  # of one entry alone a state near 0 may hide it
    elif what == "logit":
        trace["head"].z[0] += 1e-3
    else:
        trace.output = trace.output + np.float32(1e-6)
    assert not trace.verify().ok


def test_nan_does_not_pass() -> None:
    _, trace = traced()
    trace["rnn"].states["c"][1, 1] = np.nan
    assert not trace.verify().ok


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_states_are_central_differences(cell: str) -> None:
    """dL/dh_t: what the logit does when h_t is moved and the steps after it run again."""
    rng = np.random.default_rng(0)
    model = Sequential([Embedding(9, 4, dtype="float64"), make_layer(cell, 3, dtype="float64", name="rnn"),
                        Dense(2, "softmax", dtype="float64")])  # fmt: skip
    for parameter in model.weights:
        parameter.assign(rng.normal(size=parameter.shape))
    trace = model.trace([5, 6, 7, 8, 2])
    layer, back = trace["rnn"], trace.backward(1)["rnn"]
    head = model.layers[2]

    def logit(t: int, states: dict[str, np.ndarray]) -> float:
        h = states["h"]
        if t + 1 < 5:
            h = model.layers[1](layer.x[None, t + 1 :], initial_state=[s[None] for s in states.values()])[0]
        return float(h @ head.kernel.value[:, 1] + head.bias.value[1])

    for t in range(5):
        for name, found in (("h", back.d_h), *([("c", back.d_c_carried)] if cell == "lstm" else [])):
            for u in range(3):
                sides = []
                for sign in (1, -1):
                    states = {k: v[t].copy() for k, v in layer.states.items()}
                    states[name][u] += sign * 1e-6
                    sides.append(logit(t, states))
                assert found[t, u] == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-8)


def test_the_gradient_of_a_cell_state_contains_its_own_output() -> None:
    _, trace = traced()
    back, layer = trace.backward()["rnn"], trace["rnn"]
    expected = back.d_c_carried + back.d_h * layer.o * (1 - np.tanh(layer.c) ** 2)
    np.testing.assert_allclose(back.d_c, expected, rtol=1e-5)
    np.testing.assert_allclose(back.norms("c"), np.linalg.norm(back.d_c, axis=1), rtol=1e-6)


def test_parameter_gradients_are_those_of_training() -> None:
    model, trace = traced()
    back = trace.backward(y=1)
    before = [p.numpy() for p in model.weights]
    model.compile("sgd", "binary_crossentropy")
    model.optimizer.learning_rate = 1.0
    model.train_on_batch(trace.x[None], np.array([1]))
    for parameter, old in zip(model.weights, before, strict=True):
        moved = old - parameter.value
        np.testing.assert_allclose(back.parameters[parameter.path], moved, rtol=0, atol=1e-6)
    assert "rnn/kernel" in str(back) and 'backward["rnn"]' in str(back) and "|dL/dh|" in str(back["rnn"])


def test_tracing_and_going_back_change_nothing() -> None:
    model, trace = traced()
    weights, iterations = model.get_weights(), model.optimizer.iterations
    state = model.optimizer.get_state()
    trace.verify()
    for old, new in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert model.optimizer.iterations == iterations
    for key, value in model.optimizer.get_state().items():
        np.testing.assert_array_equal(value, state[key])


def test_stateful_models_are_proved_from_the_states_they_had() -> None:
    model = Sequential([Embedding(9, 3), LSTM(4, stateful=True, name="rnn"), Dense(1, "sigmoid")])
    model.predict(np.array([[1, 2], [3, 4]]), batch_size=2)
    trace = model.trace([[5, 6, 7], [8, 1, 2]])[1]
    assert np.abs(trace["rnn"].start["h"]).max() > 0
    assert trace.verify().ok
    assert model.layers[1].states[0].shape == (2, 4)


def test_the_way_back_says_which_outputs_there_are() -> None:
    model = Sequential([Embedding(9, 3), GRU(4), Dense(3, "softmax")], name="m")
    trace = model.trace([1, 2], classes=["a", "b", "c"])
    assert trace.backward("b").target == "the logit of 'b'"
    with pytest.raises(UnknownNameError) as error:
        trace.backward("d")
    assert str(error.value) == "trace of \"m\": there is no output 'd'. Outputs: 'a', 'b', 'c'."
    with pytest.raises(UnknownNameError) as cell:
        trace.backward()["gru"].norms("c")
    model = Sequential([Embedding(9, 3), GRU(4), Dense(1, "sigmoid")], name="m")
    with pytest.raises(UnknownNameError) as one:
        model.trace([1, 2], classes=["bad", "good"]).backward("great")
    assert str(one.value) == "trace of \"m\": there is no output 'great'. Outputs: 'good'."
    assert str(cell.value) == (
        f"gradient of \"{trace['gru'].path}\": there is no state 'c'. States: h; only an LSTM has c."
    )


def constants(number: int, factor: float) -> Any:
    """A rule whose constant of this number is wrong by a factor."""

    def broken(rule: Any) -> Any:
        def wrong(self: Any) -> Any:
            name, values = rule(self)
            return name, [v * factor if k == number else v for k, v in enumerate(values)]

        return wrong

    return broken


def without_decay(one_pass: Any) -> Any:
    return lambda self, work, size, decay, *others: one_pass(self, work, size, 0.0, *others)


def without_scale(clip: Any) -> Any:
    return lambda self, todo: [(p, g, s, 1.0) for p, g, s, _ in clip(self, todo)]


MUTANTS: dict[str, tuple[Any, type, str, Any]] = {
    "adam: ten times epsilon": (Adam, Adam, "rule", constants(2, 10.0)),
    "adam: another beta_2": (Adam, Adam, "rule", constants(1, 1.01)),
    "adam: no correction for the start": (
        Adam,
        Adam,
        "step_size",
        lambda _: lambda self, rate, kind: rate,
    ),
    "amsgrad: ten times epsilon": (lambda r: Adam(r, amsgrad=True), Adam, "rule", constants(2, 10.0)),
    "adamw: no decay": (AdamW, NativeOptimizer, "_pass", without_decay),
    "adam: no clipping": (lambda r: Adam(r, clipnorm=1e-3), Optimizer, "_clip", without_scale),
    "rmsprop: a thousand times epsilon": (RMSprop, RMSprop, "rule", constants(2, 1e3)),
    "rmsprop: another rho": (RMSprop, RMSprop, "rule", constants(0, 0.999)),
    "rmsprop: another 1 - rho": (lambda r: RMSprop(r, centered=True), RMSprop, "rule", constants(1, 1.001)),
    "sgd: another momentum": (lambda r: SGD(r, momentum=0.9), SGD, "rule", constants(0, 1.001)),
    "nesterov: another momentum": (lambda r: SGD(r, momentum=0.9, nesterov=True), SGD, "rule", constants(0, 1.001)),
}


@pytest.mark.parametrize("rate", [1e-2, 1e-9], ids=["usual steps", "steps below the weights' last digit"])
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_optimizer_is_found(mutant: str, rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    make, owner, method, broken = MUTANTS[mutant]
    if "decay" in mutant and rate < 1e-6:
        return  # what such a decay takes off is less than the weights' last digit
    model, _ = traced()
    model.compile(make(rate), "binary_crossentropy")
    for _ in range(2):
        model.train_on_batch(np.array([[1, 2, 3, 4]]), np.array([1]))
    trace = model.trace([5, 6, 7, 8, 2])
    assert trace.verify().ok
    monkeypatch.setattr(owner, method, broken(getattr(owner, method)))
    report = trace.verify()
    assert not report.ok
    assert all(" step: " in check.what for check in report.failures)


def test_an_update_of_the_wrong_weights_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step may be right where it starts from zero, and still be added where it should be taken off."""
    model, _ = traced()
    model.compile(SGD(1e-2), "binary_crossentropy")
    trace, one_pass = model.trace([5, 6, 7, 8, 2]), NativeOptimizer._pass

    def wrong(self: Any, work: Any, size: float, *more: Any) -> Any:
        return one_pass(self, work, size if not any(p.now().any() for p, *_ in work) else -size, *more)

    monkeypatch.setattr(NativeOptimizer, "_pass", wrong)
    assert {check.what.rpartition(", ")[2] for check in trace.verify().failures} == {"in place", "new weights"}


def test_masked_rows_and_padding_are_proved() -> None:
    for mask_zero in (False, True):
        model = Sequential([Embedding(9, 3, mask_zero=mask_zero), LSTM(4, return_sequences=True), GRU(3), Dense(2)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PaddingWarning)
            for ids in ([0, 0, 1, 2], [1, 0, 2, 0], [0, 0, 0, 0]):
                assert model.trace(ids).verify().ok, (mask_zero, ids)
