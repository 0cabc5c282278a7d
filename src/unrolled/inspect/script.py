"""trace.to_script(): the prediction as a person derives it by hand, in a NumPy script that stands alone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled import layers as kinds
from unrolled.inspect.reading import reading_layer
from unrolled.inspect.steps import RecurrentTrace
from unrolled.layers.gates import GATES
from unrolled.parameters import Array

if TYPE_CHECKING:
    from unrolled.inspect.trace import Trace

FUNCTIONS = {
    "tanh": "np.tanh(z)",
    "sigmoid": "1 / (1 + np.exp(-z))",
    "relu": "np.maximum(z, 0)",
    "linear": "z",
    "hard_sigmoid": "np.clip(z / 6 + 0.5, 0, 1)",
    "softsign": "z / (1 + np.abs(z))",
    "softmax": "np.exp(z - z.max()) / np.exp(z - z.max()).sum()",
    "log_softmax": "z - z.max() - np.log(np.exp(z - z.max()).sum())",
    "relu6": "np.clip(z, 0, 6)",
    "leaky_relu": "np.where(z > 0, z, 0.2 * z)",
    "hard_tanh": "np.clip(z, -1, 1)",
    "softplus": "np.logaddexp(z, 0)",
    "exponential": "np.exp(z)",
    "elu": "np.where(z > 0, z, np.expm1(np.minimum(z, 0)))",
    "selu": "1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(np.minimum(z, 0)))",
}
EACH_STEP = {  # of a matrix with a row a step
    "softmax": "np.exp(z - z.max(1)[:, None]) / np.exp(z - z.max(1)[:, None]).sum(1)[:, None]",
    "log_softmax": "z - z.max(1)[:, None] - np.log(np.exp(z - z.max(1)[:, None]).sum(1)[:, None])",
}
STEPS = {
    "simple_rnn": ["h = {f}(x[t] @ W_hidden + h @ U_hidden + b_hidden)"],
    "lstm": [
        "forget = {g}(x[t] @ W_forget + h @ U_forget + b_forget)",
        "input_ = {g}(x[t] @ W_input + h @ U_input + b_input)",
        "candidate = {f}(x[t] @ W_candidate + h @ U_candidate + b_candidate)",
        "c = forget * c + input_ * candidate",
        "output = {g}(x[t] @ W_output + h @ U_output + b_output)",
        "h = output * {f}(c)",
    ],
    "gru_reset_after": [
        "update = {g}(x[t] @ W_update + b_update + h @ U_update + r_update)",
        "reset = {g}(x[t] @ W_reset + b_reset + h @ U_reset + r_reset)",
        "candidate = {f}(x[t] @ W_candidate + b_candidate + reset * (h @ U_candidate + r_candidate))",
        "h = update * h + (1 - update) * candidate",
    ],
    "gru_reset_before": [
        "update = {g}(x[t] @ W_update + h @ U_update + b_update)",
        "reset = {g}(x[t] @ W_reset + h @ U_reset + b_reset)",
        "candidate = {f}(x[t] @ W_candidate + (reset * h) @ U_candidate + b_candidate)",
        "h = update * h + (1 - update) * candidate",
    ],
}
GRU = ["update gate update", "reset gate reset", "candidate candidate", "hidden h"]
SHOWN = {  # what a step prints: its name and its variable
    "simple_rnn": ["hidden h"],
    "lstm": ["forget gate forget", "input gate input_", "candidate candidate", "cell state c", "output gate output",
             "hidden h"],
    "gru_reset_after": GRU,
    "gru_reset_before": GRU,
}  # fmt: skip
MERGED = {
    "concat": "np.concatenate([ahead, back], axis=-1)",
    "sum": "ahead + back",
    "mul": "ahead * back",
    "ave": "(ahead + back) / 2",
}


def to_script(trace: Trace, path: str | os.PathLike[str] | None = None) -> str:
    """See Trace.to_script."""
    trace.require_whole("to_script")
    text = _Script(trace).text()
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


class _Script:
    """Lines that follow a row through the layers: x holds what the next layer reads, a row a step or one vector."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.lines: list[str] = []
        self.used: dict[str, str] = {}  # functions of this script: name and code
        self.mask: Array | None = None  # (T,) True = keep, as the layers hand it on
        first, value = self._input()
        self.steps = value.ndim == 2
        self.start = value
        for layer in trace.model.layers[first:]:
            self._layer(layer)

    def _input(self) -> tuple[int, Array]:
        """The number of the first layer that computes, and what it reads: vectors, where ids were looked up."""
        trace = self.trace
        number, layer = reading_layer(trace.model)
        value = trace.x if layer is None else trace.outputs[layer.name]
        if isinstance(layer, kinds.Embedding) and layer.mask_zero:
            self.mask = np.asarray(trace.x != 0)
        if isinstance(layer, kinds.Masking):
            self.mask = np.asarray((trace.x != layer.mask_value).any(axis=1))
        return number + 1, value

    def text(self) -> str:
        """The whole script."""
        trace = self.trace
        what = f"a row a step: {_tokens(trace.tokens)}" if self.start.ndim == 2 else "the input"
        lines = [
            f"# How the model {trace.model.name!r} arrives at its prediction for this input, by hand. Needs NumPy.",
            "import numpy as np",
            "",
            "np.set_printoptions(precision=8, suppress=True, linewidth=120)",
            *(f"{name} = lambda z: {code}" for name, code in self.used.items()),
            f"x = {_array(self.start)}  # {what}; then what each layer hands to the next",
            *self.lines,
        ]
        return "\n".join(lines) + "\n"

    def _function(self, name: str) -> str:
        """The name of an activation in the script."""
        if self.steps and name in EACH_STEP:
            name, code = f"{name}_each", EACH_STEP[name]
        else:
            code = FUNCTIONS[name]
        self.used[name] = code
        return name

    def _layer(self, layer: Any) -> None:
        trace = self.trace
        inner = layer.layer if isinstance(layer, kinds.TimeDistributed) else layer
        if isinstance(layer, kinds.Recurrent):
            self._recurrent(trace.recurrent[layer.path], layer.return_sequences)
        elif isinstance(layer, kinds.Bidirectional) and layer.merge_mode in MERGED:
            self._both(layer)
        elif isinstance(inner, kinds.Dense):
            self._dense(layer.name, inner)
        elif isinstance(inner, kinds.Activation):
            self._activation(inner.activation.name)
        elif type(layer).__name__ in POOLS:
            self._pooling(layer)
        elif isinstance(layer, kinds.Reshape | kinds.RepeatVector):
            self._shape(layer)
        elif not isinstance(inner, kinds.Dropout | kinds.SpatialDropout1D | kinds.WordDropout):
            known = (
                "recurrent layers in one or both directions, Dense, activations, pooling over time and changes of shape"
            )
            raise ValueError(
                f"{trace.label}: to_script writes {known}, not {layer.label}. "
                "Use trace.verify() for models of other kinds."
            )

    def _recurrent(self, layer: RecurrentTrace, sequences: bool) -> None:
        self.lines += ["", *self._loop(layer, sequences)]
        if sequences:
            self.lines += _repeated(layer)
        self._now("outputs[::-1]" if sequences and layer.reverse else "outputs" if sequences else "h", sequences)

    def _both(self, layer: Any) -> None:
        """Two loops and how their results are merged; a masked step of a sequence is zeros there."""
        for inner, name in zip(layer.sublayers, ("ahead", "back"), strict=True):
            loop = self._loop(self.trace.recurrent[inner.path], layer.return_sequences)
            self.lines += ["", *loop, f"{name} = {'outputs' if layer.return_sequences else 'h'}"]
        self._now(MERGED[layer.merge_mode], layer.return_sequences)

    def _now(self, code: str, steps: bool) -> None:
        """What the next layer reads."""
        self.lines.append(f"x = {code}")
        self.steps, self.mask = steps, self.mask if steps else None

    def _loop(self, layer: RecurrentTrace, sequences: bool) -> list[str]:
        names = {"f": self._function(layer.activation), "g": ""}
        if layer.cell != "simple_rnn":
            names["g"] = self._function(layer.recurrent_activation)
        order = layer.times.tolist()
        count = f"{layer.units} unit{'s' if layer.units > 1 else ''}"
        lines = [f"# {layer.path}: {layer.cell}, {count}", *_weights(layer)]
        lines.append(f"{', '.join(layer.start)} = {', '.join(_array(state) for state in layer.start.values())}")
        lines += ["outputs = np.zeros((len(x), len(h)))"] * sequences
        lines.append(f"for t in {'range(len(x))' if order == list(range(len(layer))) else order}:")
        lines += [f"    {line.format(**names)}" for line in STEPS[layer.cell]]
        shown = (what.rpartition(" ") for what in SHOWN[layer.cell])
        values = ", ".join(f'f"  {name} {{{variable}}}"' for name, _, variable in shown)
        lines.append(f'    print(f"{layer.name} step {{t}}:", {values}, sep="\\n")')
        lines += ["    outputs[t] = h"] * sequences
        return lines

    def _dense(self, name: str, layer: Any) -> None:
        weights = self.trace.weights
        kernel = weights.of(layer.kernel)
        bias = np.zeros(kernel.shape[1], kernel.dtype) if layer.bias is None else weights.of(layer.bias)
        self.lines += ["", f"W, b = {_array(kernel)}, {_array(bias)}", "x = x @ W + b", f'print("{name}:", x)']
        if layer.activation.name != "linear":
            self._activation(layer.activation.name)

    def _activation(self, name: str) -> None:
        self.lines += [f"x = {self._function(name)}(x)", f'print("{name}:", x)']

    def _pooling(self, layer: Any) -> None:
        kept = "x" if self.mask is None or self.mask.all() else f"x[{np.flatnonzero(self.mask).tolist()}]"
        code = POOLS[type(layer).__name__].format(x=kept)
        if self.mask is not None and not self.mask.any():
            code = f"np.zeros({layer.output_shape[-1]})"  # a row without a step
        self.lines.append("")
        self._now(f"({code})[None]" if layer.keepdims else code, layer.keepdims)
        self.mask = None
        self.lines.append(f'print("{layer.name}:", x)')

    def _shape(self, layer: Any) -> None:
        shape = self.trace.outputs[layer.name].shape
        repeats = isinstance(layer, kinds.RepeatVector)
        self._now(f"np.repeat(x[None], {layer.n}, axis=0)" if repeats else f"x.reshape({shape})", len(shape) == 2)
        self.mask = None


POOLS = {
    "GlobalMaxPooling1D": "{x}.max(axis=0)",
    "GlobalAveragePooling1D": "{x}.mean(axis=0)",
    "GlobalMaxAveragePooling1D": "np.concatenate([{x}.max(axis=0), {x}.mean(axis=0)])",
}


def _array(a: Array) -> str:
    text = np.array2string(np.asarray(a), separator=",", threshold=a.size + 1, max_line_width=10**9, floatmode="unique")
    return "np.array(" + text.replace("\n", "").replace(" ", "") + ")"


def _tokens(tokens: Iterable[str]) -> str:
    every = list(tokens)
    named = [token for token in every if token]
    text = " ".join(named) if named else f"{len(every)} steps"
    return text.replace("\n", " ")[:100].encode("unicode_escape").decode()


def _repeated(layer: RecurrentTrace) -> list[str]:
    """What a masked step gives to the next layer: the output before it."""
    ran = layer.times.tolist()
    running = range(len(layer))[::-1] if layer.reverse else range(len(layer))
    masked = [t for t in running if t not in ran and ran and (t < ran[0] if layer.reverse else t > ran[0])]
    before = "t + 1" if layer.reverse else "t - 1"
    return [f"for t in {masked}:  # masked", f"    outputs[t] = outputs[{before}]"] if masked else []


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
