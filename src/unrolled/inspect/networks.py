"""The several networks of a classifier, for one input: what each says, and their average."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from unrolled.parameters import Array
from unrolled.printing import Shown, Table, show_number


class Networks(Shown):
    """What each network of a classifier says of one input; they run when they are asked.

    Attributes: number, the network that is traced, from 0; models, all of them; names of the outputs; outputs (n, K),
    as each network's predict gives them; average (K,) in float64, what the classifier's probabilities are.
    """

    def __init__(self, models: Sequence[Any], number: int, x: Array, names: list[str]) -> None:
        self.models, self.number, self.names, self._x = list(models), number, names, x

    def __len__(self) -> int:
        return len(self.models)

    @cached_property
    def outputs(self) -> Array:
        """(n, K)."""
        return np.stack([model.predict(self._x[None])[0] for model in self.models])

    @property
    def average(self) -> Array:
        """(K,)."""
        mean: Array = self.outputs.mean(axis=0, dtype=np.float64)
        return mean

    @property
    def note(self) -> str:
        """Which one is traced, and the average, in a line."""
        said = ", ".join(f"{name}: {show_number(p)}" for name, p in zip(self.names, self.average, strict=True))
        return (
            f"network {self.number} of {len(self)} (0 to {len(self) - 1}); the classifier averages them  {said}; "
            "trace.networks shows each"
        )

    def table(self) -> Table:
        """A row a network, and the average."""
        rows = [
            [str(k), *map(show_number, said), "traced" if k == self.number else ""]
            for k, said in enumerate(self.outputs)
        ]
        rows.append(["average", *map(show_number, self.average), ""])
        title = f"{len(self)} networks, of which {self.number} is traced"
        return Table(title, ["network", *self.names, ""], rows, marked=(self.number,))
