"""Weights of a layer or a model as Keras lists, counts and sets them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from unrolled.errors import ShapeError
from unrolled.parameters import Array, Parameter


class Weighted:
    """What has weights: a layer, or a model. Subclasses say which."""

    @property
    def weights(self) -> list[Parameter]:
        """All parameters in Keras' order."""
        raise NotImplementedError(f"{type(self).__name__} must define weights")

    @property
    def variables(self) -> list[Parameter]:
        """The same."""
        return self.weights

    @property
    def parameters(self) -> list[Parameter]:
        """The same; each says whether it is trainable."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Parameter]:
        """Parameters that training changes."""
        return [p for p in self.weights if p.trainable]

    @property
    def non_trainable_weights(self) -> list[Parameter]:
        """Parameters that training leaves alone."""
        return [p for p in self.weights if not p.trainable]

    def get_weights(self) -> list[Array]:
        """Copies of all weights, in the order of `weights`."""
        return [p.numpy() for p in self.weights]

    def count_params(self) -> int:
        """Number of entries of all weights."""
        return sum(p.size for p in self.weights)


def assign_all(label: str, parameters: list[Parameter], arrays: Iterable[Any]) -> None:
    """Overwrite parameters by arrays, all or none.

    Raises: ShapeError listing what is expected; TypeError for what is not numeric.
    """
    if arrays is None or isinstance(arrays, str):
        raise TypeError(f"{label}: expected a list of {len(parameters)} arrays, got {arrays!r}.")
    values = [np.asarray(array) for array in arrays]
    if [v.shape for v in values] != [p.shape for p in parameters]:
        expected = "\n".join(f"  {p.path} {p.shape}" for p in parameters) or "  (none)"
        got = ", ".join(str(v.shape) for v in values) or "none"
        raise ShapeError(f"{label}: expected {len(parameters)} arrays:\n{expected}\ngot {len(values)}: {got}.")
    for parameter, value in zip(parameters, values, strict=True):
        if not (np.issubdtype(value.dtype, np.number) or value.dtype == bool):
            raise TypeError(f'"{parameter.path}": expected numbers, got an array of {value.dtype}.')
    for parameter, value in zip(parameters, values, strict=True):
        parameter.assign(value)
