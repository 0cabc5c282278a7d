"""trace.to_script: the prediction by hand, without this package; the toys; and summary(explain=True)."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cases import CELLS, make_layer
from traced_models import random_model
from unrolled.activations import KNOWN
from unrolled.errors import PaddingWarning
from unrolled.inspect import Trace
from unrolled.layers import (
    GRU,
    LSTM,
    Activation,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxAveragePooling1D,
    GlobalMaxPooling1D,
    Layer,
    Masking,
    RepeatVector,
    Reshape,
    SimpleRNN,
    TimeDistributed,
)
from unrolled.models import Sequential

RECORDED = json.loads((Path(__file__).parents[1] / "src/unrolled/datasets/recorded.json").read_text())


def toy(kind: type) -> tuple[Sequential, dict[str, Any]]:
    recorded = RECORDED["toys"][kind.__name__]
    model = Sequential([kind(1, name="rnn", input_shape=(2, 1)), Dense(5, activation="softmax", name="dense")])
    model.set_weights([recorded[k] for k in ("kernel", "recurrent_kernel", "bias", "dense_kernel", "dense_bias")])
    return model, recorded


@pytest.mark.parametrize("kind", [SimpleRNN, LSTM])
def test_the_toys_come_out_of_the_printed_weights(kind: type, tmp_path: Path) -> None:
    model, recorded = toy(kind)
    trace = model.trace(np.array(RECORDED["toys"]["input"], float)[:, None], words=["this", "is"])
    assert trace.verify().ok
    script = trace.to_script(tmp_path / "by_hand.py")
    assert (tmp_path / "by_hand.py").read_text() == script
    assert 20 <= len(script.splitlines()) <= 36
    ran = subprocess.run(
        [sys.executable, "-I", "-c", "import sys, runpy; sys.modules['unrolled'] = None; runpy.run_path(sys.argv[1])",
         str(tmp_path / "by_hand.py")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    last = ran.stdout.splitlines()[-1]
    printed = np.array(last.removeprefix("softmax: [").rstrip("]").split(), float)
    # Keras computed in float32: its eight digits are good to one rounding, 3e-8.
    np.testing.assert_allclose(printed, recorded["prediction"], rtol=0, atol=5e-8)
    np.testing.assert_allclose(trace.output, recorded["prediction"], rtol=0, atol=5e-8)
    if kind is LSTM:
        words = ["forget gate", "input gate", "candidate", "cell state", "output gate", "hidden", "dense", "softmax"]
        places = [ran.stdout.index(word) for word in words]
        assert places == sorted(places)


def last_value(script: str) -> np.ndarray:
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(script, names)
    assert "unrolled" not in script.replace("'unrolled", "")
    return names["x"]


@pytest.mark.parametrize("options", [{}, {"go_backwards": True}, {"use_bias": False}, {"activation": "softsign"}])
@pytest.mark.parametrize("cell", CELLS)
def test_scripts_of_every_cell_give_the_prediction(cell: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    model = Sequential(
        [
            Embedding(9, 4, mask_zero=True, dtype="float64"),
            make_layer(cell, 3, return_sequences=True, dtype="float64", **options),
            make_layer(cell, 4, dtype="float64", recurrent_activation="hard_sigmoid"),
            Dense(5, activation="relu", dtype="float64"),
            Dense(3, dtype="float64"),
            Activation("softmax", dtype="float64"),
        ]
    )
    for parameter in model.weights:
        parameter.assign(rng.normal(size=parameter.shape))
    trace = model.trace([5, 6, 0, 7, 2])
    np.testing.assert_allclose(last_value(trace.to_script()), trace.output, rtol=0, atol=1e-12)


def test_scripts_of_float32_models() -> None:
    model = Sequential([Embedding(9, 4), GRU(20), Dense(1, "sigmoid")])
    trace = model.trace([5, 6, 7, 2], words={5: "a\nb", 6: "#", 7: "'", 2: "é"})
    np.testing.assert_allclose(last_value(trace.to_script()), trace.output, rtol=0, atol=1e-6)


RUN_ALL = """
import io, sys, contextlib
from pathlib import Path
import numpy as np
sys.modules["unrolled"] = None
found = {}
for script in sorted(Path(sys.argv[1]).glob("*.py")):
    names = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(script.read_text("utf-8"), script.name, "exec"), names)
    found[script.stem] = names["x"]
assert not [name for name in sys.modules if name.startswith(("unrolled.", "scipy", "sklearn"))]
np.savez(Path(sys.argv[1]) / "found.npz", **found)
"""


def require_same(traces: dict[str, Trace], folder: Path) -> None:
    """Run the scripts of these traces in a Python of their own with NumPy only, and compare with predict."""
    for name, trace in traces.items():
        trace.to_script(folder / f"{name}.py")
    subprocess.run([sys.executable, "-I", "-c", RUN_ALL, str(folder)], check=True)
    with np.load(folder / "found.npz") as found:
        assert set(found.files) == set(traces)
        for name, trace in traces.items():
            expected = trace.model.predict(trace.x[None])[0]
            tolerance = 2e-6 if expected.dtype == np.float32 else 1e-12
            np.testing.assert_allclose(found[name], expected, rtol=0, atol=tolerance, err_msg=name)


def test_scripts_of_random_models_run_without_this_package(tmp_path: Path) -> None:
    traces = {f"seed_{seed}": (case := random_model(seed)).model.trace(case.x)[seed % 4] for seed in range(80)}
    names = " ".join(type(layer).__name__ for trace in traces.values() for layer in trace.model.layers)
    assert all(kind in names for kind in ("Bidirectional", "Global", "TimeDistributed", "Masking", "Activation"))
    require_same(traces, tmp_path)


IDS = [0, 3, 0, 7, 5, 0]
MODELS: dict[str, list[Any]] = {
    "pooled": [Embedding(9, 4, mask_zero=True), LSTM(3, return_sequences=True), GlobalMaxAveragePooling1D(), Dense(2)],
    "mean of words": [Embedding(9, 4, mask_zero=True), GlobalAveragePooling1D(), Dense(3, "softmax")],
    "kept axis": [Embedding(9, 4), GRU(3, return_sequences=True), GlobalMaxPooling1D(keepdims=True), GRU(2)],
    "both directions": [
        Embedding(9, 4, mask_zero=True), Bidirectional(GRU(3, return_sequences=True)),
        Bidirectional(LSTM(2, return_sequences=True), merge_mode="mul"), GlobalAveragePooling1D(), Dense(1, "sigmoid"),
    ],
    "tags": [Embedding(9, 4, mask_zero=True), LSTM(3, return_sequences=True), Dense(4, "softmax")],
    "tags of both directions": [
        Embedding(9, 4, mask_zero=True), Bidirectional(SimpleRNN(3, return_sequences=True), merge_mode="ave"),
        TimeDistributed(Dense(4, "log_softmax")),
    ],
    "backwards with a mask": [
        Embedding(9, 4, mask_zero=True), GRU(3, return_sequences=True, go_backwards=True), Dropout(0.5), Dense(2),
    ],
    "decoder": [Embedding(9, 4), LSTM(3), RepeatVector(4), LSTM(5, return_sequences=True), Dense(2, "elu")],
    "flat": [
        Embedding(9, 4), SimpleRNN(3, return_sequences=True), Flatten(), Dense(4, "selu"), Reshape((2, 2)), GRU(2),
    ],
    "every activation": [
        Embedding(9, 4), GRU(3),
        *(Dense(3, name) for name in KNOWN if name not in ("softmax", "log_softmax", "exponential")),
        Dense(2, "softmax"),
    ],
    "softmax of steps between": [Embedding(9, 4), Dense(3, "softmax"), Activation("exponential"), GRU(2)],
}  # fmt: skip


def test_scripts_of_every_kind_of_layer(tmp_path: Path) -> None:
    rng, traces = np.random.default_rng(0), {}
    for name, layers in MODELS.items():
        model = Sequential(layers)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PaddingWarning)
            model.predict(np.array([IDS]))
            for parameter in model.weights:
                parameter.assign(rng.normal(size=parameter.shape) * 0.5)
            traces[name] = model.trace(IDS)
    traces["nothing but padding"] = traces["pooled"].again(np.zeros(4, int))
    masking = Sequential([Masking(), Bidirectional(LSTM(2)), Dense(1)])
    series = rng.normal(size=(5, 3))
    series[[0, 3]] = 0
    traces["series"] = masking.trace(series)
    traces["one vector"] = Sequential([Dense(3, "tanh", input_shape=(4,)), Dense(2, "softmax")]).trace(np.ones((1, 4)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PaddingWarning)
        require_same(traces, tmp_path)


@pytest.mark.parametrize("cell", ["gru", "lstm", "simple_rnn"])
def test_every_classifier_has_a_script(cell: str, tmp_path: Path) -> None:
    from unrolled.classifiers import SequenceClassifier, TextClassifier
    from unrolled.classifiers.presets import PRESETS

    texts, labels = ["a good film", "a bad film", "good good day", "bad bad day"] * 10, ["yes", "no"] * 20
    small: dict[str, Any] = {"cell": cell, "units": 4, "epochs": 1, "early_stopping": False, "random_state": 1}
    traces = {}
    for preset in PRESETS:
        made = TextClassifier.from_preset(preset, **small, embedding_dim=3).fit(texts, labels)
        traces[preset] = made.trace("a good bad day")
    deep = TextClassifier(**small, embedding_dim=3, layers=2, pooling=None).fit(texts, labels)
    traces["deep"] = deep.trace("a good strange day")
    x = np.random.default_rng(0).normal(size=(20, 6, 2))
    traces["series"] = SequenceClassifier(**small).fit(x, np.arange(20) % 3).trace(x[3])
    require_same(traces, tmp_path)


def test_what_has_no_script_is_named() -> None:
    class Squared(Layer):
        def forward(self, x: Any, mode: Any) -> Any:
            return x * x, None

    model = Sequential([Embedding(9, 4), LSTM(2), Squared(name="own"), Dense(1)], name="m")
    with pytest.raises(ValueError) as error:
        model.trace([1, 2]).to_script()
    assert str(error.value) == (
        'trace of "m": to_script writes recurrent layers in one or both directions, Dense, activations, pooling over '
        'time and changes of shape, not Squared "own". Use trace.verify() for models of other kinds.'
    )


def test_a_summary_explains_every_count() -> None:
    model = Sequential(
        [
            Embedding(12533, 32),
            SimpleRNN(40, return_sequences=True),
            Bidirectional(LSTM(10, return_sequences=True, name="l")),
            GRU(40, return_sequences=True),
            GRU(40, reset_after=False, use_bias=False),
            Dense(2),
        ]
    )
    lines: list[str] = []
    model.summary(print_fn=lines.append, explain=True)
    gates = "kernel + recurrent_kernel + bias, once for each gate and candidate"
    assert [line.strip() for line in lines if " = " in line] == [
        "12533*32 = 401,056  (embeddings)",
        "32*40 + 40*40 + 40 = 2,920  (kernel + recurrent_kernel + bias)",
        f"forward_l: 4 * (40*10 + 10*10 + 10) = 2,040  (4 times {gates})",
        f"backward_l: 4 * (40*10 + 10*10 + 10) = 2,040  (4 times {gates})",
        f"3 * (20*40 + 40*40 + 2*40) = 7,440  (3 times {gates})",
        "3 * (40*40 + 40*40) = 9,600  (3 times kernel + recurrent_kernel, once for each gate and candidate)",
        "40*2 + 2 = 82  (kernel + bias)",
    ]
    for line in (line for line in lines if " = " in line):
        formula, total = line.split("  (")[0].split(": ")[-1].split(" = ")
        assert eval(formula) == int(total.replace(",", ""))
    plain: list[str] = []
    model.summary(print_fn=plain.append)
    assert plain == [line for line in lines if " = " not in line]
