"""The rows held out for early stopping: every class in its proportion, repeats of a row on one side."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from unrolled.parameters import Array


def stratified_holdout(
    codes: Array, fraction: float, random: np.random.Generator, keys: Sequence[Hashable] | None = None
) -> tuple[Array, Array]:
    """Rows to train on and rows held out, each in ascending order.

    Of every class about `fraction` of the rows are held out, at least one if the class has two different rows; a class
    with one row is only trained on. Rows with equal keys are on the same side, in the class of the first of them.

    Args:    codes: (N,) class numbers; keys: N values that are equal where the content of rows is equal.
    Returns: train, held_out: int64 row numbers; held_out is empty if no class has two different rows.
    """
    groups: dict[Hashable, list[int]] = {}
    for row in range(len(codes)):
        groups.setdefault(row if keys is None else keys[row], []).append(row)
    by_class: dict[int, list[list[int]]] = {}
    for rows in groups.values():
        by_class.setdefault(int(codes[rows[0]]), []).append(rows)
    held = np.zeros(len(codes), bool)
    for code in sorted(by_class):
        members = [by_class[code][number] for number in random.permutation(len(by_class[code]))]
        if len(members) < 2:
            continue
        room = fraction * sum(map(len, members))
        taken = []
        for rows in members[:-1]:  # one group always stays
            if len(rows) <= room + 0.5:
                taken.append(rows)
                room -= len(rows)
        for rows in taken or [min(members, key=len)]:
            held[rows] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def count_repeats(keys: Sequence[Hashable]) -> int:
    """How many rows repeat an earlier one."""
    return len(keys) - len(set(keys))
