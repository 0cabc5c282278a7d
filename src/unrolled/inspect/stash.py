"""What the engine kept of a pass, row by row: state rows and gates out of the packed arrays of native/kernels.h."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unrolled import _native
from unrolled.layers.recurrent import Pass
from unrolled.parameters import Array

# Where a step's values stand in its stash row: groups packed [unit block][names][W], as native/cells/*.h say.
LAYOUT: dict[str, tuple[tuple[str, ...], ...]] = {
    "simple_rnn": (("hidden",),),
    "lstm": (("input", "forget", "candidate", "output"),),
    "gru_reset_after": (("update", "reset", "recurrent_candidate"), ("candidate",)),
    "gru_reset_before": (("update", "reset"), ("reset_hidden",), ("candidate",)),
}


def lanes(dtype: np.dtype[np.floating]) -> int:
    """Lanes of a vector on the instruction set of this moment: ask when the pass runs."""
    return _native.lanes(dtype == np.float64)


def unpack(cell: str, stash: Array, width: int, units: int) -> dict[str, Array]:
    """Name -> (n, H) from stash rows (n, slots*Hp); width: lanes of a vector when the pass ran."""
    found: dict[str, Array] = {}
    groups = LAYOUT[cell]
    padded, at = stash.shape[1] // sum(map(len, groups)), 0
    for names in groups:
        part = stash[:, at : at + len(names) * padded].reshape(len(stash), padded // width, len(names), width)
        for k, name in enumerate(names):
            found[name] = part[:, :, k].reshape(len(stash), padded)[:, :units]
        at += len(names) * padded
    return found


@dataclass(frozen=True)
class RowSteps:
    """Which steps of one row of a batch ran, and where the engine keeps them.

    times (n,): the steps that ran, numbered as in the input, in the order in which they ran; positions (n,): theirs
    in the stash; state_rows (T,): the state row after each step of the input; start: the state row before all.
    """

    times: Array
    positions: Array
    state_rows: Array
    start: int

    @staticmethod
    def of(ran: Pass, row: int, mask: Array | None) -> RowSteps:
        """Read them off the plan; mask (T,) or None, True = keep."""
        plan = ran.plan
        seen = plan.out_index()[row]  # running order: 1 + position of the step that is seen, 0 before the first
        steps = len(seen)
        time = np.arange(steps)[::-1] if plan.reverse else np.arange(steps)
        kept = np.ones(steps, bool) if mask is None else mask[time]
        positions = seen[kept] - 1
        start = int(plan.previous()[positions[0]]) if len(positions) else int(plan.final_row()[row])
        state_rows = np.empty(steps, np.int64)
        state_rows[time] = np.where(seen > 0, seen, start)
        return RowSteps(time[kept], positions, state_rows, start)
