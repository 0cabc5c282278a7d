"""Where initial weights come from: the same distributions, names and defaults as Keras 3."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from unrolled.errors import ShapeError, show_call
from unrolled.parameters import Array

Shape = tuple[int, ...]
Generator = np.random.Generator
TRUNCATED_STDDEV = 0.87962566103423978  # of a standard normal cut at +-2


class Initializer:
    """Makes the first value of a parameter: `initializer(shape, dtype, random) -> array`.

    Subclasses keep their constructor's arguments as attributes of the same name. A `seed` draws from a generator of
    its own, so the same seed and shape give the same array; without one, draws come from `random` (unrolled.random).
    """

    seed: int | None = None

    def __call__(self, shape: Shape, dtype: Any = "float32", random: Generator | None = None) -> Array:
        """An array of `shape` and `dtype`."""
        if self.seed is not None:
            random = np.random.Generator(np.random.PCG64(self.seed))
        elif random is None:
            from unrolled import random as streams

            random = streams.generator()
        return np.ascontiguousarray(self.draw(tuple(shape), random), dtype=dtype)

    def draw(self, shape: Shape, random: Generator) -> Array:
        """An array of `shape` in any float type; subclasses write this."""
        raise NotImplementedError(f"{type(self).__name__} must define draw(shape, random)")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def __repr__(self) -> str:
        return show_call(self)


class Zeros(Initializer):
    """All zeros."""

    def draw(self, shape: Shape, random: Generator) -> Array:
        """Zeros."""
        return np.zeros(shape)


class Ones(Initializer):
    """All ones."""

    def draw(self, shape: Shape, random: Generator) -> Array:
        """Ones."""
        return np.ones(shape)


class Constant(Initializer):
    """One value everywhere, or an array of exactly the parameter's shape (pretrained embeddings, for example).

    Args:   value: number or array, default 0.
    Raises: ShapeError if an array does not have the parameter's shape.
    """

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def draw(self, shape: Shape, random: Generator) -> Array:
        """The value, copied."""
        value = np.asarray(self.value)
        if value.ndim and value.shape != shape:
            raise ShapeError(f"Constant: expected an array of shape {shape}, got {value.shape}.")
        return np.full(shape, value)


class Identity(Initializer):
    """`gain` on the diagonal, zeros elsewhere; two axes only."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def draw(self, shape: Shape, random: Generator) -> Array:
        """The (rectangular) identity times gain."""
        if len(shape) != 2:
            raise ShapeError(f"Identity: expected a shape with 2 axes, got {shape}. Use Orthogonal or GlorotUniform.")
        return self.gain * np.eye(*shape)


class RandomUniform(Initializer):
    """Uniform in [minval, maxval), by default [-0.05, 0.05)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval, self.maxval, self.seed = minval, maxval, seed

    def draw(self, shape: Shape, random: Generator) -> Array:
        """Uniform numbers."""
        return random.uniform(self.minval, self.maxval, shape)


class RandomNormal(Initializer):
    """Normal, by default with mean 0 and standard deviation 0.05."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def draw(self, shape: Shape, random: Generator) -> Array:
        """Normal numbers."""
        return random.normal(self.mean, self.stddev, shape)


class TruncatedNormal(Initializer):
    """Normal, redrawn where it is more than two standard deviations from the mean."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def draw(self, shape: Shape, random: Generator) -> Array:
        """Truncated normal numbers."""
        return self.mean + self.stddev * truncated_normal(shape, random)


def truncated_normal(shape: Shape, random: Generator) -> Array:
    """Standard normal numbers within [-2, 2] (their standard deviation is 0.8796)."""
    values = random.standard_normal(shape)
    while True:
        outside = np.abs(values) > 2
        count = int(outside.sum())
        if not count:
            return values
        values[outside] = random.standard_normal(count)


class VarianceScaling(Initializer):
    """Zero mean, variance scale / fan.

    Args: scale: > 0; mode: "fan_in", "fan_out" or "fan_avg" (their mean);
          distribution: "truncated_normal", "untruncated_normal" or "uniform" (limit sqrt(3 scale / fan)).
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        if not scale > 0:
            raise ValueError(f"{type(self).__name__}: expected scale > 0, got {scale}.")
        _one_of(self, "mode", mode, ("fan_in", "fan_out", "fan_avg"))
        _one_of(self, "distribution", distribution, ("truncated_normal", "untruncated_normal", "uniform"))
        self.scale, self.mode, self.distribution, self.seed = scale, mode, distribution, seed

    def draw(self, shape: Shape, random: Generator) -> Array:
        """Numbers of variance scale / fan."""
        fan_in, fan_out = fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return random.uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return random.normal(0, math.sqrt(variance), shape)
        return math.sqrt(variance) / TRUNCATED_STDDEV * truncated_normal(shape, random)


def _one_of(owner: object, argument: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{type(owner).__name__}: expected {argument} to be one of {', '.join(known)}; got {value!r}.")


def fans(shape: Shape) -> tuple[float, float]:
    """(inputs, outputs) of a weight: the last two axes, times what lies before them."""
    if len(shape) < 2:
        size = float(shape[0]) if shape else 1.0
        return size, size
    field = math.prod(shape[:-2])
    return float(shape[-2] * field), float(shape[-1] * field)


def _scaled(name: str, doc: str, scale: float, mode: str, distribution: str) -> type[VarianceScaling]:
    def init(self: VarianceScaling, seed: int | None = None) -> None:
        VarianceScaling.__init__(self, scale, mode, distribution, seed)

    return type(name, (VarianceScaling,), {"__init__": init, "__doc__": doc, "__module__": __name__})


GlorotUniform = _scaled("GlorotUniform", "Uniform, limit sqrt(6 / (in + out)).", 1.0, "fan_avg", "uniform")
GlorotNormal = _scaled("GlorotNormal", "Truncated normal, variance 2 / (in + out).", 1.0, "fan_avg", "truncated_normal")
HeUniform = _scaled("HeUniform", "Uniform, limit sqrt(6 / in).", 2.0, "fan_in", "uniform")
HeNormal = _scaled("HeNormal", "Truncated normal, variance 2 / in.", 2.0, "fan_in", "truncated_normal")
LecunUniform = _scaled("LecunUniform", "Uniform, limit sqrt(3 / in).", 1.0, "fan_in", "uniform")
LecunNormal = _scaled("LecunNormal", "Truncated normal, variance 1 / in.", 1.0, "fan_in", "truncated_normal")


class Orthogonal(Initializer):
    """A uniformly distributed orthogonal matrix times gain; all axes but the last are joined.

    Q of the QR factors of a normal matrix, signs fixed by R's diagonal. Source: Saxe et al. 2014; Mezzadri 2007.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain, self.seed = gain, seed

    def draw(self, shape: Shape, random: Generator) -> Array:
        """Orthonormal columns, or rows if there are fewer of them."""
        if len(shape) < 2:
            raise ShapeError(f"Orthogonal: expected a shape with at least 2 axes, got {shape}. Use GlorotUniform.")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(random.standard_normal((max(rows, columns), min(rows, columns))))
        q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
        return self.gain * np.reshape(q if rows >= columns else q.T, shape)


class _Function(Initializer):
    """A user's function f(shape, dtype) or f(shape, dtype, random)."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.takes_random = "random" in inspect.signature(function).parameters

    def __call__(self, shape: Shape, dtype: Any = "float32", random: Generator | None = None) -> Array:
        extra = {"random": random} if self.takes_random else {}
        value = np.array(self.function(tuple(shape), dtype=dtype, **extra), dtype=dtype)
        if value.shape != tuple(shape):
            raise ShapeError(f"initializer {self.function!r}: expected an array of shape {shape}, got {value.shape}.")
        return value

    def get_config(self) -> dict[str, Any]:
        return {"function": getattr(self.function, "__qualname__", repr(self.function))}


CLASSES: dict[str, type[Initializer]] = {
    c.__name__: c
    for c in (
        Zeros, Ones, Constant, Identity, RandomUniform, RandomNormal, TruncatedNormal, VarianceScaling, GlorotUniform,
        GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal, Orthogonal,
    )
}  # fmt: skip
BY_NAME: dict[str, type[Initializer]] = {
    **{"".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_"): cls for name, cls in CLASSES.items()},
    **CLASSES,
    "zero": Zeros,
    "one": Ones,
    "uniform": RandomUniform,
    "normal": RandomNormal,
}


def get(identifier: Any) -> Initializer:
    """The initializer of a name ("glorot_uniform" or "GlorotUniform"), object, class, function or array.

    Raises: ValueError naming the known ones; TypeError for anything else.
    """
    if isinstance(identifier, Initializer):
        return identifier
    if isinstance(identifier, np.ndarray | float | int) and not isinstance(identifier, bool):
        return Constant(identifier)
    if isinstance(identifier, type) and issubclass(identifier, Initializer):
        return identifier()
    if isinstance(identifier, dict) and "class_name" in identifier:
        return _lookup(identifier["class_name"])(**identifier.get("config", {}))
    if isinstance(identifier, str):
        return _lookup(identifier)()
    if callable(identifier):
        return _Function(identifier)
    raise TypeError(
        f"initializer: expected a name, an object of unrolled.initializers, a function or an array, got {identifier!r}."
    )


def _lookup(name: str) -> type[Initializer]:
    if name in BY_NAME:
        return BY_NAME[name]
    lower = [known for known in BY_NAME if known.islower()]
    near = difflib.get_close_matches(name.lower(), lower, n=1)
    hint = f' Did you mean "{near[0]}"?' if near else ""
    raise ValueError(f'initializer: "{name}" is not known.{hint} Known names: {", ".join(lower)}.')


def serialize(initializer: Initializer) -> dict[str, Any]:
    """{"class_name", "config"}, ready for JSON.

    A function or an array is not written down: the file holds the weights that came from it, and a model loaded from
    the file reports zeros as its initializer.
    """
    config = initializer.get_config()
    if type(initializer).__name__ not in CLASSES or any(isinstance(v, np.ndarray) for v in config.values()):
        return {"class_name": "Zeros", "config": {}}
    return {"class_name": type(initializer).__name__, "config": config}
