"""One recurrent layer's steps over one row: gates, candidate, states, and what they are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from unrolled import reference
from unrolled.batch import Sequence
from unrolled.errors import UnknownNameError, require_extra
from unrolled.inspect.arrays import Labelled, labelled
from unrolled.inspect.parts import Parts, split
from unrolled.inspect.stash import RowSteps, unpack
from unrolled.layers.gates import GATES, LETTERS, gate_name
from unrolled.layers.recurrent import Pass, Recurrent
from unrolled.parameters import Array
from unrolled.printing import Shown, Table, show_number


@dataclass(frozen=True)
class HeldHidden:
    """Hidden states that were overwritten: units; value, of the layer's float type; computed, the kernel's own (T, n).

    computed: of these n units after each step that was held and ran, before the value took its place; NaN elsewhere.
    """

    units: list[int]
    value: Any
    computed: Array


@dataclass(frozen=True)
class Held:
    """What was held at some steps: steps (T,) of bool, the weights that ran there, and hidden: HeldHidden or None."""

    steps: Array
    weights: reference.Weights
    hidden: HeldHidden | None = None


@dataclass(eq=False)
class RecurrentTrace(Shown):
    """What the engine computed in one recurrent layer for one row, steps numbered as in the input.

    Arrays of the engine's own float type: x (T, D); states {"h": (T, H), "c": (T, H)}, after each step; start, the
    states (H,) before all; gates {word: (T, H)}, NaN where a masked step did not run; products: what else a step keeps
    (GRU: "recurrent_candidate" h U + b_r, or "reset_hidden" r*h). ran (T,), False where masked; reverse: from the last
    step to the first; weights: copies of kernel, recurrent_kernel, bias as they were; held: what ran in their place at
    some steps, after clamp or ablate with steps=, or the hidden states that clamp("hidden") overwrote; else None.

    By word or Keras' letter: gate("forget"), gate("f") or .forget, .f; .h and .c are the states.
    """

    name: str
    path: str
    cell: str
    activation: str
    recurrent_activation: str
    reverse: bool
    tokens: list[str]
    ran: Array
    x: Array
    states: dict[str, Array]
    start: dict[str, Array]
    gates: dict[str, Array]
    products: dict[str, Array]
    weights: reference.Weights = field(repr=False)
    held: Held | None = field(default=None, repr=False)

    # ---- sizes and errors

    @property
    def label(self) -> str:
        """How errors call it."""
        return f'trace of "{self.path}"'

    @property
    def units(self) -> int:
        """H."""
        return int(self.weights.recurrent_kernel.shape[0])

    def __len__(self) -> int:
        """Number of steps, masked ones included."""
        return len(self.ran)

    @property
    def times(self) -> Array:
        """The steps that ran, in the order in which they ran."""
        ran = np.flatnonzero(self.ran)
        return ran[::-1] if self.reverse else ran

    # ---- arrays

    def _labelled(self, array: Array, name: str, dims: tuple[str, ...] = ("step", "unit")) -> Labelled:
        return labelled(array, name, dims, {"step": self.tokens})

    def gate(self, name: str) -> Labelled:
        """A gate's values (T, H), by word or Keras' letter; NaN where a masked step did not run.

        Raises: UnknownNameError listing the gates there are.
        """
        word = gate_name(self.cell, name, self.label)
        return self._labelled(self.gates[word], word)

    def state(self, name: str) -> Labelled:
        """The state "h" (or "hidden"), or "c" ("cell"), after each step (T, H); a masked step keeps the one before.

        Raises: UnknownNameError.
        """
        key = {"hidden": "h", "cell": "c"}.get(name, name)
        if key not in self.states:
            only = "hidden (h)" + (" and cell (c)" if "c" in self.states else "; only an LSTM has a cell state")
            raise UnknownNameError(f"{self.label}: there is no state {name!r}. States: {only}.")
        return self._labelled(self.states[key], {"h": "hidden", "c": "cell"}[key])

    @property
    def h(self) -> Labelled:
        """The hidden state after each step (T, H)."""
        return self.state("h")

    @property
    def c(self) -> Labelled:
        """The cell state after each step (T, H), of an LSTM."""
        return self.state("c")

    def __getattr__(self, name: str) -> Any:
        cell = self.__dict__.get("cell")
        if cell is None or name.startswith("_"):
            raise AttributeError(name)
        if name in GATES[cell] or name in LETTERS[cell] or name == "g":
            return self.gate(name)
        raise AttributeError(
            f"{self.label} has no attribute {name!r}. Gates: {', '.join(GATES[cell])}; "
            f"states: {', '.join(self.states)}."
        )

    def __getitem__(self, name: str) -> Labelled:
        """gate(name) or state(name)."""
        words = {**{s: s for s in self.states}, "hidden": "h", "cell": "c"}
        return self.state(name) if name in words and name not in GATES[self.cell] else self.gate(name)

    def before(self, name: str) -> Array:
        """The state "h" or "c" that each step started from (T, H)."""
        after = self.states[name][::-1] if self.reverse else self.states[name]
        shifted = np.concatenate([self.start[name][None], after[:-1]])
        return shifted[::-1] if self.reverse else shifted

    @cached_property
    def parts(self) -> Parts:
        """Pre-activations split into x W, h U and b, in float64 from these states; see Parts."""
        return split(self)

    # ---- one step, one unit

    def step(self, number: int) -> Step:
        """Everything of one step, numbered as in the input; negative numbers count from the end.

        Raises: IndexError saying which steps there are.
        """
        t = whole_number(number, len(self), self.label, "step")
        return Step(self, t)

    def unit(self, number: int) -> Unit:
        """Everything of one unit over all steps.

        Raises: IndexError saying which units there are.
        """
        return Unit(self, whole_number(number, self.units, self.label, "unit"))

    # ---- tables

    def to_pandas(self) -> Any:
        """A DataFrame: a row a step (number and token), columns (quantity, unit).

        Raises: MissingExtraError without pandas.
        """
        pandas = require_extra("pandas", "pandas", "to_pandas")
        columns = {**self.gates, **{{"h": "hidden", "c": "cell"}[k]: v for k, v in self.states.items()}}
        index = pandas.MultiIndex.from_arrays([range(len(self)), self.tokens], names=["step", "token"])
        names = pandas.MultiIndex.from_product([list(columns), range(self.units)], names=["quantity", "unit"])
        return pandas.DataFrame(np.concatenate(list(columns.values()), axis=1), index=index, columns=names)

    def table(self) -> Table:
        """A row a step; means over the units of every gate, and norms of the states (with one unit the values)."""
        one = self.units == 1
        states = {{"h": "hidden", "c": "cell"}[k]: v for k, v in self.states.items()}
        gates = {k: v for k, v in self.gates.items() if k not in states}
        header = ["step", "token", *(k if one else f"mean {k}" for k in gates)]
        header += [k if one else f"|{k}|" for k in states]
        rows = []
        for t, token in enumerate(self.tokens):
            row = [str(t), token if self.ran[t] else f"{token} (masked)"]
            row += [show_number(v[t].mean()) for v in gates.values()]
            row += [show_number(v[t, 0] if one else np.linalg.norm(v[t])) for v in states.values()]
            rows.append(row)
        way = ", from the last step to the first" if self.reverse else ""
        units = f"{self.units} unit{'s' if self.units > 1 else ''}"
        return Table(
            f"{self.path}: {self.cell}, {units}, {int(self.ran.sum())} of {len(self)} steps ran{way}", header, rows
        )


def read_pass(
    layer: Recurrent, x: Sequence, ran: Pass, width: int, row: int, tokens: list[str], weights: Any, values: Array
) -> RecurrentTrace:
    """One row of what the engine kept in a pass; width: lanes of a vector; values (T, D): x's row."""
    units, steps = layer.units, x.index.shape[1]
    where = RowSteps.of(ran, row, None if x.mask is None else x.mask[row])
    happened = np.zeros(steps, bool)
    happened[where.times] = True
    states, start = {}, {}
    for name, rows in zip(("h", "c")[: layer.kind.states], (ran.h, ran.c), strict=False):
        states[name] = rows[where.state_rows, :units]
        start[name] = rows[where.start, :units].copy()
    kept = unpack(layer.cell, ran.stash[where.positions], width, units)
    if layer.cell == "simple_rnn":
        kept = {"hidden": ran.h[1 + where.positions, :units]}
    full = {}
    for name, entries in kept.items():
        full[name] = np.full((steps, units), np.nan, entries.dtype)
        full[name][where.times] = entries
    return RecurrentTrace(
        layer.name, layer.path, layer.cell, layer.activation, layer.recurrent_activation, layer.go_backwards, tokens,
        happened, values, states, start,
        {gate: full[gate] for gate in GATES[layer.cell]},
        {name: entries for name, entries in full.items() if name not in GATES[layer.cell]},
        weights,
    )  # fmt: skip


def whole_number(number: int, count: int, label: str, what: str) -> int:
    """An index from 0 to count-1, from the end if negative.

    Raises: IndexError or TypeError saying which there are.
    """
    if isinstance(number, bool) or not isinstance(number, int | np.integer):
        raise TypeError(f"{label}: expected the number of a {what}, 0 to {count - 1}, got {number!r}.")
    if not -count <= number < count:
        raise IndexError(f"{label}: there is no {what} {number}. It has {count}: 0 to {count - 1}.")
    return int(number) % count


class Step(Shown):
    """One step of one layer: its token, what came in, gates and states (H,), and the derivation.

    Attributes: number, token, ran, x (D,), gates {word: (H,)}, before and after {"h": (H,), "c": (H,)}.
    """

    def __init__(self, layer: RecurrentTrace, number: int) -> None:
        self.layer, self.number = layer, number
        self.token, self.ran = layer.tokens[number], bool(layer.ran[number])
        self.x = layer.x[number]
        self.gates = {name: values[number] for name, values in layer.gates.items()}
        self.before = {name: layer.before(name)[number] for name in layer.states}
        self.after = {name: values[number] for name, values in layer.states.items()}

    def gate(self, name: str) -> Labelled:
        """A gate's values (H,)."""
        word = gate_name(self.layer.cell, name, self.layer.label)
        return labelled(self.gates[word], word, ("unit",))

    def __getattr__(self, name: str) -> Any:
        if "layer" in self.__dict__ and not name.startswith("_"):
            if name in self.after:
                return labelled(self.after[name], name, ("unit",))
            layer = self.layer
            if name in GATES[layer.cell] or name in LETTERS[layer.cell]:
                return self.gate(name)
        raise AttributeError(name)

    def table(self) -> Table:
        """A row for every unit and gate, x W + h U + b = z and the value with its residual; then the states."""
        layer, t = self.layer, self.number
        title = f"{layer.path}, step {t}" + (f": {self.token!r}" if self.token else "")
        if not self.ran:
            return Table(f"{title} is masked: it did not run, and the state stays.", ["unit"], [])
        parts, rows = layer.parts, []
        for u in range(layer.units):
            for gate, value in self.gates.items():
                b = np.broadcast_to(parts.b[gate], parts.z[gate].shape)[t, u]
                terms = [parts.x[gate][t, u], parts.h[gate][t, u], b, parts.z[gate][t, u], value[u]]
                rows.append([str(u), gate, *map(show_number, terms), f"{parts.residual[gate][t, u]:+.0e}"])
            for state, new in self.after.items():
                if layer.cell != "simple_rnn":  # whose one gate is its state
                    before = f"from {show_number(self.before[state][u])}"
                    word = {"h": "hidden", "c": "cell"}[state]
                    rows.append([str(u), word, before, "", "", "", show_number(new[u]), ""])
        notes = list(parts.notes)
        if layer.held is not None and layer.held.hidden is not None and layer.held.steps[t]:
            over = layer.held.hidden
            units = f"unit{'s' * (len(over.units) > 1)} {', '.join(map(str, over.units))}"
            notes.append(f"hidden of {units} was held at {show_number(over.value)}, whatever the step computed.")
        return Table(title, ["unit", "", "x W", "h U", "b", "z", "value", "residual"], rows, notes=notes)


class Unit(Shown):
    """One unit of one layer over all steps: gates and states (T,).

    Attributes: number; gates {word: (T,)}; states {"h": (T,), "c": (T,)}.
    """

    def __init__(self, layer: RecurrentTrace, number: int) -> None:
        self.layer, self.number = layer, number
        self.gates = {name: values[:, number] for name, values in layer.gates.items()}
        self.states = {name: values[:, number] for name, values in layer.states.items()}

    def gate(self, name: str) -> Labelled:
        """A gate's values (T,)."""
        word = gate_name(self.layer.cell, name, self.layer.label)
        return labelled(self.gates[word], word, ("step",), {"step": self.layer.tokens})

    def __getattr__(self, name: str) -> Any:
        if "layer" in self.__dict__ and not name.startswith("_"):
            if name in self.states:
                return labelled(self.states[name], name, ("step",), {"step": self.layer.tokens})
            if name in GATES[self.layer.cell] or name in LETTERS[self.layer.cell]:
                return self.gate(name)
        raise AttributeError(name)

    def to_pandas(self) -> Any:
        """A DataFrame: a row a step, a column a quantity."""
        pandas = require_extra("pandas", "pandas", "to_pandas")
        index = pandas.MultiIndex.from_arrays([range(len(self.layer)), self.layer.tokens], names=["step", "token"])
        return pandas.DataFrame({**self.gates, **self.states}, index=index)

    def table(self) -> Table:
        """A row a step."""
        columns = {**{k: v for k, v in self.gates.items() if k != "hidden"}, **self.states}
        rows = [
            [str(t), token, *(show_number(v[t]) for v in columns.values())] for t, token in enumerate(self.layer.tokens)
        ]
        return Table(f"{self.layer.path}, unit {self.number}", ["step", "token", *columns], rows)
