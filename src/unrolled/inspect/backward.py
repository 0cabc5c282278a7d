"""trace.backward(): what backpropagation computed at every step, and for every parameter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unrolled import reference
from unrolled.batch import Sequence
from unrolled.errors import UnknownNameError
from unrolled.inspect.arrays import Labelled, labelled
from unrolled.inspect.stash import RowSteps, lanes, unpack
from unrolled.inspect.trace import KEEP, Trace
from unrolled.layers.gates import GATES
from unrolled.layers.recurrent import Recurrent
from unrolled.layers.watch import watching
from unrolled.parameters import Array, Gradients, Parameter
from unrolled.printing import Shown, Table, show_number
from unrolled.sources import Data


@dataclass(eq=False)
class LayerGradient(Shown):
    """The gradients of one recurrent layer for one row, steps numbered as in the input; NaN where a step did not run.

    d_h (T, H): dL/dh_t, from above and from all later steps, as the kernel had it. d_c (T, H), LSTM: dL/dc_t, its own
    h_t included; d_c_carried: what came from later steps alone, as the kernel had it. d_out: dL/dh_t from above alone.
    gates {word: (T, H)}: dL/d pre-activation. start {"h", "c"}: dL/d initial state (H,), derived in float64.
    """

    path: str
    cell: str
    tokens: list[str]
    d_h: Array
    d_c: Array | None
    d_c_carried: Array | None
    d_out: Array
    gates: dict[str, Array]
    d_x: Array = field(repr=False)

    def norms(self, state: str = "h") -> Labelled:
        """The Euclidean norm of dL/dh_t (or dL/dc_t with "c") at each step (T,)."""
        values = {"h": self.d_h, "c": self.d_c}.get(state)
        if values is None:
            only = "h and c" if self.d_c is not None else "h; only an LSTM has c"
            raise UnknownNameError(f'gradient of "{self.path}": there is no state {state!r}. States: {only}.')
        norms = np.linalg.norm(values.astype(np.float64), axis=1)
        return labelled(norms, f"|dL/d{state}|", ("step",), {"step": self.tokens})

    def table(self) -> Table:
        """A row a step: norms of the gradients of the states and of every gate's pre-activation."""
        columns = {"|dL/dh|": self.d_h, **({} if self.d_c is None else {"|dL/dc|": self.d_c})}
        columns |= {f"|dL/dz {gate}|": values for gate, values in self.gates.items()}
        norms = {name: np.linalg.norm(values.astype(np.float64), axis=1) for name, values in columns.items()}
        rows = [[str(t), token, *(show_number(v[t]) for v in norms.values())] for t, token in enumerate(self.tokens)]
        return Table(f"gradient of {self.path}", ["step", "token", *norms], rows)


class Backward(Shown):
    """The way back of one row.

    backward["lstm"] is a LayerGradient; parameters {path: dL/dW}; target, what L is, in words; value, L.
    """

    def __init__(self, trace: Trace, target: str, value: float) -> None:
        self.trace, self.target, self.value = trace, target, value
        self.layers: dict[str, LayerGradient] = {}
        self.dense: dict[str, tuple[Array, Array]] = {}  # path: what a Dense read (n, D), and dL/d(x W + b) (n, K)
        self.gradients = Gradients()

    @property
    def parameters(self) -> dict[str, Array]:
        """Path -> dL/d parameter, dense."""
        return {p.path: self.gradients.dense(p) for p in self.trace.model.parameters}

    def __getitem__(self, name: str) -> LayerGradient:
        found: LayerGradient = self.layers[self.trace[name].path]
        return found

    def table(self) -> Table:
        """A row a parameter: norm and largest entry of its gradient."""
        rows = []
        for path, d in self.parameters.items():
            rows.append([path, str(d.shape), show_number(np.linalg.norm(d)), show_number(np.abs(d).max(initial=0))])
        notes = [f'backward["{path}"] has every step' for path in self.layers]
        header = ["parameter", "shape", "|dL/dW|", "largest entry"]
        return Table(f"gradients of {self.target}, {show_number(self.value)}", header, rows, notes=notes)


def class_number(trace: Trace, asked: Any) -> int:
    """The number of an output from its number or its class's name; None: the predicted one.

    Raises: UnknownNameError listing the classes.
    """
    count = trace.output.shape[-1]
    if asked is None:
        last = trace.output.reshape(-1, count)[-1]
        return int(last.argmax())
    if isinstance(asked, int | np.integer) and 0 <= asked < count:
        return int(asked)
    classes = trace.classes
    if classes is not None and asked in classes:
        number = classes.index(asked)
        if count > 1:
            return number
        if number == 1:
            return 0
    known = ", ".join(map(repr, trace.output_names)) if classes else f"0 to {count - 1}"
    raise UnknownNameError(f"{trace.label}: there is no output {asked!r}. Outputs: {known}.")


def backward(trace: Trace, target: Any = None, y: Any = None) -> Backward:
    """Run the model again on this row and back; see Trace.backward."""
    trace.require_same_weights("backward")
    trace.require_whole("backward")
    model = trace.model
    seen: list[tuple[Any, dict[str, Any], str]] = []
    with trace.started(), watching(lambda event, layer, values: seen.append((layer, values, event))):
        if y is not None:
            batch = model._data(trace.x[None], np.asarray(y)[None] if np.ndim(y) < 2 else y, None, None, "backward")
            out = model._forward(batch, KEEP, model._logits)
            value, d_y = model._loss(batch, out, gradient=True)
            result = Backward(trace, f"the loss for y={np.asarray(y).tolist()}", float(value))
        else:
            k, logits = class_number(trace, target), model.logits_activation is not None
            out = model._forward(Data(trace.x[None]), KEEP, logits)
            d_y = np.zeros_like(out.y)
            d_y.reshape(-1, d_y.shape[-1])[-1, k] = 1
            name = trace.output_names[k] if trace.classes is None else repr(trace.output_names[k])
            what = f"the {'logit' if logits else 'output'} of {name}"
            what += " at the last step" if out.y.ndim == 3 else ""
            result = Backward(trace, what, float(out.y.reshape(-1, out.y.shape[-1])[-1, k]))
        out.backprop(d_y if out.sequence is None else out.sequence.collect(d_y), result.gradients)
    for layer, values, event in seen:
        if event == "dense back":
            result.dense[layer.path] = (values["x"], values["d_z"])
        if event != "back":
            continue
        result.layers[layer.path] = _read(trace, layer, **values)
    result.layers = {path: result.layers[path] for path in trace.recurrent if path in result.layers}
    return result


def _read(
    trace: Trace, layer: Recurrent, x: Sequence, ran: Any, d_h: Array, d_c: Array, d_out: Array | None
) -> LayerGradient:
    traced, units = trace.recurrent[layer.path], layer.units
    where = RowSteps.of(ran, 0, None if x.mask is None else x.mask[0])

    def spread(values: Array) -> Array:
        full = np.full((len(traced), values.shape[1]), np.nan, values.dtype)
        full[where.times] = values
        return full

    rows = 1 + where.positions
    from_above = np.zeros((len(rows), units), layer.dtype)
    if d_out is not None and layer.return_sequences:
        from_above = d_out[rows]
    elif d_out is not None and len(rows):
        from_above[-1] = d_out[0]
    carried = total = None
    if layer.kind.states == 2:
        carried = spread(d_c[rows, :units])
        f = reference.ACTIVATIONS[traced.activation]
        seen = f.function(traced.states["c"].astype(np.float64))
        total = carried + spread(d_h[rows, :units]) * traced.gates["output"] * f.slope(seen)
    d_z = unpack(layer.cell, ran.stash[where.positions], lanes(layer.dtype), units)
    gates = {gate: d_z[gate] for gate in GATES[layer.cell]}
    wide = np.concatenate([d.astype(np.float64) for d in gates.values()], axis=1)
    d_x = spread(wide @ traced.weights.kernel.astype(np.float64).T)
    return LayerGradient(
        layer.path, layer.cell, traced.tokens, spread(d_h[rows, :units]), total, carried, spread(from_above),
        {gate: spread(d) for gate, d in gates.items()}, d_x,
    )  # fmt: skip


def entry_of(gradients: Gradients, parameter: Parameter) -> Array:
    """The dense gradient of a parameter in float64."""
    return np.asarray(gradients.dense(parameter), np.float64)
