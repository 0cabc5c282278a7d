"""A case: a stack of layers, a shape and a kind of mask, in words that Keras and `unrolled` both understand.

Everything random in a case comes from its seed through `numpy.random.RandomState.random_sample`, whose stream NumPy
has frozen, so that only results need storing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Spec = tuple[str, dict[str, Any]]  # ("LSTM", {"units": 3}); a wrapper has its inner Spec under "layer"
MASKS = ("leading", "trailing", "inner", "whole rows", "any")


@dataclass(frozen=True)
class Case:
    """One comparison. `vocabulary` > 0 means token ids (the stack begins with an Embedding), else dense (B, T, D)."""

    name: str
    stack: tuple[Spec, ...]
    B: int = 7
    T: int = 6
    D: int = 5
    vocabulary: int = 0
    mask: str | None = None
    initial_state: bool = False
    seed: int = 0
    scale: float = 1.0  # of the kernels
    training: bool = False  # dropout and recurrent_dropout are active, with the factors of draw_factors


def make_layer(spec: Spec, layers: Any, dtype: str = "float32") -> Any:
    """Build the layer that `spec` describes from the module `layers`, Keras' or ours."""
    kind, options = spec
    options = {**options, "dtype": dtype}
    if "layer" in options:
        return getattr(layers, kind)(make_layer(options.pop("layer"), layers, dtype), **options)
    return getattr(layers, kind)(**options)


def uniform(random: np.random.RandomState, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    return ((2 * random.random_sample(shape) - 1) * scale).astype(np.float32)


def draw_mask(kind: str, B: int, T: int, random: np.random.RandomState) -> np.ndarray:
    """(B, T) bool, True = keep."""
    step = np.arange(T)[None, :]
    count = (random.random_sample((B, 1)) * T).astype(int)
    if kind == "leading":
        return step >= count
    if kind == "trailing":
        return step < T - count
    keep = random.random_sample((B, T)) < 0.6
    if kind == "inner":
        keep[:, 0] = keep[:, -1] = True
    if kind == "whole rows":
        keep[::3] = False
    return keep


def draw_inputs(case: Case) -> tuple[np.ndarray, np.ndarray | None]:
    """x (B, T, D) float32 or ids (B, T) int32 with 0 where the mask kind says no; the mask, or None for ids."""
    random = np.random.RandomState(case.seed)
    keep = draw_mask(case.mask, case.B, case.T, random) if case.mask else None
    if case.vocabulary:
        ids = 1 + (random.random_sample((case.B, case.T)) * (case.vocabulary - 1)).astype(np.int32)
        return (ids if keep is None else np.where(keep, ids, 0).astype(np.int32)), None
    return uniform(random, (case.B, case.T, case.D)), keep


def draw_weights(case: Case, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """One array a shape, all entries distinct; matrices scaled by their rows so that the cells stay alive."""
    random = np.random.RandomState(case.seed + 1)
    weights = []
    for i, shape in enumerate(shapes):
        embedding = case.vocabulary > 0 and i == 0
        scale = 1.0 if embedding else 0.5 if len(shape) == 1 else case.scale * 1.5 / np.sqrt(shape[0])
        weights.append(uniform(random, shape, scale))
    return weights


def draw_states(case: Case, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    random = np.random.RandomState(case.seed + 2)
    return [uniform(random, shape) for shape in shapes]


def draw_cotangents(case: Case, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    random = np.random.RandomState(case.seed + 3)
    return [uniform(random, shape) for shape in shapes]


def draw_factors(case: Case, layer: int, kind: str, shape: tuple[int, ...], rate: float) -> np.ndarray:
    """What dropout multiplies by (B, masks, features or units), zeros and 1 / (1 - rate).

    layer: the how manyth recurrent layer, forward before backward; kind: "input" or "state".
    """
    random = np.random.RandomState(case.seed + 4 + 2 * layer + (kind == "state"))
    return ((random.random_sample(shape) >= rate) / (1 - rate)).astype(np.float32)


def state_shapes(spec: Spec, B: int) -> list[tuple[int, ...]]:
    """Shapes of the initial states of a recurrent layer, in Keras' order."""
    kind, options = spec
    if kind == "Bidirectional":
        return 2 * state_shapes(options["layer"], B)
    return [(B, options["units"])] * (2 if kind == "LSTM" else 1)


def differences(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> dict[str, float]:
    """By result: the largest difference relative to the expected tensor's largest entry (NaN counts as infinite)."""
    assert set(found) == set(expected), (sorted(found), sorted(expected))
    worst = {}
    for name, value in expected.items():
        assert found[name].shape == value.shape, (name, found[name].shape, value.shape)
        scale = np.abs(value).max(initial=0) or 1.0
        distance = np.abs(found[name].astype(np.float64) - value).max(initial=0) / scale
        worst[name] = float(distance) if np.isfinite(distance) else float("inf")
    return worst
