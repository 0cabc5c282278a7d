"""Ledger, attribution and counterfactuals: exact sums, completeness, and what really runs again."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from cases import CELLS, make_layer
from traced_models import random_model
from unrolled import reference
from unrolled.errors import PaddingWarning, ShapeError, UnknownNameError
from unrolled.inspect.attribution import METHODS
from unrolled.inspect.trace import Trace
from unrolled.inspect.verify import TOLERANCE
from unrolled.layers import GRU, LSTM, Bidirectional, Dense, Embedding, Input, Masking, SimpleRNN
from unrolled.models import Sequential

WORDS = {"a": 1, "good": 2, "bad": 3, "film": 4, "not": 5}


def traced(cell: str = "lstm", ids: Any = (1, 5, 2, 4), classes: int = 1, **options: Any) -> Trace:
    rng = np.random.default_rng(1)
    head = Dense(classes, "sigmoid" if classes == 1 else "softmax", dtype="float64", name="head")
    model = Sequential(
        [Embedding(6, 4, dtype="float64"), make_layer(cell, 5, dtype="float64", name="rnn", **options), head], name="m"
    )
    for parameter in model.weights:
        parameter.assign(rng.normal(size=parameter.shape))
    return model.trace(list(ids), words=WORDS)


# ---- ledger


@pytest.mark.parametrize("seed", range(0, 200, 2))
def test_ledgers_add_up_to_the_state_and_to_the_logit(seed: int) -> None:
    case = random_model(seed)
    trace = case.model.trace(case.x)[seed % 4]
    for path, layer in trace.recurrent.items():
        if layer.cell == "simple_rnn":
            continue
        book, tolerance = trace.ledger(path), TOLERANCE[layer.h.dtype.name]
        assert book.residual <= tolerance, case.text
        assert (book.logit is None) == bool(book.why)
        assert abs(book.logit_residual) <= tolerance * max(1, abs(book.total)), case.text


def test_the_ledger_is_the_product_formula() -> None:
    trace = traced()
    layer, book = trace["rnn"], trace.ledger()
    for t in range(4):
        written = layer.i[t] * layer.gate("candidate")[t]
        np.testing.assert_allclose(book.kept[t], written * np.prod(layer.f[t + 1 :], axis=0), rtol=1e-13)
    np.testing.assert_allclose(book.final, layer.c[3])
    head = trace["head"]
    np.testing.assert_allclose(book.logit.sum() + head.bias[0], trace.logits[0], rtol=1e-12)
    text = str(book)
    assert "good" in text and "is shared among the entries of c in proportion" in text
    assert "where c = " in str(book.unit(2))


def test_padding_is_one_line_and_masked_steps_none() -> None:
    trace = traced("gru_reset_after", (0, 0, 0, 2, 4))
    lines = [line for line in str(trace.ledger()).splitlines() if "padding" in line or "good" in line or "film" in line]
    assert len(lines) == 3 and "padding × 3" in lines[0]
    model = Sequential([Embedding(6, 4, mask_zero=True), LSTM(3, name="rnn"), Dense(1)])
    book = model.trace([0, 0, 2, 4]).ledger()
    assert "padding" not in str(book) and not book.kept[:2].any() and (book.survived[0] == book.survived[1]).all()


def test_both_directions_have_a_ledger() -> None:
    model = Sequential([Embedding(6, 4), Bidirectional(LSTM(3, name="l")), Dense(2, "softmax")])
    trace = model.trace([1, 2, 3, 4])
    ahead, back = trace.ledger("forward_l", 1), trace.ledger("backward_l", 1)
    assert ahead.rest is not None and "the other direction, backward_l" in ahead.rest
    together = ahead.logit.sum() + back.logit.sum() + ahead.rest["bias"]
    assert together == pytest.approx(trace.logits[1], abs=1e-5)
    np.testing.assert_array_equal(back.survived[0], 1)  # the first word is the last that this direction reads


def test_a_simple_rnn_has_no_ledger() -> None:
    with pytest.raises(ValueError) as error:
        traced("simple_rnn").ledger()
    assert str(error.value) == (
        'ledger of "rnn": a SimpleRNN has none. Its state passes through tanh and U at every step, '
        "h' = f(x W + h U + b), so what a token wrote is not a term of the state that later steps only scale; "
        "an LSTM's c and a GRU's h are such sums. Use attribution, or leave_one_out."
    )
    with pytest.raises(UnknownNameError, match=r"is no recurrent layer\. Recurrent: rnn\."):
        traced().ledger("head")


def test_a_head_that_is_no_plain_dense_is_named() -> None:
    model = Sequential([Embedding(6, 4), LSTM(3, name="rnn"), Dense(3, "tanh"), Dense(1)])
    book = model.trace([1, 2]).ledger()
    assert book.logit is None and book.why in str(book)
    assert book.why == (
        "no share of the logit: it needs one Dense behind the last state, and Dense, Dense read the output of "
        "LSTM \"rnn\". Use attribution('integrated')."
    )
    with pytest.raises(ValueError, match="no share of the logit"):
        model.trace([1, 2]).attribution("ledger")


# ---- attribution


@pytest.mark.parametrize("seed", range(1, 120, 2))
def test_attributions_are_complete(seed: int) -> None:
    case = random_model(seed)
    trace = case.model.trace(case.x)[seed % 4]
    explained = trace.explain()
    tolerance = 3e-5 if case.model.parameters[0].dtype == np.float32 else 1e-9
    for name, one in explained.methods.items():
        assert one.scores.shape == (len(trace),)
        assert one.residual == one.value - one.baseline - one.scores.sum()
        if name in ("running", "ledger") or (name == "integrated" and "MaxPooling" not in case.text):
            # hard_sigmoid and softsign have corners, which 64 points of a smooth rule meet with an error of their own
            used = {a for layer in trace.recurrent.values() for a in (layer.activation, layer.recurrent_activation)}
            hard = bool(used & {"hard_sigmoid", "softsign"})
            assert abs(one.residual) <= (1e-3 if hard and name == "integrated" else tolerance), (name, case.text)
        if name != "ledger":
            own = trace.logits if trace.logits is not None else trace.output
            assert one.value == pytest.approx(own.reshape(-1, own.shape[-1])[-1].max(), abs=1e-5), case.text
    last = trace.output.reshape(-1, trace.output.shape[-1])[-1]
    np.testing.assert_allclose(explained.running.outputs[-1], last, atol=1e-6)


def test_running_is_what_the_model_says_of_the_beginning() -> None:
    for cell, options in (("lstm", {}), ("gru_reset_after", {"go_backwards": True})):
        trace = traced(cell, classes=3, **options)
        for t in range(4):
            expected = trace.model.predict(trace.x[None, : t + 1])[0]
            np.testing.assert_allclose(trace.running().outputs[t], expected, rtol=1e-12)
    assert "good" in str(trace.running())


def test_leaving_one_out_is_predicting_without_it() -> None:
    trace = traced()
    scores = trace.attribution("leave_one_out").scores
    for t in range(4):
        other = trace.model.trace(np.delete(trace.x, t))
        assert scores[t] == pytest.approx(trace.logits[0] - other.logits[0], abs=1e-12)


def test_gradient_times_input_is_the_gradient_of_the_vectors() -> None:
    trace = traced("gru_reset_before")
    layer = trace.backward()["rnn"]
    np.testing.assert_allclose(
        trace.attribution("gradient").scores, (layer.d_x * trace["rnn"].x).sum(axis=1), rtol=1e-10
    )


def test_padding_has_no_score_of_gradients() -> None:
    trace = traced(ids=(0, 0, 2, 4))
    for method in ("gradient", "integrated", "leave_one_out"):
        assert not trace.attribution(method).scores[:2].any()
    text = str(trace.explain())
    assert "padding × 2" in text and "residual" in text
    assert trace.explain().to_pandas().shape == (4, 5)


def test_unknown_methods_and_outputs() -> None:
    trace = traced(classes=3)
    with pytest.raises(UnknownNameError) as method:
        trace.attribution("integratd")
    assert str(method.value) == (
        "trace of \"m\": there is no attribution 'integratd', did you mean 'integrated'? "
        f"Methods: {', '.join(METHODS)}."
    )
    with pytest.raises(UnknownNameError, match=r"there is no output 3\. Outputs: 0 to 2\."):
        trace.attribution("gradient", 3)


# ---- what if


def test_tokens_are_swapped_deleted_and_inserted() -> None:
    trace = traced()
    swapped = trace.swap(1, "bad")
    np.testing.assert_array_equal(swapped.after.x, [1, 3, 2, 4])
    assert swapped.after.tokens == ["a", "bad", "good", "film"]
    np.testing.assert_array_equal(swapped.after.output, trace.model.predict(np.array([[1, 3, 2, 4]]))[0])
    assert swapped.change[0] == swapped.after.output[0] - trace.output[0]
    assert "step 1: 'not' becomes 'bad'" in str(swapped)
    np.testing.assert_array_equal(trace.delete(1).after.x, [1, 2, 4])
    inserted = trace.insert(4, "not").after
    np.testing.assert_array_equal(inserted.x, [1, 5, 2, 4, 5])
    assert inserted.tokens[-1] == "not" and inserted.verify().ok
    np.testing.assert_array_equal(trace.insert(0, 3).after.x, [3, 1, 5, 2, 4])
    assert trace.insert(0, 3).after.tokens[0] == "bad"


def test_padded_rows_keep_their_length() -> None:
    trace = traced(ids=(0, 0, 2, 4))
    np.testing.assert_array_equal(trace.delete(2).after.x, [0, 0, 0, 4])
    assert trace.delete(2).after.tokens == ["‹pad›", "‹pad›", "‹pad›", "film"]
    np.testing.assert_array_equal(trace.insert(3, "bad").after.x, [0, 2, 3, 4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PaddingWarning)
        behind = traced(ids=(2, 4, 0, 0))
        np.testing.assert_array_equal(behind.delete(0).after.x, [4, 0, 0, 0])
        np.testing.assert_array_equal(behind.insert(0, "bad").after.x, [3, 2, 4, 0])


def test_series_are_changed_by_vectors() -> None:
    model = Sequential([Input((None, 2)), Masking(), LSTM(3), Dense(1)], name="m")
    trace = model.trace(np.arange(6.0).reshape(3, 2))
    np.testing.assert_array_equal(trace.swap(0, [9, 9]).after.x[0], [9, 9])
    assert len(trace.delete(1).after) == 2 and len(trace.insert(1, 5.0).after) == 4
    with pytest.raises(ShapeError) as error:
        trace.swap(0, [1, 2, 3])
    assert str(error.value) == 'trace of "m": expected a step of shape (2,), got (3,).'


@pytest.mark.parametrize("cell", CELLS)
def test_gates_are_held_and_units_silenced_by_the_kernel(cell: str) -> None:
    trace = traced(cell)
    for gate, values in trace["rnn"].gates.items():
        value = 0.25
        after = trace.clamp(gate, value, units=[1, 3]).after
        np.testing.assert_allclose(after["rnn"].gates[gate][:, [1, 3]], value, rtol=1e-12)
        if gate not in ("hidden",):
            assert (after["rnn"].gates[gate][0, [0, 2, 4]] == values[0, [0, 2, 4]]).all()
        assert after.verify().ok
    silent = trace.ablate([0, 2]).after
    assert not silent["rnn"].h[:, [0, 2]].any() and silent["rnn"].h[:, [1, 3, 4]].all()
    w = [p.value.copy() for p in trace.model.layers[1].weights]
    w[1][[0, 2]] = 0  # nobody reads the two: the other units are as if these rows of U were 0
    ran = reference.forward(cell, trace["rnn"].x[None], w)
    np.testing.assert_allclose(silent["rnn"].h[:, [1, 3, 4]], ran.outputs[0][:, [1, 3, 4]], rtol=0, atol=1e-12)


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_gates_are_held_at_some_steps(cell: str, go_backwards: bool) -> None:
    trace = traced(cell, (1, 5, 2, 4, 3, 2), go_backwards=go_backwards)
    layer, weights = trace["rnn"], [p.value.copy() for p in trace.model.layers[1].weights]
    first, last = (4, 2) if go_backwards else (2, 4)  # of the held steps, as they run
    before = [t for t in range(6) if (t > first if go_backwards else t < first)]
    for gate in layer.gates:
        found = trace.clamp(gate, 0.25, units=[1, 3], steps=[2, 4])
        after = found.after["rnn"]
        np.testing.assert_allclose(after.gates[gate][[2, 4]][:, [1, 3]], 0.25, rtol=1e-12)
        assert abs(after.gates[gate][3, 1] - 0.25) > 1e-6, "a step between the held ones runs as ever"
        for name, values in layer.states.items():
            np.testing.assert_array_equal(after.states[name][before], values[before])
        assert found.what == f"rnn: {gate} of units 1, 3 held at 0.25 at steps 2, 4"
        report = found.after.verify()
        assert report.ok, str(report)
        # by hand: the reference, step by step, with the gate's columns and bias changed at the two steps
        held = [w.copy() for w in weights]
        k = list(layer.gates).index(gate) * 5 + np.array([1, 3])
        held[0][:, k] = held[1][:, k] = 0
        held[2][..., k] = 0
        np.atleast_2d(held[2])[0, k] = np.arctanh(0.25) if gate in ("candidate", "hidden") else np.log(0.25 / 0.75)
        states: Any = tuple(np.zeros((1, 5)) for _ in layer.states)
        for t in layer.times:
            w = reference.Weights(*(held if t in (2, 4) else weights))
            f, g = reference.ACTIVATIONS["tanh"], reference.ACTIVATIONS["sigmoid"]
            states, _ = reference.CELLS[cell].step(layer.x[t : t + 1], states, w, f, g)
            np.testing.assert_allclose(after.h[t], states[0][0], rtol=0, atol=1e-12)
        assert found.after.output == pytest.approx(trace.model.layers[2](after.h[layer.times[-1]][None])[0])
    assert last in layer.times


@pytest.mark.parametrize("cell", CELLS)
def test_units_are_silenced_at_some_steps(cell: str) -> None:
    trace = traced(cell, (1, 5, 2, 4, 3, 2))
    after = trace.ablate([0, 2], steps=slice(2, 4)).after["rnn"]
    assert (abs(after.h[2:4][:, [0, 2]]) < 1e-300).all()  # the engine's sigmoid(-1e4) is 1e-308 in float64
    assert (abs(after.h[[0, 1, 4, 5]]) > 1e-6).all() and (abs(after.h[2:4][:, [1, 3, 4]]) > 1e-6).all()
    if cell == "lstm":
        kept = after.c[1] * after.f[2] * after.f[3]
        np.testing.assert_allclose(after.c[3][[0, 2]], kept[[0, 2]], rtol=1e-12)
    everywhere = trace.ablate([0, 2], steps=slice(None)).after
    np.testing.assert_array_equal(everywhere.output, trace.ablate([0, 2]).after.output)


def test_steps_are_held_by_word_in_any_model() -> None:
    """Masks, both directions, a layer below: what the kernels run in stretches is proved step by step."""
    rng = np.random.default_rng(1)
    for mask_zero in (False, True):
        model = Sequential(
            [
                Embedding(6, 4, mask_zero=mask_zero),
                Bidirectional(LSTM(3, return_sequences=True, name="l"), name="both"),
                GRU(3, name="top"),
                Dense(2, "softmax"),
            ]
        )
        for parameter in model.weights:
            parameter.assign(rng.normal(size=parameter.shape))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PaddingWarning)
            trace = model.trace([0, 0, 2, 0, 4, 2, 1, 0], words=WORDS)
            for name, gate in (("forward_l", "forget"), ("backward_l", "forget"), ("top", "update")):
                after = trace.clamp(gate, 1.0, layer=name, steps="good").after
                assert (after[name].gates[gate][[2, 5]] > 1 - 1e-6).all()  # the engine's sigmoid(1e4) in float32
                assert (after[name].gates[gate][[4, 6]] < 0.999).all()
                assert after.verify().ok
                np.testing.assert_array_equal(after[name].ran, trace[name].ran)
                nowhere = trace.clamp(gate, 1.0, layer=name, steps=[0]) if mask_zero else None
                if nowhere is not None:  # a masked step does not run, held or not
                    np.testing.assert_array_equal(nowhere.after.output, trace.output)
    explained = after.explain()
    assert {"running", "leave_one_out", "gradient", "integrated"} <= set(explained.methods)
    for name in ("running", "integrated"):
        assert abs(explained.methods[name].residual) < 3e-5
    with pytest.raises(ValueError) as error:
        after.backward()
    assert str(error.value) == (
        f'trace of "{model.name}": backward needs one set of weights for all steps, and "top" was held at some of '
        "them. Hold it at all steps (leave steps out)."
    )


def test_stateful_layers_are_changed_from_the_states_they_had() -> None:
    model = Sequential([Embedding(6, 3), LSTM(4, stateful=True, name="rnn"), Dense(1)])
    model.predict(np.array([[1, 2, 3]]))
    trace = model.trace([4, 5, 2])
    for after in (trace.swap(2, 2).after, trace.clamp("forget", 0.5).after, trace.clamp("input", 0.5, steps=1).after):
        np.testing.assert_array_equal(after["rnn"].start["c"], trace["rnn"].start["c"])
    np.testing.assert_array_equal(trace.swap(2, 2).after.output, trace.output)
    assert trace["rnn"].start["c"].any()


def test_what_if_changes_nothing_of_the_model() -> None:
    trace = traced()
    before = trace.model.get_weights()
    trace.clamp("forget", 1.0)
    trace.ablate(0)
    for one, two in zip(before, trace.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_layers_without_bias_are_held_too() -> None:
    trace = traced(use_bias=False)
    after = trace.clamp("forget", 0.5).after
    np.testing.assert_allclose(after["rnn"].f, 0.5, rtol=1e-12)
    np.testing.assert_array_equal(after["rnn"].i[0], trace["rnn"].i[0])


@pytest.mark.parametrize(
    ("bad", "kind", "text"),
    [
        (lambda t: t.swap(9, "a"), IndexError, 'trace of "m": there is no step 9. It has 4: 0 to 3.'),
        (lambda t: t.swap(0, "zzz"), KeyError, "has no word 'zzz'"),
        (lambda t: t.swap(0, 99), ValueError, 'trace of "m": there is no id 99. Ids: 0 to 5.'),
        (lambda t: t.clamp("update", 1), UnknownNameError, "there is no gate 'update'"),
        (lambda t: t.clamp("forget", 2), ValueError,
         'trace of "rnn": sigmoid takes values from 0 to 1, got 2.0.'),
        (lambda t: t.clamp("forget", 1, steps=4), IndexError, 'trace of "rnn": there is no step 4. It has 4: 0 to 3.'),
        (lambda t: t.clamp("forget", 1, steps=slice(4, 9)), IndexError,
         'trace of "rnn": slice(4, 9, None) has no step. It has 4: 0 to 3.'),
        (lambda t: t.clamp("forget", 1, steps=[]), IndexError,
         'trace of "rnn": got no steps. Leave steps out for all 4.'),
        (lambda t: t.clamp("forget", 1, steps=["god"]), UnknownNameError,
         "trace of \"rnn\": there is no step with the word 'god', did you mean 'good'?"),
        (lambda t: t.clamp("forget", 1, steps="zzz"), UnknownNameError, "there is no step with the word 'zzz'."),
        (lambda t: t.ablate(7), IndexError, 'trace of "rnn": there is no unit 7. It has 5: 0 to 4.'),
        (lambda t: t.ablate(0, layer="dens"), UnknownNameError, "there is no layer 'dens'"),
        (lambda t: t.model.trace([1]).delete(0), ValueError,
         'trace of "m": the only step cannot be deleted; swap it.'),
    ],
)  # fmt: skip
def test_bad_changes_say_what_there_is(bad: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as error:
        bad(traced())
    assert text in str(error.value)


def test_words_need_a_vocabulary() -> None:
    model = Sequential([Embedding(6, 4), SimpleRNN(2)], name="m")
    with pytest.raises(TypeError) as error:
        model.trace([1, 2]).swap(0, "good")
    assert str(error.value) == "trace of \"m\": expected an id, got 'good'. Trace with words=... to use words."
    gru = Sequential([Embedding(6, 4), GRU(2, activation="sigmoid", name="g")], name="m")
    with pytest.raises(ValueError, match=r"cannot be held at 0, for it is 0\.5 at 0"):
        gru.trace([1, 2]).ablate(0)
