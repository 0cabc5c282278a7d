"""What layers own (parameters), what a pass is told (mode), and what it gives back (gradients)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from unrolled import _native
from unrolled.errors import ShapeError, UnknownNameError

Array = NDArray[Any]
Shape = tuple[int | None, ...]


def fits(shape: tuple[int, ...], expected: Shape) -> bool:
    """Whether an array's shape is the expected one, None standing for any size; the first axis is free."""
    if len(shape) != len(expected):
        return False
    return shape[1:] == expected[1:] or all(e is None or e == s for s, e in zip(shape[1:], expected[1:], strict=True))


class Pending(Protocol):
    """Steps of an optimizer that rows of a table have still to take."""

    def catch_up(self, rows: Array | None = None) -> None:
        """Take them in `rows` (distinct, int32), or in all."""


class Parameter:
    """A named array that a layer owns; updated in place by optimizers.

    A recurrent layer's are also read and set by gate: kernel["forget"] is a view (D, H) of the columns of that gate,
    kernel["forget"] = array overwrites them.

    Attributes: name, e.g. "kernel"; path, e.g. "lstm/kernel"; value (C-contiguous, float32 or float64); trainable;
    gate_columns, a function from a gate's word or letter to its columns, or None; pending, the steps of an optimizer
    that rows of a table have still to take, or None; later, an update of the array that goes on, or None; handed_out,
    whether `value` was read, so that nothing may wait.
    """

    def __init__(self, name: str, value: Array, *, path: str | None = None, trainable: bool = True) -> None:
        self.name = name
        self.path = path or name
        self._value: Array = np.ascontiguousarray(value)
        self.trainable = trainable
        self.gate_columns: Callable[[object], slice] | None = None
        self.pending: Pending | None = None
        self.later: _native.Later | None = None
        self.handed_out = False

    @property
    def value(self) -> Array:
        """The array itself, for good: whoever keeps it sees every later step as it is taken."""
        self.handed_out = True
        return self.now()

    @value.setter
    def value(self, array: Array) -> None:
        self.now()
        self._value, self.pending = np.ascontiguousarray(array), None

    def now(self) -> Array:
        """The array as it is after the last step, to be read at once: rows of a table may lag behind after the next."""
        self.finish()
        if self.pending is not None:
            self.pending.catch_up()
        return self._value

    def table(self, rows: Array) -> Array:
        """The array (V, F), of which only `rows` (distinct, int32) are sure to be as they are after the last step."""
        self.finish()
        if self.pending is not None:
            self.pending.catch_up(rows)
        return self._value

    def finish(self) -> None:
        """Wait for an update that goes on."""
        later = self.later
        if later is not None:
            later.finish()  # another thread may have begun the next: dropped, it is waited for
            self.later = None

    def __getstate__(self) -> dict[str, Any]:
        self.finish()
        return self.__dict__

    def __getitem__(self, key: Any) -> Array:
        """A gate's columns by its word or letter, a view that may be written to; any other index: of a copy.

        Raises: KeyError listing the gates there are.
        """
        if isinstance(key, str):
            return self.value[..., self._columns(key)]
        entries: Array = self.numpy()[key]
        return entries

    def __setitem__(self, key: str, value: Any) -> None:
        """Overwrite a gate's columns.

        Raises: ShapeError if the shape differs; TypeError for an index that is no gate.
        """
        if not isinstance(key, str):
            raise TypeError(f'"{self.path}": expected a gate\'s name in brackets, got {key!r}. To set all use assign.')
        view, new = self[key], np.asarray(value)
        if new.shape not in ((), view.shape):
            raise ShapeError(f'"{self.path}": expected for "{key}" an array {view.shape} or a number, got {new.shape}.')
        view[...] = new

    def _columns(self, gate: str) -> slice:
        if self.gate_columns is None:
            raise UnknownNameError(f'"{self.path}" has no gates, got [{gate!r}]. Use numpy() for its entries.')
        return self.gate_columns(gate)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.numpy())

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self._value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Float type of the array."""
        return self._value.dtype

    @property
    def size(self) -> int:
        """Number of entries."""
        return self._value.size

    def numpy(self) -> Array:
        """A copy of the array."""
        return self.now().copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """np.asarray(parameter): a copy, so that the weights change only through assign."""
        return self.now().astype(dtype or self.dtype)

    def assign(self, value: Any) -> None:
        """Overwrite the array in place.

        Raises: ShapeError if the shape differs; ValueError if it is not numeric.
        """
        new = np.asarray(value)
        if new.shape != self.shape:
            raise ShapeError(
                f'"{self.path}": expected an array of shape {self.shape}, got {new.shape}. '
                "get_weights() shows the order and shapes."
            )
        if not (np.issubdtype(new.dtype, np.number) or new.dtype == bool):
            raise TypeError(f'"{self.path}": expected numbers, got an array of {new.dtype}.')
        self.now()[...] = new

    def __repr__(self) -> str:
        return f"<Parameter {self.path} shape={self.shape} dtype={self.dtype}>"


@dataclass(frozen=True)
class RowGradient:
    """The gradient of a table (V, F) that is zero outside `rows`.

    rows (n,) int32, distinct, ascending or not; values (n, F).
    """

    rows: Array
    values: Array

    def to_dense(self, shape: tuple[int, ...]) -> Array:
        """The same gradient as a full array of `shape`."""
        dense = np.zeros(shape, self.values.dtype)
        dense[self.rows] = self.values
        return dense


Gradient = Array | RowGradient


class Gradients:
    """Gradients by parameter (by identity), summed when a parameter is used twice.

    Attributes: by_parameter, all of them, in the order in which they came, to be read after `finish`; later, work that
    computes some of them and goes on, or None; fleeting, whether they are made for one step, after which nobody changes
    them.
    """

    def __init__(self, fleeting: bool = False) -> None:
        self.by_parameter: dict[Parameter, Gradient] = {}
        self.later: _native.Later | None = None
        self.fleeting = fleeting

    def follow(self, later: _native.Later | None) -> None:
        """Note that some of them are still being computed."""
        if later is not None:
            self.finish()
            self.later = later

    def finish(self) -> None:
        """Wait for work that goes on."""
        if self.later is not None:
            self.later.finish()
            self.later = None

    def add(self, parameter: Parameter, gradient: Gradient) -> None:
        """Add `gradient` to what `parameter` already has in this pass."""
        old = self.by_parameter.get(parameter)
        if old is not None:
            self.finish()
            dense_old = old.to_dense(parameter.shape) if isinstance(old, RowGradient) else old
            dense_new = gradient.to_dense(parameter.shape) if isinstance(gradient, RowGradient) else gradient
            gradient = dense_old + dense_new
        self.by_parameter[parameter] = gradient

    def __getitem__(self, parameter: Parameter) -> Gradient:
        self.finish()
        return self.by_parameter[parameter]

    def __contains__(self, parameter: Parameter) -> bool:
        return parameter in self.by_parameter

    def __iter__(self) -> Iterator[tuple[Parameter, Gradient]]:
        self.finish()
        return iter(self.by_parameter.items())

    def __len__(self) -> int:
        return len(self.by_parameter)

    def dense(self, parameter: Parameter) -> Array:
        """The gradient as a full array; zeros if the parameter took no part."""
        if parameter not in self:
            return np.zeros(parameter.shape, parameter.dtype)
        gradient = self[parameter]
        return gradient.to_dense(parameter.shape) if isinstance(gradient, RowGradient) else gradient


class Mode(NamedTuple):
    """How a pass runs.

    training: dropout is active; keep: backprop will be called; random: the model's generator; input_gradient: backprop
    must return d_x (a layer may skip it and return None otherwise: nothing below it learns).
    """

    training: bool = False
    keep: bool = False
    random: np.random.Generator | None = None
    input_gradient: bool = True


PREDICT = Mode()
Backprop = Callable[[Any, Gradients], Any]


def no_backprop(d_y: Any, gradients: Gradients) -> Any:
    """Stand in for a backprop of a pass that kept nothing."""
    raise RuntimeError("this pass ran with Mode(keep=False) and stashed nothing; run it with keep=True")
