"""What if: another token, one less or one more, a gate or unit held, a unit silenced; and the model runs again.

Gates and units are held by weights, so that the production kernel runs: a gate's columns of kernel and
recurrent_kernel become 0 and its bias the number whose activation is the wanted value. A silenced unit has a candidate
of 0 (SimpleRNN: its own columns are 0), and nothing of its state is kept (GRU) or shown (LSTM). At some steps only, the
kernel runs stretch by stretch, with these weights and with the model's own (inspect/stretches.py). No weights give an
LSTM's or a GRU's hidden state any value: to hold one the kernel runs up to the step, and the state that it hands on is
overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from unrolled import reference
from unrolled.errors import ShapeError, UnknownNameError, closest
from unrolled.inspect.reading import embedding_of
from unrolled.inspect.steps import RecurrentTrace, whole_number
from unrolled.inspect.stretches import Overwrite, Stretches, running_copy
from unrolled.inspect.trace import Trace
from unrolled.inspect.words import PAD
from unrolled.layers.gates import GATES, gate_name
from unrolled.layers.recurrent import Recurrent
from unrolled.parameters import Array
from unrolled.printing import Shown, Table, show_number

SATURATED = 1e4  # sigmoid(1e4) = 1 and sigmoid(-1e4) = 0 to rounding


class Counterfactual(Shown):
    """A trace before and after one change.

    Attributes: what, the change in words; before, after: Trace; change (K,): output after minus before.
    """

    def __init__(self, what: str, before: Trace, after: Trace) -> None:
        self.what, self.before, self.after = what, before, after

    @property
    def change(self) -> Array:
        """Outputs after minus before, of the last step if there are several."""
        last = [t.output.reshape(-1, t.output.shape[-1])[-1].astype(np.float64) for t in (self.after, self.before)]
        difference: Array = last[0] - last[1]
        return difference

    def table(self) -> Table:
        """A row an output."""
        rows = []
        one, two = (t.output.reshape(-1, t.output.shape[-1])[-1] for t in (self.before, self.after))
        for k, (name, difference) in enumerate(zip(self.before.output_names, self.change, strict=True)):
            rows.append([name, show_number(one[k]), show_number(two[k]), f"{difference:+.4f}"])
        return Table(self.what, ["", "before", "after", "change"], rows)


# ---- tokens


def _entry(trace: Trace, token: Any) -> Array:
    """A token as an entry of x: an id, or a vector (D,)."""
    if trace.x.ndim == 1:
        number = trace.words.id_of(token, trace.label)
        embedding = embedding_of(trace.model)
        if embedding is not None and not 0 <= number < embedding.input_dim:
            raise ValueError(f"{trace.label}: there is no id {number}. Ids: 0 to {embedding.input_dim - 1}.")
        return np.array(number, trace.x.dtype)
    vector = np.broadcast_to(np.asarray(token, trace.x.dtype), trace.x.shape[1:]) if np.ndim(token) == 0 else token
    if np.shape(vector) != trace.x.shape[1:]:
        raise ShapeError(f"{trace.label}: expected a step of shape {trace.x.shape[1:]}, got {np.shape(vector)}.")
    return np.asarray(vector, trace.x.dtype)


def _fixed(trace: Trace) -> bool:
    """Whether the number of steps stays: the row is padded, or the model wants this length."""
    embedding = embedding_of(trace.model)
    declared = trace.model.input_shape
    wants = declared is not None and len(declared) > 1 and declared[1] is not None
    return bool(trace.padding.any()) or wants or (embedding is not None and embedding.input_length is not None)


def without(trace: Trace, step: int) -> Array:
    """The input without a step; where its length stays, a step of padding takes up the room, where padding stands."""
    shorter = np.delete(trace.x, step, axis=0)
    if not _fixed(trace):
        return shorter
    blank = np.zeros((1, *trace.x.shape[1:]), trace.x.dtype)
    behind = trace.padding[-1] and not trace.padding[0]
    return np.concatenate([shorter, blank] if behind else [blank, shorter])


def _name(trace: Trace, entry: Array, token: Any) -> str:
    return token if isinstance(token, str) else trace.words.with_tokens(None).name(entry[None])[0] or str(token)


def _changed(trace: Trace, what: str, x: Array, tokens: list[str]) -> Counterfactual:
    trace.require_same_weights("a counterfactual")
    return Counterfactual(what, trace, trace.again(x, tokens=tokens))


def swap(trace: Trace, step: int, token: Any) -> Counterfactual:
    """See Trace.swap."""
    t = whole_number(step, len(trace), trace.label, "step")
    x, entry, tokens = trace.x.copy(), _entry(trace, token), list(trace.tokens)
    x[t] = entry
    tokens[t] = _name(trace, entry, token)
    return _changed(trace, f"step {t}: {trace.tokens[t]!r} becomes {tokens[t]!r}", x, tokens)


def delete(trace: Trace, step: int) -> Counterfactual:
    """See Trace.delete."""
    t = whole_number(step, len(trace), trace.label, "step")
    if len(trace) == 1:
        raise ValueError(f"{trace.label}: the only step cannot be deleted; swap it.")
    x, tokens = without(trace, t), list(trace.tokens)
    gone = tokens.pop(t)
    behind = trace.padding[-1] and not trace.padding[0]
    if len(x) > len(tokens):
        tokens = [*tokens, PAD] if behind else [PAD, *tokens]
    return _changed(trace, f"step {t}: {gone!r} deleted", x, tokens)


def insert(trace: Trace, step: int, token: Any) -> Counterfactual:
    """See Trace.insert."""
    t = len(trace) if step == len(trace) else whole_number(step, len(trace), trace.label, "step")
    entry = _entry(trace, token)
    x, tokens = np.insert(trace.x, t, entry, axis=0), list(trace.tokens)
    name = _name(trace, entry, token)
    tokens.insert(t, name)
    if _fixed(trace):
        if not trace.padding.any():
            raise ValueError(
                f"{trace.label}: the model wants {len(trace)} steps and none is padding, so there is no room. "
                "Swap instead."
            )
        gone = 0 if trace.padding[0] else len(x) - 1
        x = np.delete(x, gone, axis=0)
        tokens.pop(gone)
    return _changed(trace, f"{name!r} inserted before step {t}", x, tokens)


# ---- gates and units


def _copy(trace: Trace) -> Any:
    trace.require_same_weights("a counterfactual")
    trace.require_whole("clamp or ablate")  # the copy would not hold what is held here
    model = type(trace.model).from_config(trace.model.get_config())
    if not model.built:
        model.build_from_data(trace.x[None])
    model.set_weights([p.now() for p in trace.model.weights])
    for layer in model._everywhere():
        if isinstance(layer, Recurrent) and layer.stateful:
            layer.states = [state[None].copy() for state in trace.recurrent[layer.path].start.values()]
    return model


def _layer(trace: Trace, model: Any, name: str | None) -> tuple[RecurrentTrace, Recurrent]:
    traced = trace.last if name is None else trace[name]
    if not isinstance(traced, RecurrentTrace):
        raise UnknownNameError(
            f"{trace.label}: {name!r} is no recurrent layer. Recurrent: {', '.join(trace.recurrent)}."
        )
    return traced, next(layer for layer in model._everywhere() if layer.path == traced.path)


def _units(traced: RecurrentTrace, units: Any) -> list[int]:
    if units is None:
        return list(range(traced.units))
    asked = list(units) if isinstance(units, Iterable) else [units]
    if not asked:
        raise IndexError(f"{traced.label}: got no units. It has {traced.units}: 0 to {traced.units - 1}.")
    return [whole_number(u, traced.units, traced.label, "unit") for u in asked]


def pre_activation(activation: str, value: float, label: str) -> float:
    """The z with activation(z) = value, or one that saturates.

    Raises: ValueError saying which values the activation takes.
    """
    inverse: dict[str, tuple[float, float, Callable[[float], float]]] = {
        "sigmoid": (0, 1, lambda v: np.log(v) - np.log1p(-v)),
        "hard_sigmoid": (0, 1, lambda v: 6 * v - 3),
        "tanh": (-1, 1, np.arctanh),
        "softsign": (-1, 1, lambda v: v / (1 - abs(v))),
        "relu": (0, np.inf, lambda v: v),
        "linear": (-np.inf, np.inf, lambda v: v),
    }
    low, high, back = inverse[activation]
    if not low <= value <= high:
        raise ValueError(f"{label}: {activation} takes values from {low} to {high}, got {value!r}.")
    if value in (low, high) and np.isfinite(value) and activation != "relu":
        if activation == "softsign":
            raise ValueError(f"{label}: softsign only comes near {value!r}. Give a value between {low} and {high}.")
        return SATURATED if value == high else -SATURATED
    return float(back(value))


def _hold(layer: Recurrent, gate: str, units: list[int], z: float) -> None:
    """Make a gate's pre-activation z whatever comes in."""
    for parameter in (layer.kernel, layer.recurrent_kernel):
        parameter[gate][:, units] = 0
    assert layer.bias is not None
    layer.bias[gate][..., units] = 0
    row: Array = np.atleast_2d(layer.bias[gate])[0]
    row[units] = z


def _with_bias(model: Any, layer: Recurrent, trace: Trace) -> tuple[Any, Recurrent]:
    """A model whose layer has a bias to hold gates by."""
    if layer.bias is not None:
        return model, layer
    config = model.get_config()
    _set_use_bias(config, layer.name)
    other = type(model).from_config(config)
    if not other.built:
        other.build_from_data(trace.x[None])
    values = {p.path: p.now() for p in model.weights}
    for parameter in other.weights:
        parameter.assign(values.get(parameter.path, np.zeros(parameter.shape)))
    return other, next(one for one in other._everywhere() if one.path == layer.path)


def _set_use_bias(config: Any, name: str) -> None:
    if isinstance(config, dict):
        if config.get("name") == name and "use_bias" in config:
            config["use_bias"] = True
        for part in config.values():
            _set_use_bias(part, name)
    elif isinstance(config, list):
        for part in config:
            _set_use_bias(part, name)


def _steps(traced: RecurrentTrace, asked: Any) -> Array | None:
    """(T,) True at the steps that were asked for; None: all."""
    if asked is None:
        return None
    found = np.zeros(len(traced), bool)
    if isinstance(asked, slice):
        found[asked] = True
        if not found.any():
            raise IndexError(f"{traced.label}: {asked} has no step. It has {len(traced)}: 0 to {len(traced) - 1}.")
        return found
    if not isinstance(asked, str) and isinstance(asked, Iterable) and not len(asked := list(asked)):
        raise IndexError(f"{traced.label}: got no steps. Leave steps out for all {len(traced)}.")
    for one in [asked] if isinstance(asked, str) or not isinstance(asked, list) else asked:
        if not isinstance(one, str):
            found[whole_number(one, len(traced), traced.label, "step")] = True
        elif one in traced.tokens:
            found |= np.array([token == one for token in traced.tokens])
        else:
            hint = closest(one, dict.fromkeys(traced.tokens))
            raise UnknownNameError(f"{traced.label}: there is no step with the word {one!r}{hint}")
    return found


def _where(steps: Array | None) -> str:
    if steps is None:
        return ""
    numbers = np.flatnonzero(steps).tolist()
    shown = ", ".join(map(str, numbers[:8])) + (f" ... {numbers[-1]}" if len(numbers) > 8 else "")
    return f" at step{'s' * (len(numbers) > 1)} {shown}"


def _run_held(
    trace: Trace, what: str, own: Recurrent, model: Any, gates: dict[str, float], units: list[int], steps: Array | None
) -> Counterfactual:
    """Run the copied model with gates {word: pre-activation} held, by the layer's weights or by stretches of them."""
    model, own = _with_bias(model, own, trace)
    held = own if steps is None else running_copy(own)
    for gate, z in gates.items():
        _hold(held, gate, units, z)
    if steps is not None:
        # of this copy alone: everything else of the layer stays what the model and the trace know
        setattr(own, "forward", Stretches(own, held, steps))  # noqa: B010
    return Counterfactual(what + _where(steps), trace, trace.again(model=model))


def clamp(trace: Trace, gate: str, value: float, units: Any, layer: str | None, steps: Any) -> Counterfactual:
    """See Trace.clamp."""
    traced, own = _layer(trace, model := _copy(trace), layer)
    _require_finite(traced, own, value)
    if gate in ("hidden", "cell") and gate not in GATES[traced.cell]:
        return _clamp_state(trace, gate, value, _units(traced, units), traced, own, model, _steps(traced, steps))
    word = _gate(traced, gate)
    activation = traced.activation if word in ("candidate", "hidden") else traced.recurrent_activation
    numbers, at = _units(traced, units), _steps(traced, steps)
    z = pre_activation(activation, float(value), traced.label)
    what = f"{traced.path}: {word} of {_who(traced, numbers)} held at {value:g}"
    return _run_held(trace, what, own, model, {word: z}, numbers, at)


def _require_finite(traced: RecurrentTrace, own: Recurrent, value: float) -> None:
    most = float(np.finfo(own.dtype).max)
    if not -most <= value <= most:  # nor NaN
        raise ValueError(f"{traced.label}: expected a finite value of {own.dtype}, got {value!r}.")


def _gate(traced: RecurrentTrace, gate: str) -> str:
    """The word of a gate; the error names the hidden state too, which can be held as well."""
    try:
        return gate_name(traced.cell, gate, traced.label)
    except UnknownNameError as error:
        more = "" if traced.cell == "simple_rnn" else ' Or "hidden", the state.'
        raise UnknownNameError(f"{error.args[0]}{more}") from None


def _who(traced: RecurrentTrace, units: list[int]) -> str:
    return "all units" if len(units) == traced.units else f"units {', '.join(map(str, units))}"


def _clamp_state(
    trace: Trace, state: str, value: float, units: list[int], traced: RecurrentTrace, own: Recurrent, model: Any,
    steps: Array | None,
) -> Counterfactual:  # fmt: skip
    """Hold the hidden state of an LSTM or a GRU: the kernel's own weights run, and what they hand on is overwritten."""
    if state == "cell":
        remedy = "To keep what an LSTM's cell has, hold its forget gate at 1 and its input gate at 0."
        raise ValueError(
            f'{traced.label}: of the states only "hidden" can be held, not "cell". '
            + (remedy if "c" in traced.states else "Only an LSTM has a cell state.")
        )
    stretches = Stretches(own, own, steps, Overwrite(units, own.dtype.type(value)))
    setattr(own, "forward", stretches)  # noqa: B010  of this copy alone, as in _run_held
    what = f"{traced.path}: hidden of {_who(traced, units)} held at {value:g}{_where(steps)}"
    return Counterfactual(what, trace, trace.again(model=model))


def ablate(trace: Trace, units: Any, layer: str | None, steps: Any) -> Counterfactual:
    """See Trace.ablate."""
    traced, own = _layer(trace, model := _copy(trace), layer)
    numbers, at = _units(traced, units), _steps(traced, steps)
    at_zero = float(reference.ACTIVATIONS[traced.activation].function(np.zeros(1))[0])
    if at_zero != 0:
        raise ValueError(
            f"{traced.label}: a unit with the activation {traced.activation} cannot be held at 0, for it is "
            f"{at_zero:g} at 0. Set its rows of recurrent_kernel and of the next layer's kernel to 0 instead."
        )
    closed = {"lstm": ["output"], "simple_rnn": []}.get(traced.cell, ["update"])
    gates = {gate: pre_activation(traced.recurrent_activation, 0.0, traced.label) for gate in closed}
    gates["hidden" if traced.cell == "simple_rnn" else "candidate"] = 0.0
    return _run_held(
        trace, f"{traced.path}: units {', '.join(map(str, numbers))} silent", own, model, gates, numbers, at
    )
