"""What the page holds of a trace: texts, and arrays as float32 in base64, named as the scripts ask for them."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from unrolled.inspect.attribution import Explanation
from unrolled.inspect.backward import Backward, class_number
from unrolled.inspect.ledger import Ledger
from unrolled.inspect.steps import RecurrentTrace
from unrolled.inspect.trace import Trace
from unrolled.inspect.verify import Report
from unrolled.layers.gates import LETTERS
from unrolled.parameters import Array

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


def of_trace(trace: Trace) -> dict[str, Any]:
    """Everything of one model."""
    last = trace.last  # says so if there is no recurrent layer
    explained, back, report = trace.explain(), trace.backward(), trace.verify()
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
        "layers": [of_layer(trace, layer, back) for layer in trace.recurrent.values()],
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


def of_layer(trace: Trace, layer: RecurrentTrace, back: Backward) -> dict[str, Any]:
    """A recurrent layer: what ran, and the weights from which the page derives each number again."""
    w = layer.weights
    gates = {} if layer.cell == "simple_rnn" else {name: packed(values) for name, values in layer.gates.items()}
    found: dict[str, Any] = {
        "path": layer.path,
        "cell": layer.cell,
        "activation": layer.activation,
        "recurrent_activation": layer.recurrent_activation,
        "units": layer.units,
        "features": int(w.kernel.shape[0]),
        "reverse": layer.reverse,
        "own_steps": len(layer) != len(trace),
        "ran": layer.ran.astype(int).tolist(),
        "gates": gates,
        "letters": dict(zip(layer.gates, LETTERS[layer.cell], strict=True)),
        "states": {WORDS[name]: packed(values) for name, values in layer.states.items()},
        "start": {WORDS[name]: packed(values) for name, values in layer.start.items()},
        "x": packed(layer.x),
        "kernel": packed(w.kernel),
        "recurrent_kernel": packed(w.recurrent_kernel),
        "bias": None if w.bias is None else packed(w.bias),
        "bias_rows": 0 if w.bias is None else int(np.atleast_2d(w.bias).shape[0]),
        "ledger": of_ledger(trace, layer),
        "gradients": {},
        "norms": {},
    }
    gradient = back.layers.get(layer.path)
    if gradient is not None:
        by_state = {"hidden": gradient.d_h} | ({} if gradient.d_c is None else {"cell": gradient.d_c})
        found["gradients"] = {name: packed(values) for name, values in by_state.items()}
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
