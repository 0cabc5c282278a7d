"""trace.clamp("hidden"): the hidden state of units held at a value, against the reference stepped by hand."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cases import CELLS
from test_explain import WORDS, traced
from unrolled import reference
from unrolled.errors import PaddingWarning, UnknownNameError
from unrolled.inspect.trace import Trace
from unrolled.layers import GRU, LSTM, Bidirectional, Dense, Embedding, SimpleRNN
from unrolled.models import Sequential

GATED = [cell for cell in CELLS if cell != "simple_rnn"]
IDS = (1, 5, 2, 4, 3, 2)
STEPS: list[Any] = [None, 3, [2, 4], [2, 3], slice(4, None), [0, 5]]


def by_hand(trace: Trace, cell: str, units: list[int], value: float, steps: list[int]) -> tuple[Any, Any]:
    """States {name: (T, H)} and gates of the reference, a step at a time, h overwritten after the held ones."""
    layer = trace["rnn"]
    w = reference.Weights(*(p.value for p in trace.model.layers[1].weights))
    f, g = reference.ACTIVATIONS["tanh"], reference.ACTIVATIONS["sigmoid"]
    states: Any = tuple(np.zeros((1, 5)) for _ in layer.states)
    after = {name: np.zeros((len(trace), 5)) for name in layer.states}
    gates = {name: np.zeros((len(trace), 5)) for name in layer.gates}
    for t in layer.times:
        states, saved = reference.CELLS[cell].step(layer.x[t : t + 1], states, w, f, g)
        if t in steps:
            states[0][0, units] = value
        for name, state in zip(after, states, strict=True):
            after[name][t] = state[0]
        for name, values in gates.items():
            values[t] = saved[name][0]
    return after, gates


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("steps", STEPS, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_units_are_held_as_the_reference_does_by_hand(cell: str, steps: Any, go_backwards: bool) -> None:
    trace = traced(cell, IDS, go_backwards=go_backwards)
    numbers = np.arange(6)[slice(None) if steps is None else [steps] if isinstance(steps, int) else steps].tolist()
    for value in (0.7, 0.0, -1.0) + ((2.5,) if cell in GATED else ()):
        found = trace.clamp("hidden", value, units=[1, 3], steps=steps)
        after = found.after["rnn"]
        states, gates = by_hand(trace, cell, [1, 3], value, numbers)
        for name, expected in states.items():
            np.testing.assert_allclose(after.states[name], expected, rtol=0, atol=1e-12)
        for name, expected in gates.items() if cell in GATED else ():
            np.testing.assert_allclose(after.gates[name], expected, rtol=0, atol=1e-12)
        if cell in GATED:
            assert (after.h[numbers][:, [1, 3]] == value).all(), "what goes on is the value, to the bit"
        head = found.after["head"]
        logit = states["h"][after.times[-1]] @ head.kernel + head.bias  # Dense reads what was held
        np.testing.assert_allclose(found.after.logits, logit, rtol=0, atol=1e-11)
        report = found.after.verify()
        assert report.ok, str(report)
    where = "" if steps is None else f" at step{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
    assert trace.clamp("hidden", 0.5, units=3, steps=steps).what == f"rnn: hidden of units 3 held at 0.5{where}"


@pytest.mark.parametrize("cell", GATED)
def test_a_value_that_was_there_already_changes_no_bit(cell: str) -> None:
    """Stretches of one step hand on the very states of one pass."""
    trace = traced(cell, IDS)
    same = trace.clamp("hidden", float(trace["rnn"].h[2, 1]), units=1, steps=2).after
    np.testing.assert_array_equal(same.output, trace.output)
    for name, values in trace["rnn"].states.items():
        np.testing.assert_array_equal(same["rnn"].states[name], values)
    for name, values in trace["rnn"].gates.items():
        np.testing.assert_array_equal(same["rnn"].gates[name], values)


@pytest.mark.parametrize("cell", GATED)
def test_verify_finds_a_wrong_step_and_a_wrong_value(cell: str) -> None:
    held = traced(cell, IDS).clamp("hidden", 0.7, units=[1, 3], steps=[2, 4]).after
    assert held.verify().ok
    layer = held["rnn"]
    layer.states["h"][4, 3] += 1e-3  # no longer the value, and step 5 starts elsewhere
    failures = {check.what: check.where for check in held.verify().failures}
    assert "rnn: h of held units is the value" in failures
    assert "rnn: h, step by step, step 4, unit 3" in failures["rnn: h, step by step"]
    layer.states["h"][4, 3] -= 1e-3
    layer.states["h"][4, 3] = 0.7
    assert held.verify().ok
    hidden = layer.held.hidden
    layer.held = replace(layer.held, hidden=replace(hidden, computed=hidden.computed + 1e-3))
    note = "hidden of units 1, 3 was held at 0.7000, whatever the step computed."
    assert note in str(layer.step(4)) and note not in str(layer.step(3))
    (failure,) = held.verify().failures
    assert failure.what == "rnn: h of held units as computed, step by step"


def held_in(mask_zero: bool, stack: bool = True) -> Sequential:
    rng = np.random.default_rng(2)
    both = Bidirectional(LSTM(3, return_sequences=True, name="l"), name="both")
    top = [GRU(4, return_sequences=True, name="middle"), GRU(3, reset_after=False, name="top")] if stack else []
    model = Sequential([Embedding(6, 4, mask_zero=mask_zero), both, *top, Dense(2, "softmax")], name="m")
    for parameter in model.weights:
        parameter.assign(rng.normal(size=parameter.shape))
    return model


@pytest.mark.parametrize("mask_zero", [False, True])
def test_layers_above_see_the_held_value(mask_zero: bool) -> None:
    """Float32, masks, both directions, stacked layers: verify proves each step from the state that it started from."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PaddingWarning)
        trace = held_in(mask_zero).trace([0, 0, 2, 0, 4, 2, 1, 0], words=WORDS)
        for name, column in (("forward_l", 0), ("backward_l", 3), ("middle", 0), ("top", 0)):
            for steps in ("good", None):
                after = trace.clamp("hidden", 0.3, units=[0, 2], layer=name, steps=steps).after
                report = after.verify()
                assert report.ok, str(report)
                assert (after[name].h[[2, 5]][:, [0, 2]] == np.float32(0.3)).all()
                above = {"forward_l": "middle", "backward_l": "middle", "middle": "top"}.get(name)
                if above is not None:
                    read = after[above].x[[2, 5]]
                    assert (read[:, [column, column + 2]] == np.float32(0.3)).all()
                np.testing.assert_array_equal(after[name].ran, trace[name].ran)
                explained = after.explain()
                assert abs(explained.methods["integrated"].residual) < 3e-5, "gradients know what was held"
        if mask_zero:  # a masked step does not run, held or not
            nowhere = trace.clamp("hidden", 0.3, layer="top", steps=[0, 3, 7]).after
            np.testing.assert_array_equal(nowhere.output, trace.output)
            assert nowhere.verify().ok


@pytest.mark.parametrize("cell", GATED)
def test_gradients_stop_at_what_is_held(cell: str) -> None:
    """Integrated gradients add up to the change of the logit, from one step on too."""
    trace = traced(cell, IDS)
    for steps in (None, [1, 3], [5]):
        after = trace.clamp("hidden", 0.6, units=[0, 4], steps=steps).after
        found = after.attribution("integrated")
        assert abs(found.residual) < 1e-5 * max(1, abs(found.scores).max())
    after = trace.clamp("hidden", 0.6, steps=3).after  # all units: a GRU has forgotten what was before
    scores = after.attribution("integrated").scores
    assert abs(scores[4:]).max() > 1e-3
    if cell != "lstm":
        assert not scores[:4].any()


def test_an_lstm_cell_goes_on_by_its_own_equations() -> None:
    trace = traced("lstm", IDS)
    after = trace.clamp("hidden", 0.9, units=2, steps=[1]).after["rnn"]
    np.testing.assert_array_equal(after.c[:2], trace["rnn"].c[:2])
    c = after.f[2] * after.c[1] + after.i[2] * after.gate("candidate")[2]
    np.testing.assert_allclose(after.c[2], c, rtol=1e-12)
    assert (after.c[2] != trace["rnn"].c[2]).all(), "every unit reads the held one"


def test_a_whole_trace_is_held_whatever_comes_in() -> None:
    after = traced("gru_reset_after").clamp("hidden", 0.5, units=1).after
    longer = after.insert(4, "not").after
    assert longer["rnn"].h[:, 1].tolist() == [0.5] * 5
    assert longer.verify().ok
    assert after.swap(0, "bad").after["rnn"].h[:, 1].tolist() == [0.5] * 4


def test_stateful_layers_are_held_from_the_states_they_had() -> None:
    model = Sequential([Embedding(6, 3), LSTM(4, stateful=True, name="rnn"), Dense(1)])
    model.predict(np.array([[1, 2, 3]]))
    trace = model.trace([4, 5, 2])
    after = trace.clamp("hidden", 0.5, units=1, steps=1).after
    for name, start in trace["rnn"].start.items():
        np.testing.assert_array_equal(after["rnn"].start[name], start)
    np.testing.assert_array_equal(after["rnn"].h[0], trace["rnn"].h[0])
    assert after["rnn"].h[1, 1] == np.float32(0.5) and after.verify().ok


def test_ledgers_say_what_a_held_state_leaves_of_them() -> None:
    held = traced("lstm", IDS).clamp("hidden", 0.5, units=1, steps=2).after
    book = held.ledger()
    assert book.residual <= 1e-12 and abs(book.logit_residual) <= 1e-12, "c is still a sum of what was written"
    last = traced("lstm", IDS).clamp("hidden", 0.5, units=1).after.ledger()
    assert last.logit is None and last.residual <= 1e-12
    assert last.why == (
        "no share of the logit: hidden states of rnn were held at the last step, so what the cell keeps does not "
        "reach it. Use attribution('integrated')."
    )
    with pytest.raises(ValueError) as error:
        traced("gru_reset_after").clamp("hidden", 0.5).after.ledger()
    assert str(error.value) == (
        'ledger of "rnn": hidden states were held, and a GRU\'s are its memory: a value put in their place was '
        "written by no token. Use attribution('integrated'), or the ledger of the trace before."
    )


def test_the_model_and_a_simple_rnn_stay_as_they_were() -> None:
    trace = traced("lstm")
    before = trace.model.get_weights()
    found = trace.clamp("hidden", 0.5)
    assert found.before is trace and found.what == "rnn: hidden of all units held at 0.5"
    for one, two in zip(before, trace.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(trace.model.predict(trace.x[None])[0], trace.output)
    simple = Sequential([Embedding(6, 3), SimpleRNN(2, name="rnn"), Dense(1)]).trace([1, 2])
    assert simple.clamp("h", 0.5).what == "rnn: hidden of all units held at 0.5", "its one gate is its state"
    assert simple.clamp("hidden", 0.5).after.backward() is not None


WHOLE = (
    'trace of "m": {} needs states that follow from the weights, and hidden states of "rnn" were held. '
    "Use the trace before (.before of the counterfactual)."
)


@pytest.mark.parametrize(
    ("bad", "kind", "text"),
    [
        (lambda t: t.clamp("hidden", 1, units=5), IndexError,
         'trace of "rnn": there is no unit 5. It has 5: 0 to 4.'),
        (lambda t: t.clamp("hidden", 1, units=[]), IndexError, 'trace of "rnn": got no units. It has 5: 0 to 4.'),
        (lambda t: t.clamp("hidden", 1, units=1.5), TypeError,
         'trace of "rnn": expected the number of a unit, 0 to 4, got 1.5.'),
        (lambda t: t.clamp("hidden", 1, steps=4), IndexError, 'trace of "rnn": there is no step 4. It has 4: 0 to 3.'),
        (lambda t: t.clamp("hidden", np.nan), ValueError,
         'trace of "rnn": expected a finite value of float64, got nan.'),
        (lambda t: t.clamp("hidden", float("inf")), ValueError,
         'trace of "rnn": expected a finite value of float64, got inf.'),
        (lambda t: t.clamp("forget", float("inf")), ValueError,
         'trace of "rnn": expected a finite value of float64, got inf.'),
        (lambda t: t.clamp("hidden", 1, layer="head"), UnknownNameError,
         "trace of \"m\": 'head' is no recurrent layer. Recurrent: rnn."),
        (lambda t: t.clamp("cell", 1), ValueError,
         'trace of "rnn": of the states only "hidden" can be held, not "cell". '
         "To keep what an LSTM's cell has, hold its forget gate at 1 and its input gate at 0."),
        (lambda t: traced("gru_reset_after").clamp("cell", 1), ValueError,
         'trace of "rnn": of the states only "hidden" can be held, not "cell". Only an LSTM has a cell state.'),
        (lambda t: t.clamp("update", 1), UnknownNameError,
         "trace of \"rnn\": there is no gate 'update'. Gates: input (i), forget (f), candidate (c), output (o). "
         'Or "hidden", the state.'),
        (lambda t: t.clamp("hidden", 1).after.clamp("forget", 1), ValueError, WHOLE.format("clamp or ablate")),
        (lambda t: t.clamp("hidden", 1).after.backward(), ValueError, WHOLE.format("backward")),
        (lambda t: t.clamp("hidden", 1, steps=0).after.to_script(), ValueError, WHOLE.format("to_script")),
        (lambda t: t.clamp("forget", 1, steps=0).after.to_script(), ValueError,
         'trace of "m": to_script needs one set of weights for all steps, and "rnn" was held at some of them. '
         "Hold it at all steps (leave steps out)."),
    ],
)  # fmt: skip
def test_bad_requests_say_what_there_is(bad: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as error:
        bad(traced())
    assert str(error.value.args[0]) == text


def test_a_value_too_large_for_float32_is_refused() -> None:
    trace = held_in(False, stack=False).trace([1, 2])
    with pytest.raises(ValueError) as error:
        trace.clamp("hidden", 1e39, layer="backward_l")
    assert str(error.value) == 'trace of "both/backward_l": expected a finite value of float32, got 1e+39.'
