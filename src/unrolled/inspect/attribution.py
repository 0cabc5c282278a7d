"""What each token does to a logit, by five methods, each with what it leaves unexplained.

running        the logit after each token minus the logit before it; the sum is the logit minus that before all
leave_one_out  the logit minus the logit without the token
gradient       (v_t - v'_t) dL/dv_t: gradient x input, v the vector that the first layers read
integrated     the same with the gradient's mean on the straight line from the baseline v' to v (integrated gradients)
ledger         the token's share by the memory ledger, see inspect/ledger.py

The baseline v' is a vector of zeros for every token; padding stays as it is. An output with a value at every step is
read at the last one. Sources: Shrikumar et al. 2017; Sundararajan et al. 2017; Zeiler & Fergus 2014.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unrolled import activations
from unrolled.batch import Sequence
from unrolled.errors import UnknownNameError, closest
from unrolled.inspect.backward import class_number
from unrolled.inspect.counterfactual import without
from unrolled.inspect.ledger import ledger
from unrolled.inspect.reading import reading_layer
from unrolled.inspect.trace import KEEP, Trace
from unrolled.layers import Bidirectional, Embedding
from unrolled.layers.recurrent import Recurrent
from unrolled.layers.values import as_array, positions
from unrolled.parameters import PREDICT, Array, Gradients
from unrolled.printing import Shown, Table, show_number

METHODS = ("running", "leave_one_out", "gradient", "integrated", "ledger")
POINTS = 64  # of the line from baseline to input, by Gauss-Legendre
STEPS_AT_ONCE = 1 << 17


@dataclass(frozen=True)
class Attribution(Shown):
    """Scores (T,) of one method, in logits (or outputs, where there are none).

    target: what is explained, in words; value: L for this input; baseline: L for the input that the method starts from;
    residual: (value - baseline) - sum of the scores, what the method leaves unexplained.
    """

    method: str
    target: str
    tokens: list[str]
    scores: Array
    value: float
    baseline: float
    padding: Array

    @property
    def residual(self) -> float:
        """(value - baseline) - the sum of the scores."""
        return self.value - self.baseline - float(self.scores.sum())

    @property
    def note(self) -> str:
        """The sums in a line."""
        return (
            f"{self.method}: {self.target} {self.value:+.4f} - baseline {self.baseline:+.4f} - scores "
            f"{float(self.scores.sum()):+.4f} = residual {self.residual:+.2e}"
        )

    def table(self) -> Table:
        """A row a token, the padding together."""
        return _table([self], {})


@dataclass(frozen=True)
class Running(Shown):
    """The model after each token, as if the input ended there.

    outputs, logits (T, K): after each step; before (K,): logits of one step of padding, or of the initial state.
    """

    trace: Trace
    outputs: Array
    logits: Array
    before: Array

    def table(self) -> Table:
        """A row a token: every output after it."""
        rows = [[str(t), token, *map(show_number, self.outputs[t])] for t, token in enumerate(self.trace.tokens)]
        return Table("the output after each token", ["step", "token", *self.trace.output_names], rows)


@dataclass(frozen=True)
class Explanation(Shown):
    """Several attributions of one trace side by side; methods {name: Attribution}; missing {name: why}."""

    trace: Trace
    methods: dict[str, Attribution]
    running: Running
    missing: dict[str, str]

    def table(self) -> Table:
        """A row a token, a column a method."""
        found = list(self.methods.values())
        k = class_number(self.trace, None) if self.running.outputs.shape[1] > 1 else 0
        table = _table(found, {"after it": self.running.outputs[:, k]})
        return replace(table, notes=[*table.notes, *(f"{name}: {why}" for name, why in self.missing.items())])

    def to_pandas(self) -> Any:
        """A DataFrame: a row a step, a column a method."""
        from unrolled.errors import require_extra

        pandas = require_extra("pandas", "pandas", "to_pandas")
        index = pandas.MultiIndex.from_arrays([range(len(self.trace)), self.trace.tokens], names=["step", "token"])
        return pandas.DataFrame({name: one.scores for name, one in self.methods.items()}, index=index)


def _table(found: list[Attribution], extra: dict[str, Array]) -> Table:
    first = found[0]
    rows = []
    padding = np.flatnonzero(first.padding)
    if len(padding):
        sums = [f"{one.scores[padding].sum():+.4f}" for one in found]
        rows.append([str(padding[0]), f"padding × {len(padding)}", *[""] * len(extra), *sums])
    for t in np.flatnonzero(~first.padding):
        values = [*(show_number(v[t]) for v in extra.values()), *(f"{one.scores[t]:+.4f}" for one in found)]
        rows.append([str(t), first.tokens[t], *values])
    header = ["step", "token", *extra, *(one.method for one in found)]
    return Table(f"what each token does to {first.target}", header, rows, notes=[one.note for one in found])


# ---- values of the model


def logits_of(trace: Trace, x: Any, start: int = 0) -> tuple[Array, Array]:
    """Logits and outputs (B, K) for checked inputs of the layer `start`; of the last step if there are several.

    Where the model has no logits, both are the outputs. Long batches are passed forward in parts.
    """
    model = trace.model
    rows = x.shape[0]
    size = max(1, STEPS_AT_ONCE // max(1, x.shape[1] if len(x.shape) > 1 else 1))
    logits, outputs = [], []
    for at in range(0, rows, size):
        part = x if size >= rows else _rows(x, slice(at, at + size))
        last = model.logits_activation
        logits.append(_last(model.forward(part, PREDICT, logits=last is not None, start=start)[0]))
        outputs.append(logits[-1] if last is None else activations.get(last).forward(logits[-1]))
    return np.concatenate(logits).astype(np.float64), np.concatenate(outputs).astype(np.float64)


def _rows(x: Any, rows: slice) -> Any:
    if not isinstance(x, Sequence):
        return x[rows]
    return Sequence(table=x.table, rows=x.rows, index=x.index[rows], mask=None if x.mask is None else x.mask[rows])


def _last(y: Any) -> Array:
    array: Array = as_array(y)
    return array[:, -1] if array.ndim == 3 else array


def _nothing(trace: Trace) -> Array:
    """One step of padding, (1, 1) or (1, 1, D)."""
    return np.zeros((1, 1, *trace.x.shape[1:]), trace.x.dtype)


# ---- methods


def running(trace: Trace) -> Running:
    """See Trace.running."""
    trace.require_same_weights("running")
    model, layers = trace.model, trace.model.layers
    recurrent = [n for n, layer in enumerate(layers) if isinstance(layer, Recurrent | Bidirectional)]
    forward_only = all(isinstance(layers[n], Recurrent) and not layers[n].go_backwards for n in recurrent)
    stacked = all(layers[n].return_sequences for n in recurrent[:-1])  # a decoder's steps are not those of the input
    if recurrent and forward_only and stacked and not layers[recurrent[-1]].return_sequences and not model.stateful:
        place = recurrent[-1] + 1
        last = trace.recurrent[layers[recurrent[-1]].path]
        shown = last.states["h"] * np.logical_or.accumulate(last.ran)[:, None]
        h = np.concatenate([np.zeros_like(shown[:1]), shown])
        logits, outputs = logits_of(trace, h, place) if place < len(layers) else (h, h)
        return Running(trace, outputs[1:], logits[1:], logits[0])
    steps = [_nothing(trace)] + [trace.x[None, : t + 1] for t in range(len(trace))]
    found = []
    for part in steps:  # of unequal length, and padding would change them
        with trace.started():
            found.append(logits_of(trace, part))
    logits, outputs = (np.concatenate([one[k] for one in found]) for k in (0, 1))
    return Running(trace, outputs[1:], logits[1:], logits[0])


def _vectors(trace: Trace) -> tuple[int, Array, Array | None]:
    """The number of the layer behind those that read the input, the vectors (T, F) that it gets, and their mask."""
    number, layer = reading_layer(trace.model)
    vectors = trace.x if layer is None else trace.outputs[layer.name]
    mask = None
    if layer is not None:
        ran = next(iter(trace.recurrent.values())).ran if trace.recurrent else np.ones(len(vectors), bool)
        mask = None if ran.all() else ran
    if isinstance(layer, Embedding) and layer.mask_zero:
        mask = np.asarray(trace.x != 0)
    return number + 1, vectors, mask


def _gradients(trace: Trace, k: int, points: Array) -> tuple[Array, Array]:
    """L and dL/dv at each point (m, T, F) of the first layers' vectors."""
    start, _, mask = _vectors(trace)
    model = trace.model
    logits = model.logits_activation is not None
    values, slopes = [], []
    size = max(1, STEPS_AT_ONCE // max(1, points.shape[1]))
    for at in range(0, len(points), size):
        part = np.ascontiguousarray(points[at : at + size])
        masks = None if mask is None else np.broadcast_to(mask, part.shape[:2]).copy()
        with trace.started():
            y, backprop = model.forward(positions(part, masks), KEEP, logits=logits, start=start)
        array = as_array(y)
        d_y = np.zeros_like(array)
        (d_y[:, -1] if array.ndim == 3 else d_y)[:, k] = 1
        values.append((array[:, -1] if array.ndim == 3 else array)[:, k].astype(np.float64))
        d_x = backprop(y.collect(d_y) if isinstance(y, Sequence) else d_y, Gradients())
        slopes.append(d_x.reshape(part.shape).astype(np.float64))
    return np.concatenate(values), np.concatenate(slopes)


def _along(trace: Trace, k: int, at: Array) -> tuple[Array, Array, Array]:
    """L, dL/dv and v - v' at the points v' + at (v - v')."""
    _, vectors, _ = _vectors(trace)
    moved = vectors.astype(np.float64) * ~trace.padding[:, None]  # padding is part of the baseline
    points = (vectors - moved)[None] + at[:, None, None] * moved[None]
    values, slopes = _gradients(trace, k, points.astype(vectors.dtype))
    return values, slopes, moved


def _by_gradient(trace: Trace, k: int) -> tuple[Array, float, float]:
    values, slopes, moved = _along(trace, k, np.array([0.0, 1.0]))
    return (slopes[1] * moved).sum(axis=1), values[1], values[0]


def _integrated(trace: Trace, k: int) -> tuple[Array, float, float]:
    nodes, weights = np.polynomial.legendre.leggauss(POINTS)
    values, slopes, moved = _along(trace, k, np.concatenate([[0.0], (nodes + 1) / 2, [1.0]]))
    mean = np.tensordot(weights / 2, slopes[1:-1], axes=1)
    return (mean * moved).sum(axis=1), values[-1], values[0]


def _leave_one_out(trace: Trace, k: int) -> tuple[Array, float, float]:
    value = float(_own(trace)[k])
    nothing = float(logits_of(trace, _nothing(trace))[0][0, k])
    scores = np.zeros(len(trace))
    if len(trace) == 1:
        return np.array([value - nothing]), value, nothing
    tokens = np.flatnonzero(~trace.padding)
    rows = [without(trace, int(t)) for t in tokens]
    if rows:
        scores[tokens] = value - logits_of(trace, np.stack(rows))[0][:, k]
    return scores, value, nothing


def _own(trace: Trace) -> Array:
    found = trace.logits if trace.logits is not None else trace.output
    return np.asarray(found.reshape(-1, found.shape[-1])[-1], np.float64)


def attribution(trace: Trace, method: str, target: Any = None) -> Attribution:
    """See Trace.attribution."""
    if method not in METHODS:
        hint = closest(method, METHODS) if isinstance(method, str) else "."
        raise UnknownNameError(
            f"{trace.label}: there is no attribution {method!r}{hint} Methods: {', '.join(METHODS)}."
        )
    trace.require_same_weights("attribution")
    k = class_number(trace, target)
    if method == "running":
        found = running(trace)
        after = np.concatenate([found.before[None, k], found.logits[:, k]])
        scores, value, baseline = np.diff(after), float(after[-1]), float(after[0])
    elif method == "ledger":
        book = ledger(trace, None, k)
        assert book.logit is not None and book.rest is not None
        scores, value, baseline = book.logit, book.total, sum(book.rest.values())
    else:
        run = {"leave_one_out": _leave_one_out, "gradient": _by_gradient, "integrated": _integrated}[method]
        scores, value, baseline = run(trace, k)
    what = "logit" if trace.logits is not None else "output"
    single = trace.output.shape[-1] == 1 and trace.classes is None
    name = trace.output_names[k] if trace.classes is None else repr(trace.output_names[k])
    label = f"the {what}" if single else f"the {what} of {name}"
    return Attribution(method, label, trace.tokens, scores, float(value), float(baseline), trace.padding)


def _possible(trace: Trace, target: Any) -> Iterator[tuple[str, Attribution | str]]:
    for method in METHODS:
        try:
            yield method, attribution(trace, method, target)
        except ValueError as error:
            yield method, str(error)


def explain(trace: Trace, target: Any = None) -> Explanation:
    """See Trace.explain."""
    found = dict(_possible(trace, target))
    methods = {name: one for name, one in found.items() if isinstance(one, Attribution)}
    missing = {name: one for name, one in found.items() if isinstance(one, str)}
    return Explanation(trace, methods, running(trace), missing)
