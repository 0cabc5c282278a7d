"""Cross-entropies, from logits or from probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled import _native
from unrolled.errors import ShapeError
from unrolled.feed import show
from unrolled.losses.base import Loss
from unrolled.losses.labels import (
    binary_range_remedy,
    binary_shape_remedy,
    check_range,
    class_numbers,
    of_output_shape,
    one_hot_range_remedy,
    one_hot_shape_remedy,
)
from unrolled.parameters import Array, Shape

EPSILON = 1e-7


class _ProbabilityLoss(Loss):
    """What the two cross-entropies with probabilities as labels share."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(name, reduction)
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(f"{self.name}: expected label_smoothing between 0 and 1, got {label_smoothing!r}.")
        self.from_logits = bool(from_logits)
        self.label_smoothing = float(label_smoothing)

    def _smooth(self, t: Array) -> Array:
        """Labels (..., K) moved towards equal shares: of yes and no, or of all K classes."""
        s, classes = self.label_smoothing, t.shape[-1] if self.activation == "softmax" else 2
        return t * (1.0 - s) + s / classes if s else t

    def of_engine(self, y_true: Array) -> tuple[Array, bool] | None:
        """See Loss.of_engine."""
        own = type(self).compute in (BinaryCrossentropy.compute, CategoricalCrossentropy.compute)
        return (np.ascontiguousarray(self._smooth(y_true)), self.activation == "softmax") if own else None

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this loss again."""
        return super().get_config() | {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing}


class BinaryCrossentropy(_ProbabilityLoss):
    """Cross-entropy of independent yes/no outputs.

    loss = -mean_k(t log p + (1 - t) log(1 - p)),  p = sigmoid(z);  d_z = (p - t) / K
    from logits: max(z, 0) - z t + log(1 + exp(-|z|));  smoothing s: t <- t (1 - s) + s / 2

    Args:    from_logits: the model's outputs are z, not p; label_smoothing: s in [0, 1], default 0.
    Input:   labels (B, K), (B, T, K), or without the last axis if K = 1; in [0, 1].
    Source:  Keras 3 on TensorFlow, except that outputs of a softmax count as probabilities (Keras 3 takes their
             logits for those of a sigmoid).
    """

    activation = "sigmoid"
    default_name = "binary_crossentropy"

    def prepare(self, y: Any, output_shape: Shape, dtype: Any = np.float32, argument: str = "y") -> Array:
        """Labels between 0 and 1 of the output's shape."""
        labels = of_output_shape(y, output_shape, argument, self.name, binary_shape_remedy, finite=False)
        check_range(labels, y, argument, self.name, binary_range_remedy)
        return labels.astype(dtype, copy=False)

    def compute(self, y_true: Array, y: Array, logits: bool, gradient: bool = True) -> tuple[Array, Array | None]:
        """Values and their gradient; see Loss.compute."""
        t = self._smooth(y_true)
        if logits:
            return of_logits(y, t, softmax=False, gradient=gradient)
        p = np.clip(y, EPSILON, 1 - EPSILON)
        values = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(axis=-1)
        if not gradient:
            return values, None
        return values, np.where(inside(y), (p - t) / (p * (1 - p)), 0) / y.shape[-1]


class CategoricalCrossentropy(_ProbabilityLoss):
    """Cross-entropy of one class among K, labels one-hot (or probabilities).

    loss = -sum_k t_k log p_k,  p = softmax(z);  d_z = p sum_k t_k - t
    probabilities are divided by their sum first;  smoothing s: t <- t (1 - s) + s / K

    Args:    from_logits: the model's outputs are z, not p; label_smoothing: s in [0, 1], default 0.
    Input:   labels (B, K) or (B, T, K) in [0, 1].
    Source:  Keras 3 on TensorFlow.
    """

    activation = "softmax"
    default_name = "categorical_crossentropy"

    def prepare(self, y: Any, output_shape: Shape, dtype: Any = np.float32, argument: str = "y") -> Array:
        """One-hot labels of the output's shape."""
        if output_shape[-1] == 1:
            raise ShapeError(
                f"{argument}: {self.name} expected an output of 2 or more classes, got output shape "
                f"{show(output_shape)}. For one yes/no output use loss='binary_crossentropy' with sigmoid."
            )
        labels = of_output_shape(y, output_shape, argument, self.name, one_hot_shape_remedy, finite=False)
        check_range(labels, y, argument, self.name, one_hot_range_remedy)
        return labels.astype(dtype, copy=False)

    def compute(self, y_true: Array, y: Array, logits: bool, gradient: bool = True) -> tuple[Array, Array | None]:
        """Values and their gradient; see Loss.compute."""
        t = self._smooth(y_true)
        if logits:
            return of_logits(y, t, softmax=True, gradient=gradient)
        total = y.sum(axis=-1, keepdims=True)
        q = y / total
        p = np.clip(q, EPSILON, 1 - EPSILON)
        values = -(t * np.log(p)).sum(axis=-1)
        if not gradient:
            return values, None
        d_q = np.where(inside(q), -t / p, 0)
        return values, (d_q - (d_q * q).sum(axis=-1, keepdims=True)) / total


class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy of one class among K, labels as class numbers.

    loss = -log p[t],  p = softmax(z);  d_z = p - onehot(t)

    Args:    from_logits: the model's outputs are z, not p.
    Input:   labels (B,) or (B, 1), or (B, T) or (B, T, 1), whole numbers 0 to K - 1.
    Source:  Keras 3 on TensorFlow.
    """

    activation = "softmax"
    default_name = "sparse_categorical_crossentropy"

    def __init__(
        self, from_logits: bool = False, reduction: str = "sum_over_batch_size", name: str | None = None
    ) -> None:
        super().__init__(name, reduction)
        self.from_logits = bool(from_logits)

    def prepare(self, y: Any, output_shape: Shape, dtype: Any = np.float32, argument: str = "y") -> Array:
        """Class numbers as int64, without a last axis of 1."""
        return class_numbers(y, output_shape, argument, self.name)

    def compute(self, y_true: Array, y: Array, logits: bool, gradient: bool = True) -> tuple[Array, Array | None]:
        """Values and their gradient; see Loss.compute."""
        z = y if logits else np.log(np.clip(y, EPSILON, 1 - EPSILON))
        log_p = log_softmax(z)
        at = y_true[..., None]
        values = -np.take_along_axis(log_p, at, axis=-1)[..., 0]
        if not gradient:
            return values, None
        d_z = np.exp(log_p)
        np.put_along_axis(d_z, at, np.take_along_axis(d_z, at, axis=-1) - 1, axis=-1)
        return values, d_z if logits else np.where(inside(y), d_z / np.clip(y, EPSILON, 1), 0)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this loss again."""
        return super().get_config() | {"from_logits": self.from_logits}


def of_logits(z: Array, t: Array, softmax: bool, gradient: bool) -> tuple[Array, Array | None]:
    """Values (...,) and gradient (..., K) of logits and labels (..., K), in one native pass."""
    dtype = z.dtype if z.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    logits = np.ascontiguousarray(z, dtype).reshape(-1, z.shape[-1])
    labels = np.ascontiguousarray(t, dtype).reshape(-1, z.shape[-1])
    values, d_z = _native.cross_entropy(logits, labels, softmax, gradient)
    return values.reshape(z.shape[:-1]), d_z.reshape(z.shape) if gradient else None


def log_softmax(z: Array) -> Array:
    """log(softmax(z)) over the last axis, without overflow."""
    shifted: Array = z - z.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def probabilities(z: Array, activation: str) -> Array:
    """Sigmoid or softmax of logits, without overflow."""
    if activation == "softmax":
        return np.asarray(np.exp(log_softmax(z)))
    small = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1, small) / (1 + small))


def inside(p: Array) -> Array:
    """Where clipping to [EPSILON, 1 - EPSILON] changes nothing: only there a gradient passes."""
    low, high = p.dtype.type(EPSILON), p.dtype.type(1 - EPSILON)
    return np.asarray((p >= low) & (p <= high))
