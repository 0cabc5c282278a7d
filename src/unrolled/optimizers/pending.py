"""Steps that rows of a table take later.

Adam moves every row of an Embedding at every step, also those whose words are not in the batch. Such a step depends on
nothing but the row and the rate, so it can wait until the row is read: the same operations in the same order, the same
bits, and in the meantime nothing to fetch from memory and to put back.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unrolled import _native
from unrolled.parameters import Array, Parameter

MOST_STEPS = 4096  # after so many all rows catch up, so that the list of rates stays short


class PendingSteps:
    """The steps without gradient that rows of one table (V, F) and its optimizer state have still to take.

    Args: parameter: the table; state: the optimizer's arrays for it; rule, constants: as in native/optimizer.h.
    """

    def __init__(self, parameter: Parameter, state: Sequence[Array], rule: int, constants: Sequence[float]) -> None:
        self.array, self.state = parameter.now(), list(state)
        self.rule, self.constants = rule, list(constants)
        self._taken = np.zeros(len(self.array), np.int32)  # how many of the steps below each row has taken
        self._rates = np.zeros(MOST_STEPS, self.array.dtype)
        self._steps = np.zeros(1, np.int32)

    def belongs(self, state: Sequence[Array], rule: int, constants: Sequence[float]) -> bool:
        """Whether the coming step is one more of the same kind."""
        same_state = len(state) == len(self.state) and all(a is b for a, b in zip(state, self.state, strict=True))
        return same_state and rule == self.rule and constants == self.constants

    def so_far(self) -> tuple[Array, Array, Array]:
        """How many steps each row has taken (V,), room for the rates of all steps, and how many there are (1,).

        The native step reads them and writes them: with one call the rows have changed and the step is noted down.
        """
        if self._steps[0] == len(self._rates):
            self.catch_up()
        return self._taken, self._rates, self._steps

    def lags(self) -> Array:
        """How many steps each row (V,) has still to take."""
        lags: Array = self._steps[0] - self._taken
        return lags

    def catch_up(self, rows: Array | None = None) -> None:
        """Take what is missing in `rows` (distinct, int32), or in all."""
        if self._steps[0] > 0:
            pending = (self._taken, self._rates, self._steps)
            _native.catch_up(self.rule, self.array, self.state, pending, self.constants, rows)
