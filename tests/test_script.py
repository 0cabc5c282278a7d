"""trace.to_script: the prediction by hand, without this package; the toys; and summary(explain=True)."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cases import CELLS, make_layer
from unrolled.layers import GRU, LSTM, Activation, Bidirectional, Dense, Embedding, SimpleRNN
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
    return names["y"]


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


def test_what_has_no_script_is_named() -> None:
    model = Sequential([Embedding(9, 4), Bidirectional(LSTM(2), name="both"), Dense(1)], name="m")
    with pytest.raises(ValueError) as error:
        model.trace([1, 2]).to_script()
    assert str(error.value) == (
        'trace of "m": to_script writes recurrent layers in one direction with Dense behind the last state, '
        'not Bidirectional "both". Use trace.verify() for models of other kinds.'
    )
    with pytest.raises(ValueError) as none:
        Sequential([Embedding(9, 4)], name="m").trace([1, 2]).to_script()
    assert str(none.value) == 'trace of "m": to_script needs a recurrent layer, and the model has none.'


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
