"""Recurrent networks for Python: fast on the CPU, and transparent."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled import activations as activations
    from unrolled import backend as backend
    from unrolled import baselines as baselines
    from unrolled import callbacks as callbacks
    from unrolled import chapter as chapter
    from unrolled import classifiers as classifiers
    from unrolled import datasets as datasets
    from unrolled import evaluation as evaluation
    from unrolled import initializers as initializers
    from unrolled import inspect as inspect
    from unrolled import layers as layers
    from unrolled import losses as losses
    from unrolled import metrics as metrics
    from unrolled import models as models
    from unrolled import optimizers as optimizers
    from unrolled import plotting as plotting
    from unrolled import preprocessing as preprocessing
    from unrolled import random as random
    from unrolled import reference as reference
    from unrolled import splits as splits
    from unrolled import text as text
    from unrolled import utils as utils
    from unrolled.engine import get_num_threads as get_num_threads
    from unrolled.engine import set_num_threads as set_num_threads
    from unrolled.layers import Input as Input
    from unrolled.models import Sequential as Sequential
    from unrolled.random import set_random_seed as set_random_seed

# Modules and names are imported when first asked for, so that `import unrolled` costs next to nothing.
_MODULES = (
    "activations", "backend", "baselines", "callbacks", "chapter", "classifiers", "datasets", "evaluation",
    "from_scratch", "initializers", "inspect", "layers", "losses", "metrics", "models", "optimizers", "plotting",
    "preprocessing", "random", "reference", "splits", "text", "utils",
)  # fmt: skip
_NAMES = {
    "Input": "layers",
    "Sequential": "models",
    "get_num_threads": "engine",
    "set_num_threads": "engine",
    "set_random_seed": "random",
}

__version__ = "0.1.0"
__all__ = [*_MODULES, *_NAMES, "__version__"]  # noqa: PLE0604  names, all of them


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f"unrolled.{_NAMES[name]}"), name)
    if name in _MODULES:
        return import_module(f"unrolled.{name}")
    raise AttributeError(f'module "unrolled" has no attribute "{name}"')


def __dir__() -> list[str]:
    return sorted(__all__)
