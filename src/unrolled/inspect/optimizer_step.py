"""One optimizer step, derived again in NumPy float64 from the formulas of Keras 3.

As a recurrent step is derived from the engine's own state before it, an update is derived from its own gradient: first
the new slots (running means), then the step from the engine's own new slots. The step is looked at twice. Taken from
weights of zero it has all its digits, however small it is beside the real weights. In place it is a difference of two
rounded weights: w' = w - step is rounded once, by at most half an epsilon of |w'|, and once more where weights decay;
that much is taken off each entry's difference before it is judged. Beside them stands the drift of a derivation in
float64 throughout, from gradients that were derived from end to start alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from unrolled.parameters import Array, Gradients, Parameter

if TYPE_CHECKING:
    from unrolled.inspect.verify import Check

KNOWN = (SGD, RMSprop, Adam, AdamW)


def optimizer_checks(model: Any, gradients: Gradients, alone: Mapping[str, Array]) -> list[Check]:
    """Let copies of the model's optimizer take one step on copies of the weights, and compare with the formulas.

    alone {path: gradient}: those derived independently, in float64.
    """
    if type(model.optimizer) not in KNOWN or not len(gradients):
        return []
    found = _Update(model, gradients)
    return [check for k in range(len(found.parameters)) for check in found.checks(k, alone)]


class _Update:
    """One update of copies: in place, and from weights of zero."""

    def __init__(self, model: Any, gradients: Gradients) -> None:
        self.parameters: list[Parameter] = [p for p in model.parameters if p.trainable and p in gradients]
        self.optimizer: Optimizer = model.optimizer
        self.number = model.optimizer.iterations + 1
        self.gradients = _clipped(self.optimizer, [np.asarray(gradients.dense(p), np.float64) for p in self.parameters])
        self.before = [p.now().astype(np.float64) for p in self.parameters]
        self.after, self.old_slots, self.slots = self._run(model, gradients, 1.0)
        self.from_zero, _, _ = self._run(model, gradients, 0.0)

    def _run(self, model: Any, gradients: Gradients, scale: float) -> tuple[list[Array], list[Any], list[Any]]:
        """New weights, and the slots before and after, of an update of copies whose weights are times `scale`."""
        parameters, optimizer = copy.deepcopy((model.parameters, model.optimizer))
        given = Gradients()
        for original, parameter in zip(model.parameters, parameters, strict=True):
            parameter.value *= scale
            if original in gradients:
                given.add(parameter, gradients[original])
        if len(optimizer._parameters) != len(parameters):
            optimizer.build(parameters)
        slots = [[s for p, s in zip(parameters, optimizer._state, strict=True) if p.trainable and p in given]]
        slots.append(copy.deepcopy(slots[0]))  # the update goes on in the first
        optimizer.averages = None  # averages stand beside the step
        optimizer.apply(given, parameters)
        after = [p.now().astype(np.float64) for p in parameters if p.trainable and p in given]
        new, old = ([dict(zip(optimizer.slots, map(_wide, arrays), strict=True)) for arrays in one] for one in slots)
        return after, old, new

    def checks(self, k: int, alone: Mapping[str, Array]) -> Iterator[Check]:
        """The comparisons of one parameter."""
        from unrolled.inspect.verify import compare, tolerance_of

        parameter, optimizer, slots = self.parameters[k], self.optimizer, self.slots[k]
        before, after, axes = self.before[k], self.after[k], ("row", "column")
        allowed, kind = tolerance_of(parameter.now()), parameter.dtype
        nesterov = isinstance(optimizer, SGD) and optimizer.nesterov  # its step is a difference with the momentum
        name = f"{type(optimizer).__name__} step: {parameter.path}"
        for slot, expected in new_slots(optimizer, self.gradients[k], old := self.old_slots[k]).items():
            least = float(np.finfo(kind).tiny) / allowed  # the engine takes subnormal numbers for zero
            least = max(least, float(np.abs(old[slot]).max(initial=0)))  # a small difference of large terms
            yield compare(f"{name}, {slot}", slots[slot], expected, allowed, axes, least)
        step, loss = step_of(optimizer, self.gradients[k], slots, self.number, kind)
        size = max(float(np.abs(a).max(initial=0)) for a in (step, slots.get("momentum", step) if nesterov else step))
        yield compare(f"{name}, from zero", _beyond(-self.from_zero[k], step, loss), step, allowed, axes, size)
        decayed = before * (1 - (optimizer.weight_decay or 0.0) * optimizer.learning_rate)
        half = 1.01 * float(np.finfo(kind).eps) / 2
        rounding = half * np.abs(after) + (half * np.abs(before) if optimizer.weight_decay else 0.0)
        moved = _beyond(decayed - after, step, loss + rounding)
        yield compare(f"{name}, in place", moved, step, allowed, axes, size)
        yield compare(f"{name}, new weights", after, decayed - step, allowed, axes)
        if parameter.path in alone and optimizer.global_clipnorm is None:  # which needs all gradients
            gradient = _clipped(optimizer, [alone[parameter.path]])[0]
            wide = new_slots(optimizer, gradient, self.old_slots[k])
            apart, _ = step_of(optimizer, gradient, wide, self.number, np.dtype(np.float64))
            yield compare(f"{name}, alone", -self.from_zero[k], apart, None, axes)


def _wide(a: Array) -> Array:
    return a.astype(np.float64)


def _beyond(found: Array, expected: Array, rounding: Array | float) -> Array:
    """What was found, brought nearer to what was expected by the rounding that each entry may have."""
    difference = found - expected
    return np.asarray(expected + np.sign(difference) * np.maximum(np.abs(difference) - rounding, 0))


def _clipped(optimizer: Optimizer, gradients: list[Array]) -> list[Array]:
    def norm(g: Array) -> float:
        return float(np.sqrt(np.square(g).sum()))

    if optimizer.clipvalue is not None:
        limit = optimizer.clipvalue
        return [np.clip(g, -limit, limit) for g in gradients]
    if optimizer.clipnorm is not None:
        limit = optimizer.clipnorm
        return [g * (limit / max(norm(g), limit)) for g in gradients]
    if optimizer.global_clipnorm is not None:
        limit = optimizer.global_clipnorm
        total = float(np.sqrt(sum(norm(g) ** 2 for g in gradients)))
        return [g * (limit / max(total, limit)) for g in gradients]
    return gradients


def new_slots(optimizer: Any, g: Array, old: Mapping[str, Array]) -> dict[str, Array]:
    """The running means after a step with the gradient g, in float64."""
    if isinstance(optimizer, SGD):
        return {"momentum": optimizer.momentum * old["momentum"] - optimizer.learning_rate * g} if old else {}
    if isinstance(optimizer, RMSprop):
        found = {"velocity": optimizer.rho * old["velocity"] + (1 - optimizer.rho) * g * g}
        if optimizer.centered:
            found["average_gradient"] = optimizer.rho * old["average_gradient"] + (1 - optimizer.rho) * g
        if optimizer.momentum:
            found["momentum"] = optimizer.momentum * old["momentum"] + _normed(optimizer, g, found)
        return found
    found = {
        "momentum": old["momentum"] + (1 - optimizer.beta_1) * (g - old["momentum"]),
        "velocity": old["velocity"] + (1 - optimizer.beta_2) * (g * g - old["velocity"]),
    }
    if optimizer.amsgrad:
        found["velocity_hat"] = np.maximum(found["velocity"], old["velocity_hat"])
    return found


def _normed(optimizer: RMSprop, g: Array, slots: Mapping[str, Array]) -> Array:
    """RMSprop's rate g / sqrt(v + epsilon)."""
    return np.asarray(optimizer.learning_rate * g / np.sqrt(_under(optimizer, slots)))


def _under(optimizer: RMSprop, slots: Mapping[str, Array]) -> Array:
    variance = slots["velocity"] - (slots["average_gradient"] ** 2 if optimizer.centered else 0)
    return np.asarray(variance + optimizer.epsilon)


def step_of(
    optimizer: Any, g: Array, slots: Mapping[str, Array], n: int, kind: np.dtype[Any]
) -> tuple[Array, Array | float]:
    """What step n (from 1) takes off the weights, by the new slots, in float64; and what rounding each entry may have.

    Adam's correction for the start at zero is computed in the weights' float type `kind`, as in Keras: 1 - beta_2^n has
    only the digits that it has there. RMSprop's v - a^2 (centered) loses what the two have in common: three roundings
    of the size of v under the root, so that half of 3 u v / (v - a^2 + epsilon) of the step may be missing.
    """
    rate = optimizer.learning_rate
    if isinstance(optimizer, SGD):
        if not optimizer.momentum:
            return rate * g, 0.0
        m = slots["momentum"]
        return np.asarray(rate * g - optimizer.momentum * m if optimizer.nesterov else -m), 0.0
    if isinstance(optimizer, RMSprop):
        if optimizer.momentum:
            return slots["momentum"], 0.0
        step = _normed(optimizer, g, slots)
        if not optimizer.centered:
            return step, 0.0
        u = float(np.finfo(kind).eps) / 2
        return step, 1.5 * u * slots["velocity"] / _under(optimizer, slots) * np.abs(step)
    powers = (float(np.power(kind.type(beta), kind.type(n))) for beta in (optimizer.beta_1, optimizer.beta_2))
    first, second = (1 - power for power in powers)
    v = slots["velocity_hat" if optimizer.amsgrad else "velocity"]
    return np.asarray(rate * np.sqrt(second) / first * slots["momentum"] / (np.sqrt(v) + optimizer.epsilon)), 0.0
