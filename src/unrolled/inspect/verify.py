"""trace.verify(): what the engine computed, derived again by reference.py in NumPy float64.

Every step starts from the engine's own state before it, so an error shows at the step where it happens; beside it, the
drift of a derivation that runs from start to end on its own. Gradients and one optimizer step are proved alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled import activations, reference
from unrolled.inspect.backward import Backward, LayerGradient, entry_of
from unrolled.inspect.optimizer_step import optimizer_checks
from unrolled.inspect.reading import embedding_of
from unrolled.inspect.steps import RecurrentTrace
from unrolled.inspect.trace import DenseTrace, Trace
from unrolled.layers import Bidirectional, Embedding
from unrolled.layers.recurrent import Recurrent
from unrolled.parameters import Array
from unrolled.printing import Shown, Table

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}  # of the largest entry


@dataclass(frozen=True)
class Check:
    """One comparison. error: the largest difference, of the largest entry; tolerance: None for a drift, only shown."""

    what: str
    error: float
    tolerance: float | None
    where: str = ""

    @property
    def ok(self) -> bool:
        """Whether it holds; NaN does not."""
        return self.tolerance is None or self.error <= self.tolerance


@dataclass(frozen=True)
class Report(Shown):
    """What verify found: print it.

    checks: list of Check; ok: all of them hold; failures: those that do not.
    """

    name: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that was compared agrees."""
        return all(check.ok for check in self.checks)

    @property
    def failures(self) -> list[Check]:
        """The comparisons that do not hold, each with the place of its largest difference."""
        return [check for check in self.checks if not check.ok]

    def require(self) -> Report:
        """Return the report if it holds.

        Raises: AssertionError with the comparisons that do not.
        """
        if not self.ok:
            lines = [f"{c.what}: {c.error:.1e} of the largest entry, allowed {c.tolerance:.0e}; {c.where}"
                     for c in self.failures]  # fmt: skip
            raise AssertionError(f"{self.name} does not hold:\n" + "\n".join(lines))
        return self

    def table(self) -> Table:
        """A row a comparison."""
        rows = []
        for c in self.checks:
            allowed = "" if c.tolerance is None else "the same bits" if c.tolerance == 0 else f"{c.tolerance:.0e}"
            verdict = "drift" if c.tolerance is None else "ok" if c.ok else "FAILS"
            rows.append([c.what, f"{c.error:.1e}", allowed, verdict, "" if c.ok else c.where])
        held = sum(c.ok for c in self.checks)
        notes = [
            f"{held} of {len(self.checks)} hold" + ("" if self.ok else f"; first failure: {self.failures[0].where}")
        ]
        return Table(
            f"{self.name}: differences of the largest entry",
            ["compared", "error", "allowed", "", "where"],
            rows,
            notes=notes,
        )


def compare(
    what: str, found: Any, expected: Any, tolerance: float | None, axes: tuple[str, ...] = (), scale: float = 0.0
) -> Check:
    """The largest difference and where it is; scale: of the terms of the sums, where it exceeds the largest entry."""
    one, two = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if one.shape != two.shape:
        return Check(what, np.inf, tolerance, f"shapes {one.shape} and {two.shape}")
    if not one.size:
        return Check(what, 0.0, tolerance)
    difference = np.abs(one - two)
    difference[np.isnan(one) & np.isnan(two)] = 0
    difference[np.isnan(difference)] = np.inf
    at = np.unravel_index(int(difference.argmax()), difference.shape)
    largest = max(float(np.nanmax(np.abs(two), initial=0.0)), scale, np.finfo(np.float64).tiny)
    names = (*axes, *("entry",) * len(at))
    where = ", ".join(f"{name} {k}" for name, k in zip(names, at, strict=False))
    return Check(
        what, float(difference[at]) / largest, tolerance, f"{what}, {where}: {one[at]:.9g}, expected {two[at]:.9g}"
    )


def verify(trace: Trace, y: Any = None) -> Report:
    """See Trace.verify."""
    checks = [*_inputs(trace)]
    for layer in trace.recurrent.values():
        checks += _steps(layer)
    checks += _outputs(trace)
    for dense in trace.dense.values():
        checks += _dense(dense)
    unchanged = trace.weights.same(trace.model.parameters)
    if unchanged:
        with trace.started():
            predicted = trace.model.predict_on_batch(trace.x[None])[0]
        checks.append(_same("output is predict's", trace.output, predicted, ("step",) if trace.output.ndim > 1 else ()))
    if unchanged and not any(layer.held for layer in trace.recurrent.values()):
        back = _way_back(trace, y)
        alone: dict[str, Array] = {}
        for path, gradient in back.layers.items():
            checks += _steps_back(trace.recurrent[path], gradient, back, trace, alone)
        checks += _dense_back(trace, back)
        checks += optimizer_checks(trace.model, back.gradients, alone)
    return Report(f"verification of {trace.label}", tuple(checks))


# ---- forward


def _wide(layer: RecurrentTrace, held: bool = False) -> reference.Weights:
    weights = layer.held.weights if held and layer.held is not None else layer.weights
    return reference.Weights(*(None if a is None else np.asarray(a, np.float64) for a in weights))  # type: ignore[arg-type]


def tolerance_of(array: Array) -> float:
    """What rounding of this float type may do, of the largest entry."""
    return TOLERANCE[array.dtype.name]


def _same(what: str, found: Array, expected: Array, axes: tuple[str, ...] = ("step", "unit")) -> Check:
    return compare(what, found, expected, 0.0, axes)


def _inputs(trace: Trace) -> Iterator[Check]:
    embedding = embedding_of(trace.model)
    if type(embedding) is Embedding:
        table = trace.weights.of(embedding.embeddings)
        yield _same(
            f"{embedding.name}: rows of the table", trace.outputs[embedding.name], table[trace.x], ("step", "feature")
        )
    taken = trace.outputs.get(embedding.name) if embedding is not None else trace.x
    for layer in trace.model.layers:
        for inner in layer.sublayers if isinstance(layer, Bidirectional) else [layer]:
            if inner.path in trace.recurrent and taken is not None:
                seen = trace.recurrent[inner.path].x
                yield _same(f"{inner.path}: what it reads", seen, np.asarray(taken, seen.dtype), ("step", "feature"))
        taken = trace.outputs.get(layer.name)


def _run_step(layer: RecurrentTrace, t: Array) -> tuple[tuple[Array, ...], reference.Saved]:
    """The reference's step for the steps t at once, each from the engine's own state before it."""
    states, saved = _run_with(layer, t, _wide(layer))
    if layer.held is None:
        return states, saved
    others, other = _run_with(layer, t, _wide(layer, held=True))
    at = layer.held.steps[t, None]
    saved = {name: np.where(at, other[name], saved[name]) for name in layer.gates}
    return tuple(np.where(at, two, one) for one, two in zip(states, others, strict=True)), saved


def _run_with(layer: RecurrentTrace, t: Array, weights: reference.Weights) -> tuple[tuple[Array, ...], reference.Saved]:
    before = tuple(layer.before(name)[t].astype(np.float64) for name in layer.states)
    f, g = reference.ACTIVATIONS[layer.activation], reference.ACTIVATIONS[layer.recurrent_activation]
    return reference.CELLS[layer.cell].step(layer.x[t].astype(np.float64), before, weights, f, g)


def _steps(layer: RecurrentTrace) -> Iterator[Check]:
    t, tolerance = layer.times, tolerance_of(layer.states["h"])
    states, saved = _run_step(layer, t)
    if layer.held is not None and layer.held.hidden is not None:
        hidden, at = layer.held.hidden, layer.held.steps[t]
        computed = np.full_like(hidden.computed, np.nan, np.float64)
        computed[t[at]] = states[0][at][:, hidden.units]
        what = f"{layer.path}: h of held units as computed, step by step"
        yield compare(what, hidden.computed, computed, tolerance, ("step", "held unit"))
        put = layer.states["h"][t[at]][:, hidden.units]
        yield _same(f"{layer.path}: h of held units is the value", put, np.full_like(put, hidden.value), ("held step",))
        states[0][np.ix_(at, np.array(hidden.units))] = hidden.value
    for gate, values in layer.gates.items():
        expected = np.full_like(values, np.nan, np.float64)
        expected[t] = saved[gate]
        yield compare(f"{layer.path}: {gate}, step by step", values, expected, tolerance, ("step", "unit"))
    for name, new in zip(layer.states, states, strict=True):
        expected = layer.before(name).astype(np.float64)  # a masked step keeps its state
        expected[t] = new
        yield compare(f"{layer.path}: {name}, step by step", layer.states[name], expected, tolerance, ("step", "unit"))
    if layer.held is not None:
        return  # the reference runs one set of weights from start to end, and overwrites nothing
    ran = _alone(layer)
    for name, values in ran.states.items():
        alone = values[0, ::-1] if layer.reverse else values[0]
        yield compare(
            f"{layer.path}: {name}, from start to end alone", layer.states[name], alone, None, ("step", "unit")
        )


def _alone(layer: RecurrentTrace) -> reference.Run:
    start = {f"{name}0": state.astype(np.float64)[None] for name, state in layer.start.items()}
    return reference.forward(
        layer.cell, layer.x.astype(np.float64)[None], _wide(layer), mask=layer.ran[None], activation=layer.activation,
        recurrent_activation=layer.recurrent_activation, go_backwards=layer.reverse, **start,
    )  # fmt: skip


def _shown(layer: RecurrentTrace, sequences: bool) -> Array:
    """The outputs of a traced layer as its states say: zeros before the first step that ran; in running order."""
    h = layer.states["h"][::-1] if layer.reverse else layer.states["h"]
    ran = layer.ran[::-1] if layer.reverse else layer.ran
    outputs = h * np.logical_or.accumulate(ran)[:, None]
    return outputs if sequences else outputs[-1]


def _outputs(trace: Trace) -> Iterator[Check]:
    taken: Array = trace.x
    for layer in trace.model.layers:
        given = trace.outputs.get(layer.name)
        if given is None:
            continue
        axes = ("step", "unit") if given.ndim == 2 else ("unit",)
        if isinstance(layer, Recurrent) and layer.path in trace.recurrent:
            yield _same(
                f"{layer.name}: what it gives", given, _shown(trace.recurrent[layer.path], layer.return_sequences), axes
            )
        elif isinstance(layer, Bidirectional) and layer.merge_mode is not None:
            yield _same(f"{layer.name}: what it gives", given, _merged(trace, layer), axes)
        elif type(layer).__name__.endswith("Dropout") or type(layer).__name__.startswith("Dropout"):
            yield _same(f"{layer.name}: output is the input", given, taken, axes)
        taken = given
    yield _same("output is the last layer's", trace.output, taken, ("step",) if taken.ndim == 2 else ())


def _merged(trace: Trace, layer: Bidirectional) -> Array:
    ahead, back = (trace.recurrent[inner.path] for inner in layer.sublayers)
    one, two = _shown(ahead, layer.return_sequences), _shown(back, layer.return_sequences)
    if layer.return_sequences:
        one, two = one * ahead.ran[:, None], two[::-1] * ahead.ran[:, None]  # Keras: zeros at masked steps
    if layer.merge_mode == "concat":
        return np.concatenate([one, two], axis=-1)
    if layer.merge_mode == "mul":
        return np.asarray(one * two)
    return np.asarray(one + two if layer.merge_mode == "sum" else (one + two) / 2)


def _dense(layer: DenseTrace) -> Iterator[Check]:
    tolerance = tolerance_of(layer.z)
    x, kernel = layer.x.astype(np.float64), layer.kernel.astype(np.float64)
    z = x @ kernel + (0 if layer.bias is None else layer.bias)
    terms = float((np.abs(x) @ np.abs(kernel)).max(initial=0))  # a logit near 0 is a sum of larger numbers
    axes = ("step", "unit") if layer.z.ndim == 2 else ("unit",)
    yield compare(f"{layer.path}: x W + b", layer.z, z, tolerance, axes, terms)
    y = activations.get(layer.activation).forward(layer.z.astype(np.float64))
    yield compare(f"{layer.path}: {layer.activation}", layer.y, y, tolerance, axes)


# ---- backward


def _way_back(trace: Trace, y: Any) -> Backward:
    """Gradients of the loss where the model is compiled, else of the predicted logit."""
    back: Backward
    if trace.model.loss is None:
        back = trace.backward()
        return back
    if y is None:
        y = _likely_label(trace)
    back = trace.backward(y=y)
    return back


def _likely_label(trace: Trace) -> Any:
    """The predicted class in the form that the loss takes."""
    output = trace.output
    if type(trace.model.loss).__name__.startswith("Sparse"):
        return output.argmax(axis=-1)
    if output.shape[-1] == 1 or type(trace.model.loss).__name__.startswith(("Binary", "Mean")):
        return np.round(output)[None]
    label = np.zeros_like(output)
    label.reshape(-1, output.shape[-1])[np.arange(label.size // output.shape[-1]), np.atleast_1d(output.argmax(-1))] = 1
    return label[None]


def _steps_back(
    layer: RecurrentTrace, back: LayerGradient, whole: Backward, trace: Trace, all_alone: dict[str, Array]
) -> Iterator[Check]:
    """The way back step by step; fills in the gradients {parameter path} of a way back on its own."""
    t, tolerance = layer.times, tolerance_of(layer.states["h"])
    path = f"{layer.path}: backward,"
    if not len(t):
        return
    saved = _run_step(layer, t)[1] | _own_gates(layer, t)
    f, g = reference.ACTIVATIONS[layer.activation], reference.ACTIVATIONS[layer.recurrent_activation]
    carried = () if back.d_c_carried is None else (back.d_c_carried[t].astype(np.float64),)
    d_states = (back.d_h[t].astype(np.float64), *carried)
    d_x, d_before, d_weights = reference.CELLS[layer.cell].step_backward(saved, d_states, _wide(layer), f, g)
    kernels = {"dL/dh": back.d_h, "dL/dc carried": back.d_c_carried}
    for (name, found), from_later in zip(list(kernels.items())[: len(d_before)], d_before, strict=True):
        assert found is not None
        handed = found[t].astype(np.float64)
        handed[:-1] = from_later[1:] + (back.d_out[t[:-1]] if name == "dL/dh" else 0)
        if name == "dL/dh":
            handed[-1] = back.d_out[t[-1]]
        yield compare(f"{path} {name}, step by step", found[t], handed, tolerance, ("running step", "unit"))
    yield compare(f"{path} dL/dx, step by step", back.d_x[t], d_x, tolerance, ("running step", "feature"))
    own = next(inner for inner in trace.model._everywhere() if inner.path == layer.path)
    alone = _alone_back(layer, back)
    for parameter, expected in zip(own.weights, d_weights, strict=False):
        if not parameter.trainable:
            continue
        summed = entry_of(whole.gradients, parameter)
        yield compare(f"{path} {parameter.name}", summed, expected, tolerance, ("row", "column"))
        drift = all_alone[parameter.path] = alone[f"d_{parameter.name}"]
        yield compare(f"{path} {parameter.name}, from end to start alone", summed, drift, None, ("row", "column"))


def _own_gates(layer: RecurrentTrace, t: Array) -> reference.Saved:
    """The engine's own gates at the steps t: proved on the way forward, and slopes are functions of them.

    The slope of a saturated gate, 1 - y^2 with y near 1, has only the digits that y leaves it.
    """
    found = {name: values[t].astype(np.float64) for name, values in layer.gates.items()}
    if "c" in layer.states:
        function = reference.ACTIVATIONS[layer.activation].function
        found["seen_c"] = function(layer.states["c"][t].astype(np.float64))
    if layer.cell == "gru_reset_after":
        found["h_candidate"] = layer.products["recurrent_candidate"][t].astype(np.float64)
    return found


def _dense_back(trace: Trace, back: Backward) -> Iterator[Check]:
    """Gradients of Dense layers and of the Embedding's rows."""
    for path, (x, d_z) in back.dense.items():
        layer = next(one for one in trace.model._everywhere() if one.path == path)
        wide, d = x.reshape(-1, x.shape[-1]).astype(np.float64), d_z.astype(np.float64)
        for parameter, expected in ((layer.kernel, wide.T @ d), (layer.bias, d.sum(axis=0))):
            if parameter is not None and parameter.trainable:
                found = entry_of(back.gradients, parameter)
                tolerance = tolerance_of(parameter.now())
                yield compare(f"{path}: backward, {parameter.name}", found, expected, tolerance, ("row", "column"))
    embedding = embedding_of(trace.model)
    if type(embedding) is not Embedding or not embedding.embeddings.trainable:
        return
    place = trace.model.layers.index(embedding) + 1
    behind = [one for one in trace.model.layers[place:] if not type(one).__name__.endswith(("Dropout", "Dropout1D"))]
    readers = behind[0].sublayers if behind and isinstance(behind[0], Bidirectional) else behind[:1]
    if not readers or any(one.path not in back.layers for one in readers):
        return
    expected = np.zeros(embedding.embeddings.shape)
    for reader in readers:
        np.add.at(expected, trace.x, np.nan_to_num(back.layers[reader.path].d_x.astype(np.float64)))
    found = entry_of(back.gradients, embedding.embeddings)
    tolerance = tolerance_of(embedding.embeddings.now())
    yield compare(f"{embedding.name}: backward, embeddings", found, expected, tolerance, ("id", "feature"))


def _alone_back(layer: RecurrentTrace, back: LayerGradient) -> dict[str, Array]:
    d_out = np.nan_to_num(back.d_out.astype(np.float64))
    return reference.backward(_alone(layer), (d_out[::-1] if layer.reverse else d_out)[None])
