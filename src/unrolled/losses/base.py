"""What all losses share."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from unrolled import _native
from unrolled.errors import show_call, warn_user
from unrolled.feed import native_floats
from unrolled.losses.labels import of_output_shape
from unrolled.parameters import Array, Shape


class Loss:
    """The base of all losses: subclass it and write `compute` to add one.

    reduction "sum_over_batch_size" (= "mean"): the mean over samples (and steps; masked steps do not count);
    "sum": their sum.

    Args:    name: what messages call it; reduction: "sum_over_batch_size", "mean" or "sum".
    Raises:  ValueError for another reduction.
    """

    activation: ClassVar[str | None] = None  # compute takes this activation's logits in place of its outputs
    default_name: ClassVar[str] = "loss"

    def __init__(self, name: str | None = None, reduction: str = "sum_over_batch_size") -> None:
        if reduction not in ("sum_over_batch_size", "mean", "sum"):
            raise ValueError(
                f'{type(self).__name__}: expected reduction "sum_over_batch_size", "mean" or "sum", got {reduction!r}.'
            )
        self.name = name or self.default_name
        self.reduction = reduction
        self.from_logits = False

    def compute(self, y_true: Array, y: Array, logits: bool, gradient: bool = True) -> tuple[Array, Array | None]:
        """Value per sample (B,) or per step (B, T), and the gradient of each value with respect to its y.

        Args:    y_true: labels as `prepare` returns them; y: outputs, or logits if `logits`; gradient: False skips it.
        Returns: (values, d_y); d_y has the shape of y, or is None.
        """
        raise NotImplementedError(f"{type(self).__name__} must define compute(y_true, y, logits, gradient)")

    def of_engine(self, y_true: Array) -> tuple[Array, bool] | None:
        """Labels (B, K) as the engine's cross-entropy of logits takes them, and whether a softmax belongs to it.

        None: `compute` has to be asked.
        """
        return None

    def prepare(self, y: Any, output_shape: Shape, dtype: Any = np.float32, argument: str = "y") -> Array:
        """Labels in the form that `compute` wants: numbers of the output's shape, checked, NaN refused.

        Args:    y: labels (N, ...); output_shape: of the model, (None, K) or (None, T, K); argument: for messages.
        Raises:  ShapeError or ValueError or TypeError if they do not fit, naming what does.
        """
        return of_output_shape(y, output_shape, argument, self.name).astype(dtype, copy=False)

    def __repr__(self) -> str:
        return show_call(self)

    def takes_logits(self, activation: str | None) -> bool:
        """Whether a model that ends in `activation` hands over logits; warns if from_logits contradicts it."""
        if self.from_logits and activation is not None:
            warn_user(
                f"{self.name}(from_logits=True), but the model ends in {activation}, which turns logits into "
                "probabilities; the loss is computed from the logits before it. Drop from_logits or the activation."
            )
        return activation is not None and (self.from_logits or activation == self.activation)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        """The reduced loss of predictions (B, K), as a float."""
        y = np.asarray(y_pred)
        y = y if np.issubdtype(y.dtype, np.floating) else y.astype(np.float32)
        labels = self.prepare(y_true, (None, *y.shape[1:]), y.dtype, "y_true")
        weights = None if sample_weight is None else np.asarray(sample_weight, y.dtype)
        values, _ = self.compute(labels, y, self.from_logits, gradient=False)
        return reduce(values, weights, None, self.reduction)[0]

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this loss again."""
        return {"name": self.name, "reduction": self.reduction}


def reduce(
    values: Array, weights: Array | None, mask: Array | None, reduction: str = "sum_over_batch_size"
) -> tuple[float, Array | float]:
    """One number of the losses, and by how much each of them counts in it.

    mean: sum(values weights mask) / count, where count is the number of kept values (of all without a mask); weights do
    not change the count. 0 if nothing is kept.

    Args:    values (B,) or (B, T); weights (B,) or of values' shape, or None; mask of values' shape, or None.
    Returns: (loss, coefficients); coefficients is one float if all are equal.
    """
    share = shares(values.shape, values.dtype, weights, mask, reduction)
    return weigh(values, share), share


def shares(
    shape: tuple[int, ...], dtype: Any, weights: Array | None, mask: Array | None, reduction: str
) -> Array | float:
    """By how much each value of `shape` counts in the loss, see `reduce`."""
    count = math.prod(shape) if mask is None else int(np.count_nonzero(mask))
    scale = (1.0 if reduction == "sum" else 1.0 / count) if count else 0.0
    if weights is None and mask is None:
        return scale
    coefficients = np.full(shape, scale, dtype)
    if weights is not None:
        coefficients *= weights.reshape(weights.shape + (1,) * (len(shape) - weights.ndim))
    if mask is not None:
        coefficients *= mask
    return coefficients


def weigh(values: Array, share: Array | float) -> float:
    """The sum of values, each times its share, in float64 and in their order."""
    floats = native_floats(values)
    if floats is None:  # of somebody's own loss
        floats = values.astype(np.float64)
    if isinstance(share, float):
        return _native.total(floats, None) * share
    return _native.total(floats, np.ascontiguousarray(share, floats.dtype))
