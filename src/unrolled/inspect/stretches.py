"""A recurrent layer with other weights, or hidden states of our own, at some steps: run stretch by stretch.

From step to step a recurrent layer hands on nothing but its states. So the steps up to a change run with the one set of
weights, those behind it with the other from the states that were handed on: no step is computed by anything but the
production kernel. To hold a hidden state, a stretch ends behind every held step, and what it hands on is overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from unrolled import reference
from unrolled.batch import Sequence
from unrolled.inspect.stash import lanes
from unrolled.inspect.steps import Held, HeldHidden, RecurrentTrace, read_pass
from unrolled.layers.recurrent import Pass, Recurrent
from unrolled.layers.watch import report, watching
from unrolled.parameters import Array, Backprop, Gradients, Mode


@dataclass(frozen=True)
class Overwrite:
    """The hidden state of some units becomes a value after a step."""

    units: list[int]
    value: Any

    def put(self, h: Array, value: Any, rows: Array) -> Array:
        """A copy of h (B, ..., H) with these units at a value in some rows (B,) of bool."""
        changed = h.copy()
        for unit in self.units:
            changed[rows, ..., unit] = value
        return changed


@dataclass(frozen=True)
class Stretch:
    """Steps of the input that ran together: with the held weights or not, what they read, what the engine kept."""

    steps: slice
    held: bool
    x: Sequence
    ran: Pass


class Stretches:
    """Stands in for the forward pass of a copied layer: at the steps (T,) of bool `held` runs, else `layer`.

    steps None: at all, however many come; hidden: what the hidden state of some units becomes after each of them.
    """

    def __init__(self, layer: Recurrent, held: Recurrent, steps: Array | None, hidden: Overwrite | None = None) -> None:
        self.layer, self.steps, self.hidden = layer, steps, hidden
        self.runners = (running_copy(layer), running_copy(held))

    @property
    def weights(self) -> reference.Weights:
        """Copies of the held weights."""
        return reference.Weights(*(p.numpy() for p in self.runners[1].weights))

    def flags(self, count: int) -> Array:
        """(count,) True where the held weights run."""
        found = np.full(count, self.steps is None)
        if self.steps is not None:
            found[: len(self.steps)] = self.steps[:count]
        return found

    def pieces(self, flags: Array) -> list[slice]:
        """The stretches: steps alike run together, but each alone where a hidden state is overwritten after it."""
        change = np.diff(flags) if self.hidden is None else flags[1:] | flags[:-1]
        edges = [0, *(np.flatnonzero(change) + 1).tolist(), len(flags)]
        return [slice(a, b) for a, b in pairwise(edges)]

    def __call__(self, x: Sequence, mode: Mode, initial_state: Any = None) -> tuple[Any, Backprop]:
        """As Recurrent.forward, without return_state."""
        layer, (batch, count, _) = self.layer, x.shape
        flags = self.flags(count)
        pieces = self.pieces(flags)
        blank = [np.zeros((batch, layer.units), layer.dtype)] * layer.kind.states
        states: Any = layer._initial_states(batch, initial_state) or blank
        parts: list[Stretch] = []
        backs: list[tuple[Sequence, Array | None, Backprop]] = []
        outputs: list[Array] = []
        for piece in pieces[::-1] if layer.go_backwards else pieces:
            mask = None if x.mask is None else np.ascontiguousarray(x.mask[:, piece])
            part = Sequence(x.table, np.ascontiguousarray(x.index[:, piece]), x.rows, mask)
            seen: list[Pass] = []
            with watching(lambda event, _, values, seen=seen: seen.append(values["ran"]) if event == "pass" else None):  # type: ignore[misc]
                (y, *states), back = self.runners[int(flags[piece.start])].forward(part, mode, states)
            parts.append(Stretch(piece, bool(flags[piece.start]), part, seen[0]))
            outputs.append(y.to_array())
            over = None  # the rows whose hidden state is overwritten: a masked step does not run, held or not
            if self.hidden is not None and flags[piece.start]:
                over = np.ones(batch, bool) if mask is None else mask[:, 0]
                outputs[-1] = self.hidden.put(outputs[-1], self.hidden.value, over)
                states[0] = self.hidden.put(states[0], self.hidden.value, over)
            backs.append((y, over, back))
        report("stretches", layer, x=x, parts=parts, weights=self.weights, hidden=self.hidden)
        if layer.stateful:
            layer.states = states
        return self._joined(x, np.concatenate(outputs, axis=1), backs)

    def _joined(
        self, x: Sequence, values: Array, backs: list[tuple[Sequence, Array | None, Backprop]]
    ) -> tuple[Any, Backprop]:
        """The outputs (B, T, H) in running order as one; a masked step repeats the output before it, zeros at first."""
        batch, count, units = values.shape
        shown = np.broadcast_to(np.arange(count), (batch, count))
        if x.mask is not None:
            kept = x.mask[:, ::-1] if self.layer.go_backwards else x.mask
            shown = np.maximum.accumulate(np.where(kept, shown, -1), axis=1)
        index = np.where(shown < 0, batch * count, shown + count * np.arange(batch)[:, None]).astype(np.int32)
        table = np.concatenate([values.reshape(-1, units), np.zeros((1, units), values.dtype)])

        def backprop(d_y: Array, gradients: Gradients) -> Array:
            d = np.zeros_like(table)
            if self.layer.return_sequences:
                d += d_y
            else:
                np.add.at(d, index[:, -1], d_y)
            rows, end, d_x, d_states = d[:-1].reshape(values.shape), count, 0.0, [None] * self.layer.kind.states
            for y, over, back in reversed(backs):
                own = rows[:, end - y.shape[1] : end]
                if over is not None and self.hidden is not None:  # nothing before the step moves what is held
                    own = self.hidden.put(own, 0, over)
                    d_states = [None if d is None else self.hidden.put(d, 0, over) for d in d_states[:1]] + d_states[1:]
                more, d_states = back((y.collect(np.ascontiguousarray(own)), *d_states), gradients)
                d_x, end = d_x + more, end - y.shape[1]
            return np.asarray(d_x)

        whole = Sequence(table=table, index=index, mask=x.mask)
        return (whole if self.layer.return_sequences else table[index[:, -1]]), backprop


def running_copy(layer: Recurrent) -> Recurrent:
    """A layer of the same weights that returns the states of all steps, and the last ones."""
    config = {**layer.get_config(), "return_sequences": True, "return_state": True, "stateful": False}
    config.pop("batch_input_shape", None)
    made: Recurrent = type(layer).from_config(config)  # type: ignore[assignment]
    made._parent_path = layer._parent_path
    made.ensure_built((None, None, layer.kernel.shape[0]))
    for parameter, own in zip(made.weights, layer.weights, strict=True):
        parameter.assign(own.value)
    return made


def read_stretches(
    layer: Recurrent, parts: list[Stretch], row: int, tokens: list[str], own: Any, held: Any, values: Array,
    hidden: Overwrite | None,
) -> RecurrentTrace:  # fmt: skip
    """One row of a pass that ran in stretches (in running order), as one trace."""
    width = lanes(layer.dtype)
    found = [
        read_pass(layer, part.x, part.ran, width, row, tokens[part.steps], own, values[part.steps]) for part in parts
    ]
    flags = np.zeros(len(values), bool)
    for part in parts:
        flags[part.steps] = part.held
    in_time = found[::-1] if layer.go_backwards else found

    def join(name: str) -> dict[str, Array]:
        return {key: np.concatenate([getattr(one, name)[key] for one in in_time]) for key in getattr(found[0], name)}

    ran, states, over = np.concatenate([one.ran for one in in_time]), join("states"), None
    if hidden is not None:
        at = flags & ran
        over = HeldHidden(hidden.units, hidden.value, states["h"][:, hidden.units])
        over.computed[~at] = np.nan
        states["h"] = hidden.put(states["h"], hidden.value, at)
    return replace(
        found[0], tokens=tokens, ran=ran, x=values, states=states, gates=join("gates"), products=join("products"),
        held=Held(flags, held, over),
    )  # fmt: skip
