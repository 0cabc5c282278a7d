"""Activation functions by Keras' names: each with its derivative, written in terms of its own output."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import numpy as np

from unrolled.parameters import Array

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


class Activation:
    """y = f(x), and d_x from y and d_y.

    Attributes: name; forward(x) -> y; backward(y, d_y) -> d_x. Calling the object runs forward on any array or number.
    """

    def __init__(self, name: str, forward: Callable[[Array], Array], backward: Callable[[Array, Array], Array]) -> None:
        self.name = name
        self.forward = forward
        self.backward = backward

    def __call__(self, x: Any) -> Array:
        """Run forward; integers count as float64."""
        x = np.asarray(x)
        return self.forward(x if np.issubdtype(x.dtype, np.floating) else x.astype(np.float64))

    def __repr__(self) -> str:
        return f"<activation {self.name}>"

    def __reduce__(self) -> tuple[Callable[[Any], Activation], tuple[str]]:
        return get, (self.name,)  # copies and pickles are the one object of that name


def _sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow on either side; NaN stays NaN."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(x.dtype, copy=False)


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y: Array = e / e.sum(axis=-1, keepdims=True)
    return y


def _log_softmax(x: Array) -> Array:
    shifted = x - x.max(axis=-1, keepdims=True)
    y: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return y


def _exp_minus_1(x: Array) -> Array:
    y: Array = np.expm1(np.minimum(x, 0))
    return y


def _choose(condition: Array, if_true: Any, if_false: Any, like: Array) -> Array:
    chosen: Array = np.where(condition, if_true, if_false).astype(like.dtype, copy=False)
    return chosen


tanh = Activation("tanh", np.tanh, lambda y, d: d * (1 - y * y))
sigmoid = Activation("sigmoid", _sigmoid, lambda y, d: d * (y * (1 - y)))
linear = Activation("linear", lambda x: x, lambda y, d: d)
relu = Activation("relu", lambda x: np.maximum(x, 0), lambda y, d: d * (y > 0))
relu6 = Activation("relu6", lambda x: np.clip(x, 0, 6), lambda y, d: d * ((y > 0) & (y < 6)))
leaky_relu = Activation(
    "leaky_relu", lambda x: _choose(x > 0, x, 0.2 * x, x), lambda y, d: d * _choose(y > 0, 1, 0.2, y)
)
hard_sigmoid = Activation(
    "hard_sigmoid",
    lambda x: np.clip(x + 3, 0, 6) / 6,
    lambda y, d: d * _choose((y > 0) & (y < 1), 1 / 6, 0, y),
)
hard_tanh = Activation("hard_tanh", lambda x: np.clip(x, -1, 1), lambda y, d: d * (np.abs(y) < 1))
softsign = Activation("softsign", lambda x: x / (1 + np.abs(x)), lambda y, d: d * (1 - np.abs(y)) ** 2)
softplus = Activation("softplus", _softplus, lambda y, d: d * -np.expm1(-y))
exponential = Activation("exponential", np.exp, lambda y, d: d * y)
elu = Activation("elu", lambda x: _choose(x > 0, x, _exp_minus_1(x), x), lambda y, d: d * _choose(y > 0, 1, y + 1, y))
selu = Activation(
    "selu",
    lambda x: _choose(x > 0, SELU_SCALE * x, SELU_SCALE * SELU_ALPHA * _exp_minus_1(x), x),
    lambda y, d: d * _choose(y > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA, y),
)
softmax = Activation("softmax", _softmax, lambda y, d: y * (d - (d * y).sum(axis=-1, keepdims=True)))
log_softmax = Activation("log_softmax", _log_softmax, lambda y, d: d - np.exp(y) * d.sum(axis=-1, keepdims=True))

KNOWN: dict[str, Activation] = {
    a.name: a
    for a in (
        linear, tanh, sigmoid, relu, relu6, leaky_relu, hard_sigmoid, hard_tanh,
        softsign, softplus, exponential, elu, selu, softmax, log_softmax,
    )
}  # fmt: skip


def get(identifier: Any) -> Activation:
    """The activation of a name (None is linear), or the object itself.

    Raises: ValueError naming all known activations; TypeError for anything that is neither a name nor an Activation.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, Activation):
        return identifier
    if not isinstance(identifier, str):
        raise TypeError(
            f"activation: expected a name, None or an object of unrolled.activations, got {identifier!r}. "
            f"Known names: {', '.join(KNOWN)}."
        )
    if identifier not in KNOWN:
        near = difflib.get_close_matches(identifier.lower(), KNOWN, n=1)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        raise ValueError(f'activation: "{identifier}" is not known.{hint} Known names: {", ".join(KNOWN)}.')
    return KNOWN[identifier]
