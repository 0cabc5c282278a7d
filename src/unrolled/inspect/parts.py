"""What a gate's pre-activation is made of: from the input, from the state before, and the bias; in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unrolled import reference
from unrolled.layers.gates import GATES
from unrolled.parameters import Array

if TYPE_CHECKING:
    from unrolled.inspect.steps import RecurrentTrace


@dataclass(frozen=True)
class Parts:
    """z = x W + h U + b of every gate, recomputed in float64 from the engine's own states.

    x, h, z {gate: (T, H)}; b {gate: (H,)}, or (T, H) where a gate was held at some steps; value = activation(z);
    residual = what the engine has minus that; NaN where a step did not run. GRU: with reset_after the candidate's h is
    r*(h U + b_r), its recurrent bias inside, and b is b + b_r for the other gates; without, it is (r*h) U; r is the
    engine's.
    """

    x: dict[str, Array]
    h: dict[str, Array]
    b: dict[str, Array]
    z: dict[str, Array]
    value: dict[str, Array]
    residual: dict[str, Array]
    notes: tuple[str, ...] = ()

    def largest_residual(self) -> float:
        """The largest absolute residual of all gates and steps."""
        return max(float(np.nanmax(np.abs(r), initial=0.0)) for r in self.residual.values())


def split(layer: RecurrentTrace) -> Parts:
    """The parts of every gate of a traced layer."""
    own = _split(layer, layer.weights)
    if layer.held is None:
        return own
    held, at = _split(layer, layer.held.weights), layer.held.steps[:, None]

    def choose(name: str) -> dict[str, Array]:
        return {gate: np.where(at, getattr(held, name)[gate], values) for gate, values in getattr(own, name).items()}

    x, h, b, z, value, residual = map(choose, ("x", "h", "b", "z", "value", "residual"))
    return Parts(x, h, b, z, value, residual, own.notes)


def _split(layer: RecurrentTrace, weights: reference.Weights) -> Parts:
    w = reference.Weights(*(None if a is None else np.asarray(a, np.float64) for a in weights))  # type: ignore[arg-type]
    names, h = GATES[layer.cell], layer.before("h").astype(np.float64)
    from_x = dict(zip(names, np.split(layer.x.astype(np.float64) @ w.kernel, len(names), axis=1), strict=True))
    from_h = dict(zip(names, np.split(h @ w.recurrent_kernel, len(names), axis=1), strict=True))
    biases = np.zeros((1, w.kernel.shape[1])) if w.bias is None else np.atleast_2d(w.bias)
    b = dict(zip(names, np.split(biases.sum(axis=0), len(names)), strict=True))
    notes: tuple[str, ...] = ()
    if layer.cell.startswith("gru"):
        reset = layer.gates["reset"].astype(np.float64)
        if layer.cell == "gru_reset_after":
            halves = np.split(biases if len(biases) == 2 else np.zeros((2, biases.shape[1])), len(names), axis=1)
            from_h["candidate"] = reset * (from_h["candidate"] + halves[-1][1])
            b["candidate"] = halves[-1][0]
            notes = ("The candidate's h U is r * (h U + b_r): the reset gate acts after the product.",)
        else:
            units = layer.units
            from_h["candidate"] = (reset * h) @ w.recurrent_kernel[:, 2 * units :]
            notes = ("The candidate's h U is (r * h) U: the reset gate acts before the product.",)
    z = {name: from_x[name] + from_h[name] + b[name] for name in names}
    value = {name: activation_of(layer, name)(z[name]) for name in names}
    for parts in (from_x, from_h, z, value):
        for array in parts.values():
            array[~layer.ran] = np.nan
    residual = {name: layer.gates[name] - value[name] for name in names}
    return Parts(from_x, from_h, b, z, value, residual, notes)


def activation_of(layer: RecurrentTrace, gate: str) -> Callable[[Array], Array]:
    """The function of a gate: activation of the candidate and of SimpleRNN, recurrent_activation of the others."""
    name = layer.activation if gate in ("candidate", "hidden") else layer.recurrent_activation
    return reference.ACTIVATIONS[name].function
