"""One optimizer step, derived again in NumPy float64 from the formulas of Keras 3."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from unrolled.parameters import Array, Gradients, Parameter

if TYPE_CHECKING:
    from unrolled.inspect.verify import Check

# Of the largest step. Adam computes 1 - beta_2^n in the weights' float type, as Keras does, and loses digits there.
STEP_TOLERANCE = {"float32": 1e-4, "float64": 1e-10}


def optimizer_checks(model: Any, gradients: Gradients) -> list[Check]:
    """Let a copy of the model's optimizer take one step on copies of the weights, and compare with the formulas."""
    from unrolled.inspect.verify import compare

    if model.optimizer is None or type(model.optimizer) not in (SGD, RMSprop, Adam, AdamW) or not len(gradients):
        return []
    parameters: list[Parameter]
    parameters, optimizer = copy.deepcopy((model.parameters, model.optimizer))
    given = Gradients()
    for original, parameter in zip(model.parameters, parameters, strict=True):
        if original in gradients:
            given.add(parameter, gradients[original])
    if len(optimizer._parameters) != len(parameters):
        optimizer.build(parameters)
    state = [[np.asarray(a, np.float64) for a in arrays] for arrays in copy.deepcopy(optimizer._state)]
    old = [p.value.astype(np.float64) for p in parameters]
    dense = [given.dense(p).astype(np.float64) if p in given and p.trainable else None for p in parameters]
    dense = _clipped(optimizer, dense)
    step = optimizer.iterations + 1
    optimizer.averages = None  # averages stand beside the step
    optimizer.apply(given, parameters)
    checks = []
    for parameter, before, gradient, slots in zip(parameters, old, dense, state, strict=True):
        if gradient is None:
            continue
        expected = formula(optimizer, before, gradient, dict(zip(optimizer.slots, slots, strict=True)), step)
        kind = parameter.dtype.name
        moved = float(np.abs(expected - before).max(initial=0))
        rounding = 4 * float(np.finfo(parameter.dtype).eps * np.abs(before).max(initial=0))
        allowed = STEP_TOLERANCE[kind] + (rounding / moved if moved else 0.0)
        name = f"{type(optimizer).__name__} step: {parameter.path}"
        checks.append(
            compare(
                name, parameter.value - before, expected - before, allowed, ("row", "column"), scale=moved or rounding
            )
        )
    return checks


def _clipped(optimizer: Optimizer, gradients: list[Array | None]) -> list[Array | None]:
    def norm(g: Array) -> float:
        return float(np.sqrt(np.square(g).sum()))

    if optimizer.clipvalue is not None:
        limit = optimizer.clipvalue
        return [None if g is None else np.clip(g, -limit, limit) for g in gradients]
    if optimizer.clipnorm is not None:
        limit = optimizer.clipnorm
        return [None if g is None else g * (limit / max(norm(g), limit)) for g in gradients]
    if optimizer.global_clipnorm is not None:
        limit = optimizer.global_clipnorm
        total = float(np.sqrt(sum(norm(g) ** 2 for g in gradients if g is not None)))
        return [None if g is None else g * (limit / max(total, limit)) for g in gradients]
    return gradients


def formula(optimizer: Any, p: Array, g: Array, state: dict[str, Array], n: int) -> Array:
    """The weights after step n (from 1) of SGD, RMSprop, Adam or AdamW, in float64."""
    rate = optimizer.learning_rate
    p = p - p * (optimizer.weight_decay or 0) * rate
    if isinstance(optimizer, SGD):
        if not optimizer.momentum:
            return np.asarray(p - rate * g)
        m = optimizer.momentum * state["momentum"] - rate * g
        return np.asarray(p + optimizer.momentum * m - rate * g if optimizer.nesterov else p + m)
    if isinstance(optimizer, RMSprop):
        v = optimizer.rho * state["velocity"] + (1 - optimizer.rho) * g * g
        if optimizer.centered:
            mean = optimizer.rho * state["average_gradient"] + (1 - optimizer.rho) * g
            v = v - mean * mean
        move = rate * g / np.sqrt(v + optimizer.epsilon)
        if optimizer.momentum:
            move = optimizer.momentum * state["momentum"] + move
        return np.asarray(p - move)
    m = state["momentum"] + (1 - optimizer.beta_1) * (g - state["momentum"])
    v = state["velocity"] + (1 - optimizer.beta_2) * (g * g - state["velocity"])
    if optimizer.amsgrad:
        v = np.maximum(v, state["velocity_hat"])
    alpha = rate * np.sqrt(1 - optimizer.beta_2**n) / (1 - optimizer.beta_1**n)
    return np.asarray(p - alpha * m / (np.sqrt(v) + optimizer.epsilon))
