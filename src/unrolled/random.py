"""One seed for everything: the generator of initial weights, and a stream of its own for every model."""

from __future__ import annotations

import random as python_random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock

import numpy as np

_lock = Lock()
_global = np.random.Generator(np.random.PCG64())
_override: ContextVar[np.random.Generator | None] = ContextVar("unrolled_random", default=None)


def set_random_seed(seed: int) -> None:
    """Seed initial weights, dropout and shuffling; also Python's `random` and `numpy.random`, as Keras does.

    Call it before the model is made: a model takes its own stream when it is constructed.

    Args:   seed: int, 0 to 2**32 - 1.
    Raises: TypeError if it is not an integer; ValueError if it is out of range.
    """
    global _global  # noqa: PLW0603  one process-wide seed is what the function is for
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"set_random_seed: expected an integer, got {seed!r}. Use for example set_random_seed(42).")
    if not 0 <= seed < 2**32:
        raise ValueError(f"set_random_seed: expected 0 <= seed < 2**32, got {seed}.")
    python_random.seed(int(seed))
    np.random.seed(int(seed))
    with _lock:
        _global = np.random.Generator(np.random.PCG64(int(seed)))


def generator() -> np.random.Generator:
    """The generator from which initial weights are drawn (NumPy locks each draw)."""
    return _override.get() or _global


def spawn() -> np.random.Generator:
    """A new independent stream; the next call gives another one, the same after the same seed."""
    with _lock:
        return generator().spawn(1)[0]


@contextmanager
def using(source: np.random.Generator) -> Iterator[None]:
    """Draw from `source` inside the block (this thread only), so that the global stream stays untouched."""
    token = _override.set(source)
    try:
        yield
    finally:
        _override.reset(token)
