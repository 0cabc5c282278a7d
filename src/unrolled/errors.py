"""Errors that say what was expected, what came, and what to do."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class ShapeError(ValueError):
    """An array's shape does not fit; the text names the layer or argument, both shapes and the remedy."""


class UnknownAxisError(ShapeError):
    """A layer needs the size of an axis that is still open (None)."""


class NotBuiltError(ValueError):
    """The layer or model has no weights yet."""


class NotCompiledError(ValueError):
    """Training was asked for before `compile`."""


class FileFormatError(ValueError):
    """A model or data file is broken, truncated or of another kind."""


class TableError(ValueError):
    """A file of labelled texts cannot be used as it is; the text names the row or column and what to do."""


class UnknownNameError(KeyError):
    """A layer, gate, unit or other thing of that name does not exist; the text lists those that do."""

    def __str__(self) -> str:
        return str(self.args[0])


class PaddingWarning(UserWarning):
    """A recurrent layer runs on through unmasked zeros at the end of rows."""


class MissingExtraError(ImportError):
    """An optional package is needed; the text names the extra that brings it."""


def require_extra(module: str, extra: str, purpose: str) -> Any:
    """Import an optional module, or say which extra of `unrolled` brings it.

    Args:    module: dotted name to import; extra: the name in `pip install "unrolled[extra]"`; purpose: what needs it.
    Returns: the module.
    Raises:  MissingExtraError (an ImportError) naming the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingExtraError(
            f'{purpose} needs the package "{module.split(".")[0]}", which is not installed. '
            f'Install it with: pip install "unrolled[{extra}]"'
        ) from error


class TrainingDivergedError(ValueError):
    """The loss became NaN or infinite; the text names the epoch, the batch and the first bad tensor.

    Attributes: history, the History of the epochs before; epoch and batch, counted from 1; tensor, the first bad one.
    """

    def __init__(self, text: str, *, history: Any = None, epoch: int = 0, batch: int = 0, tensor: str = "") -> None:
        super().__init__(text)
        self.history, self.epoch, self.batch, self.tensor = history, epoch, batch, tensor


def show_call(thing: Any) -> str:
    """The repr of what has get_config(): the call that makes it again."""
    return f"{type(thing).__name__}({', '.join(f'{key}={value!r}' for key, value in thing.get_config().items())})"


def warn_user(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside this package that led here."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "unrolled":
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)


def closest(name: str, known: Iterable[str]) -> str:
    """How a message goes on after an unknown name: ', did you mean ...?' with the nearest known one, or '.'."""
    match = get_close_matches(name.lower(), list(known), 1)
    return f", did you mean {match[0]!r}?" if match else "."
