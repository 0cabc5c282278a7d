"""model.trace: the kernels' own numbers, for every cell, stack, direction, mask and padding; and its messages."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from cases import CELLS, make_layer
from traced_models import random_model
from unrolled import _native, reference
from unrolled.errors import ShapeError, UnknownNameError
from unrolled.inspect.stash import LAYOUT
from unrolled.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Dense,
    Embedding,
    GlobalMaxAveragePooling1D,
    Input,
    Masking,
    SimpleRNN,
)
from unrolled.layers.gates import GATES, LETTERS
from unrolled.models import Sequential


def model_of(cell: str, units: int = 17, dtype: str = "float64", **options: Any) -> Sequential:
    rng = np.random.default_rng(3)
    model = Sequential(
        [
            Embedding(50, 6, dtype=dtype),
            make_layer(cell, units, dtype=dtype, name="rnn", **options),
            Dense(2, "softmax"),
        ]
    )
    for parameter in model.weights:
        parameter.assign(rng.normal(size=parameter.shape) * 0.5)
    return model


def test_every_cell_of_the_engine_can_be_traced() -> None:
    assert set(GATES) == set(LETTERS) == set(LAYOUT) == set(CELLS)
    for cell, names in GATES.items():
        assert names == reference.CELLS[cell].gates and len(names) == len(LETTERS[cell])


@pytest.mark.parametrize("seed", range(60))
def test_a_traced_prediction_has_the_bits_of_predict(seed: int) -> None:
    """Of a batch of any size, whatever rows stand beside the traced one."""
    case, rng = random_model(seed), np.random.default_rng(seed)
    for size in (1, 2, 3, 7, 40):
        x = case.x[rng.integers(0, len(case.x), size)]
        predicted = case.model.predict(x)
        traces = [case.model.trace(x)] if size == 1 else case.model.trace(x)
        for trace, expected in zip(traces, predicted, strict=True):
            assert trace.output.dtype == expected.dtype, case.text
            np.testing.assert_array_equal(trace.output, expected, err_msg=case.text)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("features", "units"), [(1, 1), (33, 2), (70, 37), (300, 260)])
def test_dense_gives_a_row_the_same_bits_in_any_batch(features: int, units: int, dtype: str) -> None:
    layer = Dense(units, "softmax" if units > 1 else "sigmoid", dtype=dtype)
    layer.build((None, features))
    x = np.random.default_rng(2).normal(size=(101, features)).astype(dtype)
    whole = layer(x)
    for level in _native.levels():
        before = _native.level()
        _native.set_level(level)
        try:
            there = layer(x)
            for rows in (slice(5, 6), slice(0, 2), slice(3, 36), slice(100, 101)):
                np.testing.assert_array_equal(layer(x[rows]), there[rows])
        finally:
            _native.set_level(before)
        np.testing.assert_allclose(there, whole, rtol=0, atol=1e-6)
    z = x.astype(np.float64) @ layer.kernel.value + layer.bias.value
    y = np.exp(z - z.max(axis=1, keepdims=True))
    expected = y / y.sum(axis=1, keepdims=True) if units > 1 else 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-5 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize("level", _native.levels())
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_gates_and_states_are_those_of_the_reference(cell: str, go_backwards: bool, level: str) -> None:
    before = _native.level()
    _native.set_level(level)
    try:
        model = model_of(cell, go_backwards=go_backwards)
        ids = np.array([0, 0, 3, 9, 4, 0, 17])
        trace = model.trace(ids)["rnn"]
    finally:
        _native.set_level(before)
    w = [p.value for p in model.layers[1].weights]
    ran = reference.forward(cell, model.layers[0].embeddings.value[ids][None], w, go_backwards=go_backwards)
    for name, values in ran.gates.items():
        expected = values[0, ::-1] if go_backwards else values[0]
        np.testing.assert_allclose(trace.gates[name], expected, rtol=0, atol=1e-12)
    for name, values in ran.states.items():
        expected = values[0, ::-1] if go_backwards else values[0]
        np.testing.assert_allclose(trace.state(name), expected, rtol=0, atol=1e-12)
    assert trace.parts.largest_residual() < 1e-12


@pytest.mark.parametrize("cell", CELLS)
def test_masked_steps_did_not_run(cell: str) -> None:
    model = Sequential([Input((5, 2)), Masking(dtype="float64"), make_layer(cell, 3, dtype="float64", name="rnn")])
    x = np.random.default_rng(0).normal(size=(5, 2))
    x[[0, 2]] = 0
    trace = model.trace(x)["rnn"]
    np.testing.assert_array_equal(trace.ran, [False, True, False, True, True])
    assert all(np.isnan(g[[0, 2]]).all() and not np.isnan(g[[1, 3, 4]]).any() for g in trace.gates.values())
    np.testing.assert_array_equal(trace.h[2], trace.h[1])
    np.testing.assert_array_equal(trace.h[0], 0)
    np.testing.assert_array_equal(trace.h[4], model.predict(x[None])[0])
    assert "(masked)" in str(trace) and "it did not run, and the state stays" in str(trace.step(2))


def test_both_directions_and_stacks_are_named_by_path() -> None:
    model = Sequential(
        [
            Embedding(9, 4),
            Bidirectional(LSTM(3, return_sequences=True, name="a"), name="both"),
            SimpleRNN(2, name="top"),
            Dense(1, "sigmoid", name="head"),
        ]
    )
    trace = model.trace([1, 2, 3])
    assert trace.layers == ["both/forward_a", "both/backward_a", "top", "head"]
    assert trace["forward_a"] is trace["both/forward_a"] is trace[0]
    assert trace["simple_rnn"] is trace["top"]
    both = np.concatenate([trace["forward_a"].h, trace["backward_a"].h], axis=1)
    np.testing.assert_array_equal(trace["top"].x, both)
    np.testing.assert_array_equal(trace["backward_a"].before("h")[2], 0)
    np.testing.assert_array_equal(trace["backward_a"].before("h")[0], trace["backward_a"].h[1])
    assert trace["head"].z.shape == (1,) and trace.logits is not None


def test_names_by_word_and_by_letter() -> None:
    trace = model_of("lstm").trace([4, 5, 6], words={4: "a", 5: "b", 6: "c"})
    layer = trace["rnn"]
    assert trace["lstm"] is layer
    for word, letter in (("input", "i"), ("forget", "f"), ("candidate", "c"), ("output", "o")):
        np.testing.assert_array_equal(layer.gate(word), layer.gate(letter))
        np.testing.assert_array_equal(getattr(layer, word), layer.gates[word])
    np.testing.assert_array_equal(layer.f, layer.gates["forget"])
    np.testing.assert_array_equal(layer.c, layer.states["c"])
    np.testing.assert_array_equal(layer.step(1).f, layer.f[1])
    np.testing.assert_array_equal(layer.unit(3).gate("o"), layer.o[:, 3])
    np.testing.assert_array_equal(layer.step(-1).h, layer.h[2])
    assert layer.f.dims == ("step", "unit") and layer.f.labels["step"] == ["a", "b", "c"]
    assert type(layer.f + 1) is np.ndarray and isinstance(layer.f.mean(), float)
    assert layer.step(0).token == "a" and "'a'" in str(layer.step(0))
    gru = model_of("gru_reset_after").trace([1])["gru"]
    np.testing.assert_array_equal(gru.z, gru.update)
    np.testing.assert_array_equal(gru.gate("h"), gru.candidate)


def test_tables_and_frames() -> None:
    trace = model_of("lstm").trace([4, 5, 6, 7], words=["so", "good", "<br>", "!"])
    frame = trace["rnn"].to_pandas()
    assert frame.shape == (4, 17 * 6)
    assert frame[("forget", 3)].iloc[1] == trace["rnn"].f[1, 3]
    assert frame.index[1] == (1, "good")
    assert trace.to_pandas().shape == (4, 17 * 6)
    assert trace["rnn"].h.to_pandas().loc["good", 5] == trace["rnn"].h[1, 5]
    assert trace["rnn"].unit(2).to_pandas().shape == (4, 6)
    assert "good" in str(trace) and "output" in str(trace)
    for thing in (trace, trace["rnn"], trace["rnn"].f, trace["rnn"].step(0), trace["rnn"].unit(0)):
        page = thing._repr_html_()
        assert "<table" in page and "<br>" not in page
    assert "&lt;br&gt;" in trace._repr_html_()


def test_rows_of_unequal_length() -> None:
    for layers in ([LSTM(3)], [Bidirectional(GRU(3, return_sequences=True)), GlobalMaxAveragePooling1D()]):
        model = Sequential([Embedding(9, 4), *layers, Dense(2, "softmax")], name="m")
        rows = [[1, 2, 3], [4, 5], [6, 7, 8, 1, 2]]
        traces = model.trace(rows, words={k: f"w{k}" for k in range(9)})
        assert [t.tokens for t in traces] == [[f"w{k}" for k in row] for row in rows]
        for trace, expected in zip(traces, model.predict(rows), strict=True):
            np.testing.assert_array_equal(trace.output, expected)
            assert trace.verify().ok
        assert len(traces[1:]) == 2 and traces[1:][0].tokens == ["w4", "w5"] and len(traces[-1]) == 5
    with pytest.raises(ValueError) as error:
        model.trace([[1], []])[1]
    assert str(error.value) == 'traces of "m": row 1 has no step: nothing to trace.'
    stateful = Sequential([Embedding(9, 4), LSTM(3, stateful=True)], name="s")
    with pytest.raises(ValueError, match=r"the model is stateful, so its rows belong together\. Pad them"):
        stateful.trace(rows)[0]
    series = Sequential([GRU(3), Dense(1)])
    unequal = [np.ones((2, 4), np.float32), np.ones((5, 4), np.float32)]
    expected = series.predict(unequal)
    assert [len(t) for t in series.trace(unequal)] == [2, 5]
    np.testing.assert_array_equal([t.output for t in series.trace(unequal)], expected)


def test_padding_is_named() -> None:
    model = model_of("gru_reset_before")
    trace = model.trace([0, 0, 7, 8, 0, 9])
    assert trace.tokens == ["‹pad›", "‹pad›", "7", "8", "0", "9"]
    np.testing.assert_array_equal(trace.padding, [True, True, False, False, False, False])


def test_stateful_layers_keep_their_states() -> None:
    model = Sequential([Input((3, 2)), LSTM(4, stateful=True, name="rnn", batch_input_shape=(2, 3, 2))])
    x = np.random.default_rng(1).normal(size=(2, 3, 2))
    model.predict(x, batch_size=2)
    had = [s.copy() for s in model.layers[0].states]
    traces = model.trace(x)
    np.testing.assert_array_equal(traces[1]["rnn"].start["c"], had[1][1])
    np.testing.assert_array_equal(model.layers[0].states[0], had[0])
    first = traces[0].output
    np.testing.assert_array_equal(first, model.predict(x, batch_size=2)[0])


@pytest.mark.parametrize("seed", range(40))
def test_a_row_of_a_stream_is_the_row_alone(seed: int) -> None:
    """A loop runs several rows at once, with what they share; every number has the bits of the row alone."""
    case, rng = random_model(seed), np.random.default_rng(seed)
    x = case.x[rng.integers(0, len(case.x), 37)]
    traces = case.model.trace(x)
    for number, trace in enumerate(traces):
        if number not in (0, 1, 15, 16, 36):
            continue
        alone = trace
        assert trace.layers == alone.layers and trace.tokens == alone.tokens
        np.testing.assert_array_equal(trace.output, alone.output)
        for path, layer in alone.recurrent.items():
            found = trace[path]
            np.testing.assert_array_equal(found.ran, layer.ran)
            np.testing.assert_array_equal(found.x, layer.x)
            for name in ("gates", "states", "start", "products"):
                for key, values in getattr(layer, name).items():
                    np.testing.assert_array_equal(getattr(found, name)[key], values, err_msg=f"{case.text} {key}")
        for path, dense in alone.dense.items():
            np.testing.assert_array_equal(trace[path].z, dense.z)
        for name, values in alone.outputs.items():
            np.testing.assert_array_equal(trace.outputs[name], values)


STREAM = """
import resource
import numpy as np
from unrolled.layers import LSTM, Dense, Embedding
from unrolled.models import Sequential

model = Sequential([Embedding(50, 16), LSTM(64), Dense(1, "sigmoid")])
x = np.random.default_rng(0).integers(1, 50, (1000, 200))
traces = model.trace(x)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

for trace in traces[:40]:
    pass
before, total = peak(), 0
for trace in traces:
    total += trace["lstm"].h.nbytes
assert total == 1000 * 200 * 64 * 4
print(peak() - before, sum(a.nbytes for a in [*trace["lstm"].gates.values(), *trace["lstm"].states.values()]))
"""


def test_a_thousand_traces_stream() -> None:
    """What the process takes does not grow with the number of traces, the engine's own arrays included."""
    ran = subprocess.run([sys.executable, "-c", STREAM], capture_output=True, text=True, check=True)
    grown, one = map(int, ran.stdout.split())  # kilobytes (macOS: bytes), bytes
    assert one > 300_000
    assert grown * (1 if sys.platform == "darwin" else 1024) < 12 * one, "a thousand of them would be 300 MB"


def test_a_stream_follows_training_in_its_loop() -> None:
    case = random_model(5)
    x = np.concatenate([case.x] * 3)
    for trace in case.model.trace(x):
        np.testing.assert_array_equal(trace.output, case.model.predict(trace.x[None])[0])
        trace.require_same_weights("this")
        case.model.train_on_batch(case.x, case.y)


def test_a_trace_knows_when_the_weights_have_changed() -> None:
    case = random_model(5)
    trace = case.model.trace(case.x[:1])
    trace.require_same_weights("this")
    case.model.train_on_batch(case.x, case.y)
    with pytest.raises(ValueError) as error:
        trace.require_same_weights("verify")
    assert str(error.value) == (
        f'trace of "{case.model.name}": verify runs the model again, and its weights have changed since. '
        "Call model.trace again."
    )


LSTM_GATES = "input (i), forget (f), candidate (c), output (o)"


@pytest.mark.parametrize(
    ("bad", "kind", "text"),
    [
        (lambda t: t["gru"], UnknownNameError, 'trace of "m": there is no layer \'gru\'. Layers: rnn, out.'),
        (lambda t: t["rmn"], UnknownNameError,
         "trace of \"m\": there is no layer 'rmn', did you mean 'rnn'? Layers: rnn, out."),
        (lambda t: t[2], IndexError, 'trace of "m": there is no traced layer 2. It has 2: 0 to 1.'),
        (lambda t: t["rnn"].gate("forgot"), UnknownNameError,
         f"trace of \"rnn\": there is no gate 'forgot', did you mean 'forget'? Gates: {LSTM_GATES}."),
        (lambda t: t["rnn"].gate(2), UnknownNameError, f'trace of "rnn": there is no gate 2. Gates: {LSTM_GATES}.'),
        (lambda t: t["rnn"].step(3), IndexError, 'trace of "rnn": there is no step 3. It has 3: 0 to 2.'),
        (lambda t: t["rnn"].unit(-3), IndexError, 'trace of "rnn": there is no unit -3. It has 2: 0 to 1.'),
        (lambda t: t["rnn"].unit("a"), TypeError, 'trace of "rnn": expected the number of a unit, 0 to 1, got \'a\'.'),
        (lambda t: t["rnn"].state("k"), UnknownNameError,
         "trace of \"rnn\": there is no state 'k'. States: hidden (h) and cell (c)."),
        (lambda t: t["rnn"].update, AttributeError,
         "trace of \"rnn\" has no attribute 'update'. Gates: input, forget, candidate, output; states: h, c."),
    ],
)  # fmt: skip
def test_bad_requests_say_what_exists(bad: Any, kind: type[Exception], text: str) -> None:
    model = Sequential([Embedding(9, 4), LSTM(2, name="rnn"), Dense(1, "sigmoid", name="out")], name="m")
    with pytest.raises(kind) as error:
        bad(model.trace([1, 2, 3]))
    assert str(error.value) == text


def test_text_needs_words_and_something_in_it() -> None:
    from unrolled.text import TextVectorizer

    model = Sequential([Embedding(9, 4), GRU(2)], name="m")
    with pytest.raises(TypeError) as wrong:
        model.trace("a good film")
    assert str(wrong.value) == (
        '"m": expected numbers, got text. Give words=the fitted TextVectorizer, or trace a TextClassifier.'
    )
    vectorizer = TextVectorizer().fit(["a good film"])
    assert model.trace("good film", words=vectorizer).tokens == ["good", "film"]
    assert [t.tokens for t in model.trace(["good", "a film"], words=vectorizer)] == [["‹pad›", "good"], ["a", "film"]]
    with pytest.raises(ValueError) as empty:
        model.trace("...", words=vectorizer)
    assert str(empty.value) == (
        "\"m\": text 0, '...', has no word that the vocabulary keeps: nothing to trace. "
        "Give a text with at least one known word."
    )


@pytest.mark.parametrize("cell", CELLS)
def test_weights_are_read_and_set_by_gate(cell: str) -> None:
    layer = make_layer(cell, 3)
    layer.build((None, None, 2))
    for k, (word, letter) in enumerate(zip(GATES[cell], LETTERS[cell], strict=True)):
        columns = slice(3 * k, 3 * k + 3)
        for parameter in layer.weights:
            np.testing.assert_array_equal(parameter[word], parameter.value[..., columns])
            np.testing.assert_array_equal(parameter[letter], parameter.value[..., columns])
        layer.kernel[word] = 7
        layer.recurrent_kernel[word][1, 2] = 8
        layer.bias[word] = np.full(layer.bias[word].shape, 9)
        assert (layer.kernel.value[:, columns] == 7).all() and layer.recurrent_kernel.value[1, 3 * k + 2] == 8
        assert (layer.bias.value[..., columns] == 9).all()
    assert layer.kernel.shape == (2, 3 * len(GATES[cell])) and np.asarray(layer.kernel).shape == layer.kernel.shape
    assert [row.tolist() for row in layer.kernel] == layer.kernel.value.tolist()


def test_wrong_gates_of_weights() -> None:
    layer = LSTM(3, name="l")
    layer.build((None, None, 2))
    with pytest.raises(UnknownNameError) as error:
        layer.kernel["update"]
    assert str(error.value) == f"\"l/kernel\": there is no gate 'update'. Gates: {LSTM_GATES}."
    with pytest.raises(ShapeError) as shape:
        layer.kernel["forget"] = np.zeros((3, 3))
    assert str(shape.value) == '"l/kernel": expected for "forget" an array (2, 3) or a number, got (3, 3).'
    with pytest.raises(TypeError, match="expected a gate's name in brackets, got 0"):
        layer.kernel[0] = 1
    head = Dense(2, name="d")
    head.build((None, 3))
    with pytest.raises(UnknownNameError) as none:
        head.kernel["forget"]
    assert str(none.value) == "\"d/kernel\" has no gates, got ['forget']. Use numpy() for its entries."


def test_predicting_does_not_import_inspection() -> None:
    program = (
        "import sys, numpy\nfrom unrolled import Sequential, layers\n"
        "Sequential([layers.Embedding(5, 2), layers.LSTM(2)]).predict(numpy.array([[1, 2]]))\n"
        "assert not [m for m in sys.modules if m.startswith('unrolled.inspect')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_text_classifier_traces_texts() -> None:
    from unrolled.classifiers import TextClassifier

    texts = ["a good film", "a bad film", "good good day", "bad bad day"] * 10
    classifier = TextClassifier(
        "lstm", units=4, embedding_dim=3, epochs=1, early_stopping=False, random_state=1, maxlen=5
    ).fit(texts, ["yes", "no"] * 20)
    trace = classifier.trace("A good, strange film")
    assert trace.tokens == ["a", "good", "strange[?]", "film"]
    assert trace.classes == ["no", "yes"] and trace.prediction in ("no", "yes")
    assert trace.output[0] == classifier.model_.predict(trace.x[None])[0, 0]
    np.testing.assert_allclose(trace.output[0], classifier.predict_proba(["A good, strange film"])[0, 1], rtol=1e-6)
    both = ["good day", "a b c d e bad film"]
    several, ids = classifier.trace(both), classifier._rows(both)
    for one, predicted in zip(several, classifier.members_[0].outputs(ids), strict=True):
        np.testing.assert_array_equal(one.output, predicted)  # the bits, whatever stands beside it
    assert [t.tokens for t in several] == [
        ["‹pad›", "‹pad›", "‹pad›", "good", "day"], ["a", "b[?]", "c[?]", "bad", "film"]
    ]  # fmt: skip
    with pytest.raises(ValueError) as empty:
        classifier.trace("?!")
    assert str(empty.value) == (
        "TextClassifier: text 0, '?!', has no word that the vocabulary keeps: nothing to trace. "
        "Give a text with at least one known word."
    )


def test_each_of_several_networks_is_traced() -> None:
    from unrolled.classifiers import TextClassifier

    texts = ["a good film", "a bad film", "good good day", "bad bad day", "so so", "film so so"] * 8
    for labels in (["yes", "no", "yes", "no", "no", "yes"] * 8, ["yes", "no", "yes", "no", "so", "so"] * 8):
        classifier = TextClassifier(
            "gru", units=4, embedding_dim=3, bigrams=50, networks=3, epochs=1, early_stopping=False, random_state=1
        ).fit(texts, labels)
        text = "a good, strange film"
        expected = classifier.predict_proba([text])[0]
        for number in range(3):
            trace = classifier.trace(text, network=number)
            each = trace.networks
            assert trace.model is classifier.members_[number].model and (each.number, len(each)) == (number, 3)
            np.testing.assert_array_equal(each.outputs[number], trace.output)
            own = [member.model.predict(trace.x[None])[0] for member in classifier.members_]
            np.testing.assert_array_equal(each.outputs, own)
            np.testing.assert_allclose(each.average, expected[-each.average.size :], rtol=1e-6)
            assert trace.verify().ok
            table = str(each)
            assert table.splitlines()[0] == f"3 networks, of which {number} is traced" and "average" in table
            assert f"network {number} of 3 (0 to 2); the classifier averages them" in str(trace)
            assert trace.swap(0, "day").after.networks.number == number
            assert trace.clamp("update", 0.5).after.networks is None, "the others were not changed"
        assert [t.networks.number for t in classifier.trace(texts[:3], network=2)] == [2, 2, 2]
    with pytest.raises(IndexError) as error:
        classifier.trace(text, network=3)
    assert str(error.value) == "TextClassifier: there is no network 3. It has 3: 0 to 2."
    assert TextClassifier(epochs=1, early_stopping=False).fit(texts, labels).trace(text).networks is None


def test_a_sequence_classifier_traces_series(rng: np.random.Generator) -> None:
    from unrolled.classifiers import SequenceClassifier

    x = rng.normal(size=(20, 6, 2))
    classifier = SequenceClassifier("gru", units=3, epochs=1, early_stopping=False, random_state=1)
    classifier.fit(x, x[:, -1, 0] > 0)
    trace = classifier.trace(x[3])
    assert len(trace) == 6 and trace.classes == ["False", "True"]
    assert len(classifier.trace(x)) == 20
