"""trace.to_script(): the prediction as a person derives it by hand, in a NumPy script that stands alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unrolled.inspect.steps import RecurrentTrace
from unrolled.layers import Dense
from unrolled.layers.core import Activation
from unrolled.layers.gates import GATES
from unrolled.layers.recurrent import Recurrent
from unrolled.parameters import Array

if TYPE_CHECKING:
    from unrolled.inspect.trace import DenseTrace, Trace

FUNCTIONS = {
    "tanh": "np.tanh(z)",
    "sigmoid": "1 / (1 + np.exp(-z))",
    "relu": "np.maximum(z, 0)",
    "linear": "z",
    "hard_sigmoid": "np.clip(z / 6 + 0.5, 0, 1)",
    "softsign": "z / (1 + np.abs(z))",
    "softmax": "np.exp(z - z.max()) / np.exp(z - z.max()).sum()",
}


def to_script(trace: Trace, path: str | os.PathLike[str] | None = None) -> str:
    """See Trace.to_script."""
    layers, dense = _plain_layers(trace)
    lines = [
        f"# How the model {trace.model.name!r} arrives at its prediction for this input, by hand. Needs NumPy only.",
        "import numpy as np",
        "",
        "np.set_printoptions(precision=8, suppress=True, linewidth=120)",
        *_functions(layers, dense),
        f"x = {_array(layers[0].x)}  # a row a step: {_tokens(layers[0].tokens)}",
    ]
    for number, layer in enumerate(layers):
        lines += ["", *_recurrent(layer, number, number == len(layers) - 1)]
    lines += ["", *_dense(dense)]
    text = "\n".join(lines) + "\n"
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def _plain_layers(trace: Trace) -> tuple[list[RecurrentTrace], list[tuple[DenseTrace, str]]]:
    """The recurrent layers, one after the other, and the Dense ones with their activations.

    Raises: ValueError naming the layer for which there is no script.
    """
    recurrent: list[RecurrentTrace] = []
    dense: list[tuple[DenseTrace, str]] = []
    for layer in trace.model.layers:
        if isinstance(layer, Recurrent) and not dense:
            recurrent.append(trace.recurrent[layer.path])
        elif isinstance(layer, Dense) and recurrent and trace.outputs[layer.name].ndim == 1:
            dense.append((trace.dense[layer.path], layer.activation.name))
        elif isinstance(layer, Activation) and dense:
            dense[-1] = (dense[-1][0], layer.activation.name)
        elif trace.outputs[layer.name].size and type(layer).__name__ not in _NOTHING_TO_DO:
            raise ValueError(
                f"{trace.label}: to_script writes recurrent layers in one direction with Dense behind the last state, "
                f"not {layer.label}. Use trace.verify() for models of other kinds."
            )
        for name in (f for _, f in dense):
            if name not in FUNCTIONS:
                raise ValueError(f"{trace.label}: to_script knows {', '.join(FUNCTIONS)}, not the activation {name}.")
    if not recurrent:
        raise ValueError(f"{trace.label}: to_script needs a recurrent layer, and the model has none.")
    return recurrent, dense


_NOTHING_TO_DO = ("Embedding", "Masking", "Dropout", "SpatialDropout1D", "WordDropout")


def _array(a: Array) -> str:
    text = np.array2string(np.asarray(a), separator=",", threshold=a.size + 1, max_line_width=10**9, floatmode="unique")
    return "np.array(" + text.replace("\n", "").replace(" ", "") + ")"


def _tokens(tokens: list[str]) -> str:
    named = [token for token in tokens if token]
    text = " ".join(named) if named else f"{len(tokens)} steps"
    return text.replace("\n", " ")[:100].encode("unicode_escape").decode()


def _functions(layers: list[RecurrentTrace], dense: list[tuple[DenseTrace, str]]) -> list[str]:
    used = {layer.activation for layer in layers} | {f for _, f in dense}
    used |= {layer.recurrent_activation for layer in layers if layer.cell != "simple_rnn"}
    return [f"{name} = lambda z: {code}" for name, code in FUNCTIONS.items() if name in used]


def _weights(layer: RecurrentTrace) -> list[str]:
    """W, U and b of every gate under its own name, W_forget and so on."""
    lines = []
    units, w = layer.units, layer.weights
    for k, gate in enumerate(GATES[layer.cell]):
        columns = slice(k * units, (k + 1) * units)
        b = np.zeros((1, units), w.kernel.dtype) if w.bias is None else np.atleast_2d(w.bias)[:, columns]
        lines.append(f"W_{gate}, U_{gate} = {_array(w.kernel[:, columns])}, {_array(w.recurrent_kernel[:, columns])}")
        lines.append(f"b_{gate} = {_array(b[0])}")
        if layer.cell == "gru_reset_after":
            second = b[1] if len(b) == 2 else np.zeros(units, b.dtype)
            lines.append(f"r_{gate} = {_array(second)}  # the recurrent bias")
    return lines


def _recurrent(layer: RecurrentTrace, number: int, last: bool) -> list[str]:
    f, g, order = layer.activation, layer.recurrent_activation, layer.times.tolist()
    start = ", ".join(_array(state) for state in layer.start.values())
    count = f"{layer.units} unit{'s' if layer.units > 1 else ''}"
    lines = [f"# {layer.path}: {layer.cell}, {count}", *_weights(layer)]
    lines.append(f"{', '.join(layer.start)} = {start}")
    contiguous = order == list(range(len(layer)))
    lines += [] if last else ["outputs = np.zeros((len(x), len(h)))"]
    lines += [f"for t in {'range(len(x))' if contiguous else order}:"]
    steps = {
        "simple_rnn": [f"h = {f}(x[t] @ W_hidden + h @ U_hidden + b_hidden)"],
        "lstm": [
            f"forget = {g}(x[t] @ W_forget + h @ U_forget + b_forget)",
            f"input_ = {g}(x[t] @ W_input + h @ U_input + b_input)",
            f"candidate = {f}(x[t] @ W_candidate + h @ U_candidate + b_candidate)",
            "c = forget * c + input_ * candidate",
            f"output = {g}(x[t] @ W_output + h @ U_output + b_output)",
            f"h = output * {f}(c)",
        ],
        "gru_reset_after": [
            f"update = {g}(x[t] @ W_update + b_update + h @ U_update + r_update)",
            f"reset = {g}(x[t] @ W_reset + b_reset + h @ U_reset + r_reset)",
            f"candidate = {f}(x[t] @ W_candidate + b_candidate + reset * (h @ U_candidate + r_candidate))",
            "h = update * h + (1 - update) * candidate",
        ],
        "gru_reset_before": [
            f"update = {g}(x[t] @ W_update + h @ U_update + b_update)",
            f"reset = {g}(x[t] @ W_reset + h @ U_reset + b_reset)",
            f"candidate = {f}(x[t] @ W_candidate + (reset * h) @ U_candidate + b_candidate)",
            "h = update * h + (1 - update) * candidate",
        ],
    }[layer.cell]
    shown = {
        "simple_rnn": ["hidden h"],
        "lstm": ["forget gate forget", "input gate input_", "candidate candidate", "cell state c", "output gate output",
                 "hidden h"],
        "gru_reset_after": ["update gate update", "reset gate reset", "candidate candidate", "hidden h"],
        "gru_reset_before": ["update gate update", "reset gate reset", "candidate candidate", "hidden h"],
    }[layer.cell]  # fmt: skip
    lines += [f"    {line}" for line in steps]
    values = ", ".join(f'f"  {what.rpartition(" ")[0]} {{{what.rpartition(" ")[2]}}}"' for what in shown)
    lines.append(f'    print(f"{layer.name} step {{t}}:", {values}, sep="\\n")')
    if not last:
        lines += ["    outputs[t] = h"]
        running = "outputs[::-1]" if layer.reverse else "outputs"
        lines.append(f"x = {running}  # what the next layer reads")
    return lines


def _dense(dense: list[tuple[DenseTrace, str]]) -> list[str]:
    lines = ["y = h"]
    for layer, f in dense:
        bias = np.zeros(layer.kernel.shape[1], layer.kernel.dtype) if layer.bias is None else layer.bias
        lines += [
            f"W, b = {_array(layer.kernel)}, {_array(bias)}",
            "z = y @ W + b",
            f'print("{layer.name}:", z)',
            f"y = {f}(z)",
            f'print("{f}:", y)',
        ]
    return lines
