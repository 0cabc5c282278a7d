"""The native engine as Python sees it: cells and activations by name, threads, and the count of row-steps."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unrolled import _native
from unrolled.parameters import Array

ACTIVATIONS = ("tanh", "sigmoid", "relu", "linear", "hard_sigmoid", "softsign")


@dataclass(frozen=True)
class CellKind:
    """A cell of the engine. number: in cells.def; gates: G; slots: values kept a unit and step; states: 1 h, 2 h c."""

    name: str
    number: int
    gates: int
    slots: int
    states: int
    biases: int


CELLS = {
    name: CellKind(name, number, gates, slots, states, biases)
    for number, (name, gates, slots, states, biases) in enumerate(_native.cells())
}


def available_threads() -> int:
    """Processors that this process may use: its affinity, and the share that a container grants it (at least 1)."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:
        count = os.cpu_count() or 1
    for quota in _container_quotas():
        count = min(count, max(1, int(quota)))
    return count


def _container_quotas() -> Iterator[float]:
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if limit != "max":
            yield int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        base = Path("/sys/fs/cgroup/cpu")
        limit_us = int((base / "cpu.cfs_quota_us").read_text())
        if limit_us > 0:
            yield limit_us / int((base / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        pass


def set_num_threads(n: int) -> None:
    """Use n threads (the caller's included) from now on; results have the same bits for any n.

    Raises: ValueError if n is not a positive integer.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"set_num_threads: expected a positive integer, got {n!r}.")
    _native.set_threads(int(n))


def get_num_threads() -> int:
    """How many threads the engine uses."""
    return _native.get_threads()


def _first_threads() -> int:
    asked = os.environ.get("UNROLLED_NUM_THREADS", "")
    if not asked:
        return available_threads()
    if not asked.isdecimal() or int(asked) < 1:
        raise ValueError(f'UNROLLED_NUM_THREADS: expected a positive integer, got "{asked}".')
    return int(asked)


_native.set_threads(_first_threads())


def dense(x: Array, kernel: Array, bias: Array | None) -> Array:
    """X W + b over the last axis, summed in the engine's order: the same bits for a row alone and in any batch.

    x (..., D); kernel (D, K); bias (K,) or None. The result (..., K) is contiguous and of the kernel's float type.
    """
    z = _native.dense(_rows(x, kernel.dtype), kernel, bias)
    return z if x.ndim == 2 else z.reshape(*x.shape[:-1], kernel.shape[1])


def dense_backward(
    x: Array, kernel: Array, d_z: Array, want_kernel: bool, want_x: bool
) -> tuple[Array, Array, Array | None]:
    """The gradients (d_kernel (D, K), d_bias (K,), d_x) of `dense`, from d_z (..., K); the same bits for any threads.

    Without want_kernel the first two are empty, without want_x the last is None.
    """
    d_rows = np.ascontiguousarray(d_z).reshape(-1, kernel.shape[1])
    d_kernel, d_bias, d_x = _native.dense_backward(_rows(x, kernel.dtype), kernel, d_rows, want_kernel, want_x)
    return d_kernel, d_bias, d_x.reshape(*d_z.shape[:-1], kernel.shape[0]) if want_x else None


def _rows(x: Array, dtype: np.dtype[Any]) -> Array:
    if x.ndim == 2 and x.dtype == dtype and x.strides[1] == x.itemsize:  # rows may stand apart
        return x
    return np.require(x, dtype, ["C", "A"]).reshape(-1, x.shape[-1])


@dataclass
class RowStepCount:
    """What ran inside `count_row_steps`: total, and by layer name."""

    total: int = 0
    by_layer: dict[str, int] = field(default_factory=dict)


class _Counting(threading.local):
    now: RowStepCount | None = None


_counting = _Counting()


@contextmanager
def count_row_steps() -> Iterator[RowStepCount]:
    """Count the steps of rows that recurrent layers run inside the block (a shared prefix counts once).

    with count_row_steps() as count:
        model.predict(x)
    print(count.total, count.by_layer)
    """
    count, outer = RowStepCount(), _counting.now
    _counting.now = count
    try:
        yield count
    finally:
        _counting.now = outer


def report_row_steps(layer: str, steps: int) -> None:
    """Add to the count that is open in this thread, if any."""
    count = _counting.now
    if count is not None:
        count.total += steps
        count.by_layer[layer] = count.by_layer.get(layer, 0) + steps
