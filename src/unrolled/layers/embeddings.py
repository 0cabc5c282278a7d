"""Token ids to vectors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from unrolled import initializers
from unrolled.batch import Sequence, distinct_tokens
from unrolled.errors import ShapeError
from unrolled.layers.base import Layer
from unrolled.layers.dropout import draw_scale
from unrolled.layers.values import numeric_array, require_data
from unrolled.parameters import Array, Backprop, Gradients, Mode, RowGradient, Shape, no_backprop

IDS = (np.dtype(np.int32), np.dtype(np.int64))  # what the engine numbers


class Embedding(Layer):
    """A table of vectors, one for each token id.

    y[b, t] = E[x[b, t]]

    The output stays lazy: the distinct ids of a batch and where they stand. A recurrent layer behind it projects each
    distinct token once.

    Args:
        input_dim: V, the number of ids, an integer > 0.
        output_dim: F, the size of a vector, an integer > 0.
        embeddings_initializer: "uniform" is [-0.05, 0.05).
        mask_zero: True masks the positions with id 0 (padding).
        weights: pretrained [E] or E, E of shape (V, F).
        input_length: T, if all batches have the same number of steps; checked against data.
        trainable: False keeps pretrained vectors as they are.
        dropout: in training, set whole vectors to 0 with this probability, a word's at all its places in the batch, and
            scale the others by 1 / (1 - dropout); 0. Not in Keras 3. Source: Gal & Ghahramani 2016; Merity et al. 2018.
    Input:   x (B, T) integers in [0, V); floats that are whole numbers count as integers.
    Output:  (B, T, F)
    Raises:  ValueError for an id outside, with its row and step; TypeError for fractions or text.
    """

    input_rank = 2

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        mask_zero: bool = False,
        weights: Any = None,
        input_length: Any = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if weights is not None and (isinstance(weights, np.ndarray) or not isinstance(weights, Iterable)):
            weights = [weights]
        super().__init__(weights=weights, **kwargs)
        self.input_dim = self.positive_integer("input_dim", input_dim)
        self.output_dim = self.positive_integer("output_dim", output_dim)
        self.embeddings_initializer = self.named("embeddings_initializer", initializers.get, embeddings_initializer)
        self.mask_zero = bool(mask_zero)
        self.dropout = self.fraction("dropout", dropout)
        if isinstance(input_length, tuple | list) and len(input_length) == 1:
            input_length = input_length[0]
        self.input_length = None if input_length is None else self.positive_integer("input_length", input_length)
        if weights is not None:
            self.build(self.default_input_shape())

    def default_input_shape(self) -> Shape:
        """(None, T): what can be built before any data."""
        return self.batch_input_shape or (None, self.input_length)

    def build(self, input_shape: Shape) -> None:
        """embeddings (V, F)."""
        if not self.built:
            shape = (self.input_dim, self.output_dim)
            self.embeddings = self.add_weight("embeddings", shape, self.embeddings_initializer)
        super().build(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, T) to (B, T, F)."""
        steps = input_shape[1] if self.input_length is None else self.input_length
        return (input_shape[0], steps, self.output_dim)

    def rank_remedy(self, rank: int, got: int) -> str:
        """Ids have two axes."""
        if got == 1:
            return "For one row of ids use x[None, :]; for one id per row use x[:, None]."
        return "Ids need no feature axis: use x[..., 0], or leave out Embedding for data that are already vectors."

    def check_input(self, x: Any) -> Array:
        """A user's ids as int32 (B, T).

        Raises: TypeError, ShapeError or ValueError naming this layer.
        """
        ids = self.check_batch(x)
        self._require_range(ids)
        return np.ascontiguousarray(ids, dtype=np.int32)

    def check_batch(self, x: Any) -> Array:
        """The same as int32 or int64, except that ids outside [0, V) are left to `forward`, which refuses them too."""
        array = numeric_array(self.label, x)
        if array.ndim != 2:
            got = "(" + ", ".join(map(str, array.shape)) + ("," if array.ndim == 1 else "") + ")"
            raise ShapeError(
                f"{self.label}: expected x with 2 axes (batch, time) of token ids, got {got}.\n"
                f"{self.rank_remedy(2, array.ndim)}"
            )
        require_data(self.label, array)
        if self.input_length is not None and array.shape[1] != self.input_length:
            raise ShapeError(
                f"{self.label}: expected x with {self.input_length} steps (its input_length), got {array.shape}.\n"
                f"Use pad_sequences(x, maxlen={self.input_length}), or leave input_length out for any number of steps."
            )
        self.require_declared(array)
        if array.dtype.kind == "f":
            self._require_whole(array)
        if array.dtype not in IDS:
            self._require_range(array)
            array = array.astype(np.int32)
        return np.ascontiguousarray(array)

    def _require_whole(self, array: Array) -> None:
        wrong = (array != np.floor(array)) | np.isinf(array)  # the first is True for NaN
        if wrong.any():
            row, step = (int(i) for i in np.argwhere(wrong)[0])
            raise TypeError(
                f"{self.label}: expected whole numbers (token ids), got {array[row, step]} in row {row}, step {step}.\n"
                "For data that are not ids leave out Embedding and give the recurrent layer x[..., None]."
            )

    def _require_range(self, ids: Array) -> None:
        if ids.dtype.kind == "i" and ids.view(f"u{ids.itemsize}").max() < self.input_dim:  # negative ids are huge there
            return
        low, high = ids.min(), ids.max()
        if low >= 0 and high < self.input_dim:
            return
        row, step = (int(i) for i in np.argwhere((ids < 0) | (ids >= self.input_dim))[0])
        remedy = (
            "Ids must not be negative; 0 is for padding."
            if low < 0
            else f"Use input_dim={int(high) + 1} or more, or cut the vocabulary (num_words={self.input_dim})."
        )
        raise ValueError(
            f"{self.label}: id {int(ids[row, step])} in row {row}, step {step} is outside 0 to {self.input_dim - 1} "
            f"(input_dim={self.input_dim}).\n{remedy}"
        )

    @property
    def passes_gradients_on(self) -> bool:
        """True, unless dropout scales them."""
        return type(self).forward is Embedding.forward and self.dropout == 0

    def forward(self, x: Array, mode: Mode) -> tuple[Sequence, Backprop]:
        """The lazy sequence of the batch."""
        if x.dtype not in IDS or x.ndim != 2:
            x = self.check_input(x)
        try:
            rows, index, lead, trail = distinct_tokens(x, self.input_dim)
        except IndexError:
            self._require_range(x)
            raise
        embeddings = self.embeddings
        mask = None
        if self.mask_zero:  # masked steps do not run, so there is no trajectory to share
            lead = trail = np.zeros(len(x), np.int32)
            if (rows == 0).any():  # in order of first appearance, so 0 may stand anywhere
                mask = x != 0

        scale = None
        if mode.training and self.dropout > 0:
            scale = draw_scale((len(rows), 1), self.dropout, self.dtype, mode)

        def backprop(d_values: Array, gradients: Gradients) -> None:
            if embeddings.trainable:
                gradients.add(embeddings, RowGradient(rows, d_values if scale is None else d_values * scale))

        if scale is not None:
            table = embeddings.table(rows)[rows] * scale
            return Sequence(table, index, mask=mask, lead=lead, trail=trail), backprop if mode.keep else no_backprop
        y = Sequence(table=embeddings.table(rows), rows=rows, index=index, mask=mask, lead=lead, trail=trail)
        return y, backprop if mode.keep else no_backprop

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
            "mask_zero": self.mask_zero,
            "input_length": self.input_length,
            "dropout": self.dropout,
        }
