"""Optimizers with Keras' names, defaults and formulas.

Every optimizer is dense: an Embedding's row without a gradient has gradient 0, so Adam moves it and RMSprop decays its
average, as in Keras. Source of the formulas: Keras 3 (RMSprop divides by sqrt(v + epsilon), Adam by sqrt(v) + epsilon).
"""

from __future__ import annotations

from typing import Any

from unrolled.errors import closest
from unrolled.optimizers.base import NativeOptimizer, Optimizer
from unrolled.optimizers.rules import SGD, Adam, AdamW, RMSprop

__all__ = ["SGD", "Adam", "AdamW", "NativeOptimizer", "Optimizer", "RMSprop", "get", "serialize"]

_CLASSES: dict[str, type[Optimizer]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam, "adamw": AdamW}


def get(optimizer: Any) -> Optimizer:
    """The optimizer of a name, class or configuration.

    Raises:  ValueError for an unknown name (it lists the known ones), TypeError for anything else.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        return optimizer()
    if isinstance(optimizer, dict):
        return _by_name(str(optimizer.get("class_name")))(**optimizer.get("config", {}))
    if isinstance(optimizer, str):
        return _by_name(optimizer)()
    raise TypeError(f"optimizer: expected a name such as 'rmsprop' or an optimizers.Optimizer, got {optimizer!r}.")


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """Class name and arguments, for `get`."""
    return {"class_name": type(optimizer).__name__, "config": optimizer.get_config()}


def _by_name(name: str) -> type[Optimizer]:
    found = _CLASSES.get(name.lower())
    if found is None:
        raise ValueError(f"unknown optimizer {name!r}{closest(name, _CLASSES)} Known: {', '.join(_CLASSES)}.")
    return found
