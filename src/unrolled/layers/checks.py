"""What a layer checks: the arguments it was made with, and the arrays that a user gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from unrolled.errors import ShapeError, UnknownAxisError
from unrolled.layers.values import numeric_array, require_data
from unrolled.parameters import Array, Shape, fits

Found = TypeVar("Found")

AXES = {2: "(batch, features)", 3: "(batch, time, features)"}


class Checks:
    """Checks that name the layer, what was expected, what came and what to do.

    Attributes: input_rank, axes of x with the batch axis, None for any; name; dtype; input_shape, seen at build;
    batch_input_shape, declared by the user.
    """

    input_rank: int | None = None
    name: str
    dtype: np.dtype[Any]
    input_shape: Shape | None
    batch_input_shape: Shape | None

    @property
    def label(self) -> str:
        """How errors call this layer, e.g. `LSTM "encoder"`."""
        return f'{type(self).__name__} "{self.name}"'

    def shape_argument(self, argument: str, shape: Any) -> Shape:
        """A tuple of positive integers and None; a single integer counts as one axis.

        Raises: ValueError naming the argument.
        """
        axes = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
        for axis in axes:
            if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int | np.integer) or axis < 1):
                raise ValueError(
                    f"{self.label}: expected {argument} to hold positive integers (None for an open axis), got {shape}."
                )
        return tuple(None if axis is None else int(axis) for axis in axes)

    def positive_integer(self, argument: str, value: Any) -> int:
        """`value` as an int > 0.

        Raises: ValueError (TypeError for what is no integer at all) naming the layer and the argument.
        """
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError(f"{self.label}: expected {argument} to be a positive integer, got {value!r}.")
        if value < 1:
            raise ValueError(f"{self.label}: expected {argument} to be a positive integer, got {value}.")
        return int(value)

    def fraction(self, argument: str, value: Any) -> float:
        """`value` as a number from 0 to 1.

        Raises: TypeError or ValueError naming the layer and the argument.
        """
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise TypeError(f"{self.label}: expected {argument} to be a number from 0 to 1, got {value!r}.")
        if not 0 <= value <= 1:
            raise ValueError(f"{self.label}: expected {argument} to be a number from 0 to 1, got {value}.")
        return float(value)

    def named(self, argument: str, get: Callable[[Any], Found], value: Any) -> Found:
        """get(value), with the layer and the argument in front of its error."""
        try:
            return get(value)
        except (TypeError, ValueError) as error:
            text = str(error).split(": ", 1)[-1]
            raise type(error)(f"{self.label}, {argument}: {text}") from None

    def known_features(self, input_shape: Shape) -> int:
        """Size of the last axis.

        Raises: UnknownAxisError if it is open; ShapeError if there is no such axis.
        """
        if len(input_shape) < 2:
            raise ShapeError(f"{self.label}: expected x with a feature axis, got {input_shape}. Use x[:, None].")
        if input_shape[-1] is None:
            raise UnknownAxisError(
                f"{self.label}: the size of the last axis is not known, {input_shape}. "
                "Give the first layer an input_shape (or Embedding its input_length) without None for it."
            )
        return input_shape[-1]

    @property
    def built_features(self) -> int | None:
        """Size of the last axis that the weights were made for."""
        return None

    def require_rank(self, x: Any, rank: int | None) -> None:
        """Check the number of axes of x (anything with a shape, or a shape).

        Raises: ShapeError naming the layer, the axes expected, the shape that came, and the remedy.
        """
        shape = tuple(getattr(x, "shape", x))
        if rank is None or len(shape) == rank:
            return
        axes = AXES.get(rank, "")
        got = ", ".join("None" if axis is None else str(axis) for axis in shape) + ("," if len(shape) == 1 else "")
        raise ShapeError(
            f"{self.label}: expected x with {rank} axes {axes}, got ({got}).\n{self.rank_remedy(rank, len(shape))}"
        )

    def rank_remedy(self, rank: int, got: int) -> str:
        """What to do about `got` axes where `rank` are needed."""
        if rank == 3 and got == 2:
            return "For one feature per step use x[..., None]; for token ids put Embedding first."
        if rank == 3 and got == 1:
            return "For one sequence of one feature use x[None, :, None]; for token ids put Embedding first."
        if rank == 3:
            return "Join the last axes: x.reshape(x.shape[0], x.shape[1], -1)."
        if rank == 2 and got == 3:
            return "To get rid of the time axis use return_sequences=False, a pooling layer or Flatten before it."
        return "Reshape x, or put Reshape or Flatten first."

    def require_features(self, x: Any, features: int) -> None:
        """Check the last axis of x against the size seen at build.

        Raises: ShapeError.
        """
        if x.shape[-1] != features:
            raise ShapeError(
                f"{self.label}: expected x with {features} features on the last axis (as built), "
                f"got {tuple(x.shape)}.\nFeed the same number of features, or make a new layer."
            )

    def check_input(self, x: Any) -> Array:
        """A user's x as a float array of this layer's dtype; for the layer that stands first.

        Raises: TypeError for text or objects; ValueError or ShapeError for NaN or infinity, missing rows or steps,
                wrong axes.
        """
        array = numeric_array(self.label, x)
        self.require_rank(array, self.input_rank)
        if array.ndim < 2:
            raise ShapeError(
                f"{self.label}: expected x with a batch axis and a feature axis, got {array.shape}.\n"
                "For one feature per row use x[:, None]; for one row use x[None, :]."
            )
        require_data(self.label, array)
        self.require_declared(array)
        features = self.built_features
        if features is not None:
            self.require_features(array, features)
        with np.errstate(over="ignore"):  # what does not fit float32 is infinite, and refused as such
            array = np.require(array, self.dtype, ["C_CONTIGUOUS", "ALIGNED"])
        finite = np.isfinite(array)
        if not finite.all():
            where = tuple(int(i) for i in np.argwhere(~finite)[0])
            what = "NaN" if np.isnan(array[where]) else f"infinity (or what {self.dtype} cannot hold)"
            raise ValueError(
                f"{self.label}: x holds {what}, first at x{list(where)}; {int((~finite).sum())} in all.\n"
                "Fill or drop them before (numpy.nan_to_num, or dropna in pandas)."
            )
        return array

    def check_batch(self, x: Any) -> Array:
        """The same for a batch that `forward` gets at once, which may refuse some of it with the same message."""
        return self.check_input(x)

    def require_declared(self, array: Array) -> None:
        """Check x against the input_shape that the layer was given.

        Raises: ShapeError.
        """
        expected = self.batch_input_shape
        if expected is not None and not fits(array.shape, expected):
            raise ShapeError(
                f"{self.label}: expected x of shape {expected} (its input_shape), got {array.shape}.\n"
                "Use None in input_shape for an axis that may vary."
            )
