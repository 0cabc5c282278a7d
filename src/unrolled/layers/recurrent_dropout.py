"""Dropout inside recurrent layers: factors drawn once a batch, the same at every step, as in Keras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from unrolled.batch import Sequence
from unrolled.parameters import Array


class Factors(NamedTuple):
    """What a pass multiplies by: zeros and 1 / (1 - rate), constant over time; None stands for 1.

    input (B, M, D): x before the product with kernel, M = 1 for all gates together or G for each gate its own;
    state (B, G, H): the state before a step, before the product with recurrent_kernel.
    """

    input: Array | None = None
    state: Array | None = None

    @property
    def any(self) -> bool:
        """Whether rows of the batch differ by more than their data: then they share no trajectory."""
        return self.input is not None or self.state is not None


NONE = Factors()


@dataclass(slots=True)
class Values:
    """The rows that the engine projects.

    n of them; rows (n,) of the table, or None for all; index (B, T); owner (n,): the row of the batch that a value
    belongs to, None where values are shared; distinct (n,): which of the Sequence's values it is, None where it is one.
    """

    n: int
    rows: Array | None
    index: Array
    owner: Array | None = None
    distinct: Array | None = None


def values_of(x: Sequence, factors: Factors) -> Values:
    """The distinct rows of x; with factors of the input every step that runs is a value of its own."""
    if factors.input is None:
        return Values(x.n, x.rows, x.index)
    steps = x.index.shape[1]
    runs = np.arange(x.index.size) if x.mask is None else np.flatnonzero(x.mask)
    if runs.size == 0:
        runs = np.zeros(1, np.int64)  # no step runs; the engine wants a table all the same
    distinct = x.index.reshape(-1)[runs]
    index = np.zeros(x.index.size, np.int32)
    index[runs] = np.arange(runs.size, dtype=np.int32)
    return Values(
        n=int(runs.size),
        rows=distinct if x.rows is None else x.rows[distinct],
        index=index.reshape(x.index.shape),
        owner=(runs // steps).astype(np.int32),
        distinct=distinct,
    )
