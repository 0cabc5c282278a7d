"""The memory ledger: what each token wrote into the state, and how much of it survived to the end. Exact.

LSTM:  c_T = (prod f) * c_0 + sum_t (prod_{s>t} f_s) * i_t * candidate_t
GRU:   h_T = (prod z) * h_0 + sum_t (prod_{s>t} z_s) * (1 - z_t) * candidate_t

The gates are the engine's; products and sums are in float64.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unrolled import reference
from unrolled.errors import UnknownNameError
from unrolled.inspect.backward import class_number
from unrolled.inspect.steps import RecurrentTrace, whole_number
from unrolled.inspect.trace import Trace
from unrolled.layers import Bidirectional, Dense
from unrolled.layers.core import Activation
from unrolled.layers.recurrent import Recurrent
from unrolled.parameters import Array
from unrolled.printing import Shown, Table, show_number

CONVENTION = (
    "h = output * activation(c) is shared among the entries of c in proportion to them: a token's share of the logit "
    "is the sum over units of w * output * (activation(c) - activation(0)) / c * its entry; activation(0) and the bias "
    "stand apart."
)


@dataclass(frozen=True)
class Ledger(Shown):
    """The memory at the end of one recurrent layer as a sum over tokens.

    written (T, H): i * candidate, or (1 - z) * candidate; survived (T, H): the product of the later forget (update)
    gates; kept = written * survived; start (H,): what is left of the initial state; final (H,): the state itself,
    c or h; residual: largest |start + sum of kept - final|, of the largest |final|.
    logit (T,): each token's share of the logit of `target`, in logits; or None where the model's head is no plain
    Dense: `why` says so. rest: {"initial state", "activation(0)", "bias"}: the logit's other parts.
    """

    layer: RecurrentTrace
    state: str
    written: Array
    survived: Array
    kept: Array
    start: Array
    final: Array
    residual: float
    padding: Array
    target: str = ""
    logit: Array | None = None
    rest: dict[str, float] | None = None
    total: float = 0.0
    logit_residual: float = 0.0
    why: str = ""

    def unit(self, number: int) -> Table:
        """The ledger of one unit: written, survived, kept, line by line, and the sum."""
        u = whole_number(number, self.layer.units, f'ledger of "{self.layer.path}"', "unit")
        rows = [["", "initial state", "", "", show_number(self.start[u])]]
        for name, t in self._lines():
            written = show_number(self.written[t[0], u]) if len(t) == 1 else ""
            survived = show_number(self.survived[t[0], u]) if len(t) == 1 else ""
            rows.append([str(t[0]), name, written, survived, show_number(self.kept[t, u].sum())])
        total = self.start[u] + self.kept[:, u].sum()
        rows.append(["", "sum", "", "", show_number(total)])
        title = f"{self.layer.path}, unit {u}: where {self.state} = {show_number(self.final[u])} comes from"
        return Table(title, ["step", "token", "written", "survived", "kept"], rows)

    def _lines(self) -> list[tuple[str, Array]]:
        """Name and steps of each line: the padding together, then every token that ran."""
        lines = []
        padding = np.flatnonzero(self.padding & self.layer.ran)
        if len(padding):
            lines.append((f"padding × {len(padding)}", padding))
        for t in np.flatnonzero(~self.padding & self.layer.ran):
            lines.append((self.layer.tokens[t], np.array([t])))
        return lines

    def table(self) -> Table:
        """A line a token: how much it wrote, the mean share that survived, what is kept, and its share of the logit."""
        header = ["step", "token", "|written|", "mean survived", "|kept|"]
        header += [] if self.logit is None else ["logit"]
        rows = []
        for name, t in self._lines():
            row = [str(t[0]), name, show_number(np.linalg.norm(self.written[t].sum(axis=0)))]
            row += [show_number(self.survived[t].mean()), show_number(np.linalg.norm(self.kept[t].sum(axis=0)))]
            rows.append(row + ([] if self.logit is None else [f"{self.logit[t].sum():+.4f}"]))
        notes = [
            f"sum of all lines and the initial state - {self.state} at the end: {self.residual:.1e} of its largest"
        ]
        if self.rest is not None:
            parts = ", ".join(f"{name} {value:+.4f}" for name, value in self.rest.items())
            notes += [
                f"{self.target} {self.total:+.4f}; besides the tokens: {parts}; residual {self.logit_residual:.1e}"
            ]
            notes += [CONVENTION] if self.state == "c" else []
        else:
            notes.append(self.why)
        return Table(f"memory ledger of {self.layer.path} ({self.state})", header, rows, notes=notes)


def ledger(trace: Trace, layer: str | None = None, target: Any = None) -> Ledger:
    """See Trace.ledger."""
    found = trace.last if layer is None else trace[layer]
    if not isinstance(found, RecurrentTrace):
        raise UnknownNameError(
            f"{trace.label}: {layer!r} is no recurrent layer. Recurrent: {', '.join(trace.recurrent)}."
        )
    if found.cell == "simple_rnn":
        raise ValueError(
            f'ledger of "{found.path}": a SimpleRNN has none. Its state passes through {found.activation} and U at '
            "every step, h' = f(x W + h U + b), so what a token wrote is not a term of the state that later steps only "
            "scale; "
            "an LSTM's c and a GRU's h are such sums. Use attribution, or leave_one_out."
        )
    lstm = found.cell == "lstm"
    if not lstm and found.held is not None and found.held.hidden is not None:
        raise ValueError(
            f'ledger of "{found.path}": hidden states were held, and a GRU\'s are its memory: a value put in their '
            "place was written by no token. Use attribution('integrated'), or the ledger of the trace before."
        )
    gates = {name: np.nan_to_num(g.astype(np.float64)) for name, g in found.gates.items()}
    keep = gates["forget"] if lstm else gates["update"]
    keep = np.where(found.ran[:, None], keep, 1.0)  # a masked step keeps everything
    written = (gates["input"] if lstm else 1 - gates["update"]) * gates["candidate"]
    written[~found.ran] = 0
    running = keep[::-1] if found.reverse else keep
    later = np.ones_like(running)
    later[:-1] = np.cumprod(running[::-1], axis=0)[::-1][1:]
    everything = later[0] * running[0] if len(running) else np.ones(found.units)
    survived = later[::-1] if found.reverse else later
    state = "c" if lstm else "h"
    start = everything * found.start[state].astype(np.float64)
    values = found.states[state]
    final = (values[0] if found.reverse else values[-1]).astype(np.float64)
    kept = written * survived
    largest = max(float(np.abs(final).max(initial=0)), np.finfo(np.float64).tiny)
    residual = float(np.abs(start + kept.sum(axis=0) - final).max(initial=0)) / largest
    own_steps = len(found) != len(trace)  # behind RepeatVector steps are no tokens
    padding = np.zeros(len(found), bool) if own_steps else trace.padding
    plain = Ledger(found, state, written, survived, kept, start, final, residual, padding)
    return _to_logit(trace, plain, target)


def _to_logit(trace: Trace, book: Ledger, target: Any) -> Ledger:
    """Share the logit among the tokens where the head is a plain Dense behind the last state."""
    layer = book.layer
    found = _held_at_the_end(layer) or _head(trace, layer)
    if isinstance(found, str):
        if target is not None:
            raise ValueError(f'ledger of "{layer.path}": {found}')
        return replace(book, why=found)
    dense, w, others = found
    k = class_number(trace, target)
    scale, constant = np.ones(layer.units), np.zeros(layer.units)
    if book.state == "c":
        f = reference.ACTIVATIONS[layer.activation]
        output = (
            layer.gates["output"][layer.times[-1]].astype(np.float64) if len(layer.times) else np.zeros(layer.units)
        )
        at_zero = f.function(np.zeros(layer.units))
        small = np.abs(book.final) < 1e-12
        ratio = (f.function(book.final) - at_zero) / np.where(small, 1.0, book.final)
        scale, constant = output * np.where(small, f.slope(at_zero), ratio), output * at_zero
    logit = (book.kept * scale) @ w[:, k]
    rest = {"initial state": float((book.start * scale) @ w[:, k])}
    if constant.any():
        rest["activation(0)"] = float(constant @ w[:, k])
    rest["bias"] = 0.0 if dense.bias is None else float(dense.bias[k])
    for name, part in others.items():
        rest[name] = float(part[k])
    total = float(dense.z[k])
    residual = float(logit.sum()) + sum(rest.values()) - total
    name = trace.output_names[k] if trace.classes is None else repr(trace.output_names[k])
    label = "the logit" if trace.classes is None and len(dense.z) == 1 else f"the logit of {name}"
    return replace(book, target=label, logit=logit, rest=rest, total=total, logit_residual=residual)


def _held_at_the_end(layer: RecurrentTrace) -> str:
    """Why the last hidden state is not the cell's, where it was overwritten; else an empty text."""
    if layer.held is None or layer.held.hidden is None or not layer.held.steps[layer.times[-1:]].any():
        return ""
    return (
        f"no share of the logit: hidden states of {layer.path} were held at the last step, so what the cell keeps "
        "does not reach it. Use attribution('integrated')."
    )


def _head(trace: Trace, layer: RecurrentTrace) -> tuple[Any, Array, dict[str, Array]] | str:
    """The Dense that reads this layer's last state, its weights (H, K) for it, and the other direction's part."""
    layers = trace.model.layers
    place = next(n for n, whole in enumerate(layers) if whole.name == layer.path.partition("/")[0])
    whole, behind = layers[place], layers[place + 1 :]
    behind = [one for one in behind if not type(one).__name__.endswith("Dropout")]
    plain = behind and isinstance(behind[0], Dense) and all(isinstance(one, Activation) for one in behind[1:])
    if not plain or whole.return_sequences:
        names = ", ".join(f"{type(one).__name__}" for one in behind) or "nothing"
        steps = " of every step" if whole.return_sequences else ""
        return (
            f"no share of the logit: it needs one Dense behind the last state, and {names} "
            f"read{'s' if len(behind) < 2 else ''} the output{steps} of {whole.label}. Use attribution('integrated')."
        )
    dense = trace.dense[behind[0].path]
    kernel = dense.kernel.astype(np.float64)
    if isinstance(whole, Recurrent):
        return dense, kernel, {}
    assert isinstance(whole, Bidirectional)
    if whole.merge_mode not in ("concat", "sum", "ave"):
        return f"no share of the logit: {whole.label} multiplies its directions. Use attribution('integrated')."
    ahead, back = (trace.recurrent[inner.path] for inner in whole.sublayers)
    ws = [kernel, kernel]
    if whole.merge_mode == "concat":
        ws = [kernel[: ahead.units], kernel[ahead.units :]]
    elif whole.merge_mode == "ave":
        ws = [kernel / 2, kernel / 2]
    mine = 0 if layer is ahead else 1
    other = back if mine == 0 else ahead
    last = other.states["h"][0 if other.reverse else -1].astype(np.float64)
    return dense, ws[mine], {f"the other direction, {other.name}": last @ ws[1 - mine]}
