"""model.trace(x): a batch row by row through the model's own forward pass, and what its layers report on the way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled import reference
from unrolled.batch import Sequence as Steps
from unrolled.inspect.networks import Networks
from unrolled.inspect.stash import lanes
from unrolled.inspect.steps import read_pass, whole_number
from unrolled.inspect.stretches import read_stretches
from unrolled.inspect.trace import KEEP, DenseTrace, Trace, Weights, states_kept
from unrolled.inspect.words import Words
from unrolled.layers import Dense
from unrolled.layers.recurrent import Recurrent
from unrolled.layers.watch import watching
from unrolled.parameters import Array
from unrolled.sources import Ragged, read_ragged

AHEAD = 4 << 20  # bytes of the engine's arrays that a stream of traces may hold ahead


class Traces:
    """The traces of a batch, one for each row; each is run when it is asked for and none is kept.

    for trace in traces: ...     traces[3]     traces[10:20]

    A loop runs a few rows at once, as many as take 4 MB: their bits are those of each row alone.
    """

    def __init__(
        self,
        model: Any,
        x: Array | Ragged,
        words: Words,
        classes: list[str] | None = None,
        networks: Sequence[Any] = (),
    ) -> None:
        self.model, self.x, self.words, self.classes, self._networks = model, x, words, classes, networks
        self._weights: Weights | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int | slice) -> Any:
        if isinstance(row, slice):
            x = self.x.rows(row) if isinstance(self.x, Ragged) else self.x[row]
            return Traces(self.model, x, self.words.rows(row), self.classes, self._networks)
        number = whole_number(row, len(self), f'traces of "{self.model.name}"', "row")
        first, last = (0, len(self)) if self.model.stateful else (number, number + 1)  # rows belong together
        return self._read(self._run(first, last), number)

    def __iter__(self) -> Iterator[Trace]:
        at_once = len(self) if self.model.stateful else self._at_once()
        for first in range(0, len(self), at_once):
            last = min(first + at_once, len(self))
            ran = self._run(first, last)
            for row in range(first, last):
                if not ran.weights.same(self.model.parameters):  # somebody trains in the loop
                    ran = self._run(first if self.model.stateful else row, last)
                yield self._read(ran, row)

    def _at_once(self) -> int:
        """Rows that run together: those of unequal length alone, so that none has steps of padding."""
        if isinstance(self.x, Ragged):
            return 1
        found = [layer for layer in self.model._everywhere() if isinstance(layer, Recurrent)]
        width = sum((layer.kind.slots + layer.kind.states) * layer.units * layer.dtype.itemsize for layer in found)
        return max(1, min(16, AHEAD // max(1, width * math.prod(self.x.shape[1:2]))))

    def _run(self, first: int, last: int) -> _Ran:
        """The model's own forward pass over some rows, and what its layers reported."""
        parameters, reports = self.model.parameters, list[_Report]()
        if self._weights is None or not self._weights.same(parameters):
            self._weights = Weights(parameters)
        with states_kept(self.model), watching(lambda *report: reports.append(report)):
            y, _ = self.model.forward(self._rows(first, last), KEEP)
        return _Ran(first, self._weights, reports, y)

    def _rows(self, first: int, last: int) -> Array:
        x = self.x
        if not isinstance(x, Ragged):
            return x[first:last]
        label = f'traces of "{self.model.name}"'
        if self.model.stateful:
            raise ValueError(f"{label}: the model is stateful, so its rows belong together. Pad them (pad_sequences).")
        if x.lengths[first] == 0:
            raise ValueError(f"{label}: row {first} has no step: nothing to trace.")
        return x.values[None, x.starts[first] : x.starts[last]]

    def _read(self, ran: _Ran, row: int) -> Trace:
        x = self._rows(row, row + 1)[0] if isinstance(self.x, Ragged) else self.x[row]
        trace = Trace(self.model, x, self.words.row(row), self.classes, ran.weights)
        seen = _Seen(trace, row - ran.first)
        for report in ran.reports:
            seen(*report)
        trace.output, trace.logits = seen.array(ran.y), seen.last_logits()
        if len(self._networks) > 1:
            number = next(k for k, model in enumerate(self._networks) if model is self.model)
            trace.networks = Networks(self._networks, number, trace.x, trace.output_names)
        return trace

    def __repr__(self) -> str:
        return f"<traces of {len(self)} rows by {self.model!r}; each runs when asked for>"


_Report = tuple[str, Any, dict[str, Any]]


@dataclass(frozen=True)
class _Ran:
    """A pass over some rows: the number of the first one, the weights, what layers reported, the outputs."""

    first: int
    weights: Weights
    reports: list[_Report]
    y: Any


def trace(model: Any, x: Any, words: Any = None, classes: list[str] | None = None) -> Trace | Traces:
    """What the engine computes for one input or a batch; see Sequential.trace."""
    if isinstance(x, str) or (isinstance(x, list | tuple) and x and isinstance(x[0], str)):
        x, words = Words.read_text(x, words, f'"{model.name}"')
    rank = model.layers[0].input_rank if model.layers else None
    one = rank is not None and read_ragged("x", x) is None and np.ndim(x) == rank - 1
    checked = model._inputs(np.asarray(x)[None] if one else x, "x")
    found = Traces(model, checked, Words.of(words, one), classes)
    return found[0] if len(checked) == 1 else found


class _Seen:
    """Reads reports of layers into a trace."""

    def __init__(self, trace: Trace, row: int) -> None:
        self.trace, self.row = trace, row
        self.names = {layer.name for layer in trace.model.layers}
        self.logits: Array | None = None
        self._arrays: dict[int, tuple[Any, Array]] = {}  # the value itself stays beside its array, so ids stay apart
        self._pending: list[tuple[Dense, Any, Array]] = []

    def array(self, value: Any) -> Array:
        """This row of what a layer took or gave: (T, F) or (F,)."""
        if id(value) not in self._arrays:
            self._arrays[id(value)] = (value, self._row(value))
        return self._arrays[id(value)][1]

    def _row(self, value: Any) -> Array:
        if not isinstance(value, Steps):
            return np.array(value[self.row])
        index = value.index[self.row]
        row: Array = value.table[index if value.rows is None else value.rows[index]]
        return row

    def last_logits(self) -> Array | None:
        """What the model's last sigmoid or softmax reads, if it ends in one."""
        model = self.trace.model
        if model.logits_activation is None:
            return None
        dense = list(self.trace.dense.values())[-1] if self.trace.dense else None
        return dense.z if dense is not None and dense.name == model.layers[-1].name else self.logits

    def __call__(self, event: str, layer: Any, values: dict[str, Any]) -> None:
        if event == "pass":
            self._recurrent(layer, values["x"], values["ran"])
        elif event == "stretches":
            self._stretches(layer, **values)
        elif event == "logits":
            self._pending.append((layer, values["x"], values["z"]))
        elif event == "layer":
            self._layer(layer, values["x"], values["y"])

    def _recurrent(self, layer: Recurrent, x: Steps, ran: Any) -> None:
        self.trace.recurrent[layer.path] = read_pass(
            layer, x, ran, lanes(layer.dtype), self.row, self._tokens(x), self._weights(layer), self.array(x)
        )

    def _stretches(self, layer: Recurrent, x: Steps, parts: Any, weights: Any, hidden: Any) -> None:
        self.trace.recurrent[layer.path] = read_stretches(
            layer, parts, self.row, self._tokens(x), self._weights(layer), weights, self.array(x), hidden
        )

    def _weights(self, layer: Recurrent) -> reference.Weights:
        of = self.trace.weights.of
        bias = None if layer.bias is None else of(layer.bias)
        return reference.Weights(of(layer.kernel), of(layer.recurrent_kernel), bias)

    def _tokens(self, x: Steps) -> list[str]:
        """The tokens of a layer's steps: none behind RepeatVector."""
        steps = x.index.shape[1]
        return self.trace.tokens if steps == len(self.trace.tokens) else [""] * steps

    def _layer(self, layer: Any, x: Any, y: Any) -> None:
        if isinstance(y, tuple | list):
            return
        self.trace.outputs[layer.name] = self.array(y)
        for dense, _, z in self._pending:
            of = self.trace.weights.of
            self.trace.dense[dense.path] = DenseTrace(
                dense.name, dense.path, dense.activation.name, self.array(x), self._of_row(z, y), self.array(y),
                of(dense.kernel), None if dense.bias is None else of(dense.bias),
            )  # fmt: skip
        if self._pending and layer.name not in {d.name for d, _, _ in self._pending}:  # inside TimeDistributed
            inner = self.trace.dense.pop(self._pending[-1][0].path)
            self.trace.dense[inner.path] = inner
            inner.name = layer.name
        self._pending = []
        if layer.logits_activation is not None and not isinstance(layer, Dense):
            self.logits = self.array(x)

    def _of_row(self, z: Array, y: Any) -> Array:
        """This row's part of a mapped table or array."""
        found: Array = z[self.row]
        if isinstance(y, Steps):
            whole = z[y.index] if z.ndim == 2 and len(z) == y.n else z.reshape(*y.index.shape, z.shape[-1])
            found = whole[self.row]
        return found.copy()
