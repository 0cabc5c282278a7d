"""Averages of the weights over the steps of training, kept beside them (Keras' use_ema)."""

from __future__ import annotations

from collections.abc import Sequence

from unrolled import _native
from unrolled.parameters import Array, Parameter

RULE = [name for name, *_ in _native.rules()].index("average")


class WeightAverages:
    """An exponential moving average of every parameter.

    After each step: average <- momentum average + (1 - momentum) weight; after the first one it is the weight.

    Attributes: momentum; every, how often (in steps) the weights are overwritten by the averages, or None;
                arrays, one for each parameter; in_model, whether the model holds the averages now and `arrays` the
                weights that training goes on from.
    Source:     Keras 3; Polyak & Juditsky 1992.
    """

    def __init__(self, momentum: float, every: int | None) -> None:
        self.momentum, self.every = momentum, every
        self.arrays: list[Array] = []
        self.in_model = False
        self._parameters: list[Parameter] = []

    def build(self, parameters: Sequence[Parameter], arrays: Sequence[Array] | None = None) -> None:
        """Start averages at the weights (or at `arrays`); parameters known already keep theirs."""
        known = {id(p): a for p, a in zip(self._parameters, self.arrays, strict=True)}
        self._parameters = list(parameters)
        self.arrays = list(arrays or [known[id(p)] if id(p) in known else p.numpy() for p in parameters])

    def update(self, iterations: int) -> None:
        """Take in the weights after a step; iterations: how many steps were taken before it."""
        for dtype in {parameter.dtype for parameter, _ in self._trained()}:
            pairs = [(p.now(), average) for p, average in self._trained() if p.dtype == dtype]
            values, averages = (list(part) for part in zip(*pairs, strict=True))
            momentum = dtype.type(self.momentum if iterations else 0)
            constants = [momentum, dtype.type(1) - momentum]
            n = len(values)
            _native.update(RULE, averages, [[]] * n, values, [None] * n, 0.0, 0.0, [1.0] * n, constants, [None] * n)
        if self.every is not None and (iterations + 1) % self.every == 0:
            self._overwrite()

    def swap(self) -> None:
        """Exchange weights and averages; once more brings them back."""
        for parameter, average in self._trained():
            weight = parameter.value.copy()
            parameter.now()[...] = average
            average[...] = weight
        self.in_model = not self.in_model and bool(self.arrays)

    def back_to_training(self) -> None:
        """Put the weights back that training goes on from, if the model holds the averages."""
        if self.in_model:
            self.swap()

    def finish(self) -> None:
        """Make the averages the weights, as at the end of fit."""
        if self.in_model:  # then they are that already
            for parameter, average in self._trained():
                average[...] = parameter.now()
            self.in_model = False
        else:
            self._overwrite()

    def start_anew(self) -> None:
        """Somebody gave the model other weights while it held the averages: those are where both go on from."""
        if self.in_model:
            self.finish()

    def _overwrite(self) -> None:
        for parameter, average in self._trained():
            parameter.now()[...] = average

    def _trained(self) -> list[tuple[Parameter, Array]]:
        return [(p, a) for p, a in zip(self._parameters, self.arrays, strict=True) if p.trainable]
