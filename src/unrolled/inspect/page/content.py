"""What the page holds of a trace: texts, and arrays as float32 in base64, named as the scripts ask for them."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from unrolled.inspect.attribution import Explanation
from unrolled.inspect.backward import Backward, LayerGradient, class_number
from unrolled.inspect.ledger import Ledger
from unrolled.inspect.steps import RecurrentTrace
from unrolled.inspect.trace import Trace
from unrolled.inspect.verify import Report
from unrolled.layers.gates import LETTERS
from unrolled.parameters import Array

BUDGET = 2_600_000  # characters of all layers' numbers on one page
LEAST_UNITS = 8  # of a layer, whatever the budget
NUMBER = 16 / 3  # characters of a float32 in base64
MOST_OUTPUTS = 12  # classes whose running output is on the page: the largest at the end
WORDS = {"h": "hidden", "c": "cell"}
METHODS = {
    "leave_one_out": "without the token",
    "gradient": "gradient × input",
    "integrated": "integrated gradients",
    "ledger": "memory ledger",
    "running": "change of the running logit",
}


def packed(array: Any) -> str:
    """Little-endian float32 in base64: every number as the engine had it, in 5.3 characters."""
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode("ascii")


def of_traces(traces: list[Trace]) -> list[dict[str, Any]]:
    """Everything of the models that share a page."""
    for trace in traces:
        assert trace.last  # says so if there is no recurrent layer
    backs = [trace.backward() for trace in traces]
    layers = [(layer, back) for trace, back in zip(traces, backs, strict=True) for layer in trace.recurrent.values()]
    budgets = iter(shares([need(layer, layer.units) for layer, _ in layers], BUDGET))
    shown = [chosen_units(layer, back.layers.get(layer.path), next(budgets)) for layer, back in layers]
    found = []
    for trace, back in zip(traces, backs, strict=True):
        units = dict(zip(trace.recurrent, shown, strict=False))
        shown = shown[len(units) :]
        found.append(of_trace(trace, back, units))
    return found


def shares(needs: list[float], budget: float) -> list[float]:
    """What each gets of a budget: what it needs, or an equal share of what the small ones leave."""
    found = [0.0] * len(needs)
    for left, k in zip(range(len(needs), 0, -1), np.argsort(needs), strict=True):
        found[k] = min(needs[k], budget / left)
        budget -= found[k]
    return found


def whole(layer: RecurrentTrace) -> list[str]:
    """Quantities of which the derivation of one unit needs all units."""
    return ["hidden", "reset"] if layer.cell == "gru_reset_before" else ["hidden"]


def need(layer: RecurrentTrace, units: int) -> float:
    """Characters that a layer takes on the page if so many of its units are shown."""
    steps, features, gates = len(layer), int(layer.x.shape[1]), len(layer.gates)
    fixed = steps * (features + layer.units * len(whole(layer)))
    gradients = len(layer.states)
    shown = len({*layer.gates, "hidden", *(["cell"] if "c" in layer.states else [])} - set(whole(layer))) + gradients
    return NUMBER * (fixed + units * (steps * shown + gates * (features + layer.units + 2)))


def chosen_units(layer: RecurrentTrace, back: LayerGradient | None, budget: float) -> Array:
    """Numbers of the units that are shown: all, or those that matter most, by the sum over steps of |h dL/dh|."""
    fixed, each = need(layer, 0), need(layer, 1) - need(layer, 0)
    count = max(LEAST_UNITS, int((budget - fixed) / each + 1e-6))
    if count >= layer.units:
        return np.arange(layer.units)
    h = layer.states["h"].astype(np.float64)
    matters = np.abs(h if back is None else h * np.nan_to_num(back.d_h.astype(np.float64))).sum(axis=0)
    return np.sort(np.argsort(-matters, kind="stable")[:count])


def of_trace(trace: Trace, back: Backward, units: dict[str, Array]) -> dict[str, Any]:
    """Everything of one model; units {path: numbers of the units that are shown}."""
    last, explained, report = trace.last, trace.explain(), trace.verify()
    final = trace.output.reshape(-1, trace.output.shape[-1])[-1]
    most = np.sort(np.argsort(-final, kind="stable")[:MOST_OUTPUTS])
    target = class_number(trace, None)
    return {
        "name": name_of(trace),
        "networks": of_networks(trace, target),
        "tokens": trace.tokens,
        "padding": trace.padding.astype(int).tolist(),
        "outputs": [trace.output_names[k] for k in most],
        "other": trace.classes[0] if trace.classes and len(trace.classes) == 2 and len(final) == 1 else None,
        "unlisted": len(final) - len(most),
        "probability": trace.logits is not None,
        "prediction": str(trace.prediction) if trace.logits is not None else None,
        "output": packed(final[most]),
        "running": packed(explained.running.outputs[:, most]),
        "target": int(np.flatnonzero(most == target)[0]),
        "what": back.target,
        "methods": methods(explained),
        "missing": explained.missing,
        "layers": [of_layer(trace, layer, back, units[path]) for path, layer in trace.recurrent.items()],
        "last": list(trace.recurrent).index(last.path),
        "verify": of_report(report),
    }


def name_of(trace: Trace) -> str:
    """The model's name, with the network's number where there are several."""
    several = "" if trace.networks is None else f", network {trace.networks.number} of {len(trace.networks)}"
    return f"{trace.model.name}{several}"


def of_networks(trace: Trace, k: int) -> dict[str, Any] | None:
    """What each of several networks says of output k, and their average."""
    found = trace.networks
    if found is None:
        return None
    said = {"said": found.outputs[:, k].tolist(), "average": float(found.average[k])}
    return {"number": found.number, "name": found.names[k], **said}


def methods(explained: Explanation) -> list[dict[str, Any]]:
    """Every attribution with its note."""
    found = []
    for name, label in METHODS.items():
        if name in explained.methods:
            one = explained.methods[name]
            key = "change" if name == "running" else name  # "running" is the output itself there
            found.append({"name": key, "label": label, "scores": packed(one.scores), "note": one.note})
    return found


def of_layer(trace: Trace, layer: RecurrentTrace, back: Backward, units: Array) -> dict[str, Any]:
    """A recurrent layer: what ran in these units, and the weights from which the page derives each number again."""
    w, everything = layer.weights, whole(layer)
    columns = (units[None] + layer.units * np.arange(len(layer.gates))[:, None]).ravel()

    def shown(name: str, values: Array) -> str:
        return packed(values if name in everything else values[..., units])

    gates = {} if layer.cell == "simple_rnn" else {name: shown(name, values) for name, values in layer.gates.items()}
    found: dict[str, Any] = {
        "path": layer.path,
        "cell": layer.cell,
        "activation": layer.activation,
        "recurrent_activation": layer.recurrent_activation,
        "units": len(units),
        "all": layer.units,
        "shown": None if len(units) == layer.units else units.tolist(),
        "whole": everything,
        "features": int(w.kernel.shape[0]),
        "reverse": layer.reverse,
        "own_steps": len(layer) != len(trace),
        "ran": layer.ran.astype(int).tolist(),
        "gates": gates,
        "letters": dict(zip(layer.gates, LETTERS[layer.cell], strict=True)),
        "states": {WORDS[name]: shown(WORDS[name], values) for name, values in layer.states.items()},
        "start": {WORDS[name]: shown(WORDS[name], values) for name, values in layer.start.items()},
        "x": packed(layer.x),
        "kernel": packed(w.kernel[:, columns]),
        "recurrent_kernel": packed(w.recurrent_kernel[:, columns]),
        "bias": None if w.bias is None else packed(w.bias[..., columns]),
        "bias_rows": 0 if w.bias is None else int(np.atleast_2d(w.bias).shape[0]),
        "ledger": of_ledger(trace, layer),
        "gradients": {},
        "norms": {},
    }
    gradient = back.layers.get(layer.path)
    if gradient is not None:
        by_state = {"hidden": gradient.d_h} | ({} if gradient.d_c is None else {"cell": gradient.d_c})
        found["gradients"] = {name: packed(values[:, units]) for name, values in by_state.items()}
        found["norms"] = {name: packed(norms(values)) for name, values in by_state.items()}
    return found


def norms(values: Array) -> Array:
    """Euclidean norm of every step (T,)."""
    found: Array = np.linalg.norm(values.astype(np.float64), axis=1)
    return found


def of_ledger(trace: Trace, layer: RecurrentTrace) -> dict[str, Any]:
    """The memory ledger by token, or why there is none."""
    try:
        book: Ledger = trace.ledger(layer.path)
    except ValueError as error:
        return {"why": str(error)}
    return {
        "state": WORDS[book.state],
        "written": packed(norms(book.written)),
        "survived": packed(book.survived.mean(axis=1)),
        "kept": packed(norms(book.kept)),
        "logit": None if book.logit is None else packed(book.logit),
        "rest": book.rest,
        "total": book.total,
        "target": book.target,
        "notes": book.table().notes,
    }


def of_report(report: Report) -> dict[str, Any]:
    """What verify found."""
    table = report.table()
    proved = [check for check in report.checks if check.tolerance is not None]
    return {
        "ok": report.ok,
        "held": sum(check.ok for check in proved),
        "count": len(proved),
        "largest": f"{max((check.error for check in proved), default=0.0):.1e}",
        "header": table.header,
        "rows": table.rows,
    }
