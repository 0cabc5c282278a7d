"""Losses with Keras' names, defaults and formulas; each gives its values and its gradient.

A loss maps labels t and outputs y (B, K) or (B, T, K) to one value per sample (B,) or per step (B, T). Cross-entropies
take the logits when the model ends in the activation that belongs to them (sigmoid for binary, softmax for
categorical); behind any other activation they take the outputs as probabilities, clipped to [1e-7, 1 - 1e-7].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from unrolled.errors import ShapeError, closest, show_call, warn_user
from unrolled.feed import as_numbers, fits, show
from unrolled.parameters import Array, Shape

EPSILON = 1e-7


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

    def prepare(self, y: Any, output_shape: Shape, dtype: Any = np.float32, argument: str = "y") -> Array:
        """Labels in the form that `compute` wants: numbers of the output's shape, checked.

        Args:    y: labels (N, ...); output_shape: of the model, (None, K) or (None, T, K); argument: for messages.
        Raises:  ShapeError or ValueError or TypeError if they do not fit, naming what does.
        """
        return self._same_shape(as_numbers(y, argument), output_shape, argument).astype(dtype, copy=False)

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

    def _same_shape(self, y: Array, output_shape: Shape, argument: str) -> Array:
        if y.ndim == len(output_shape) - 1 and output_shape[-1] == 1:
            y = y[..., None]
        if not fits(y.shape, output_shape):
            raise ShapeError(
                f"{argument}: {self.name} expected labels of the output's shape {show(output_shape)}, "
                f"got {y.shape}.{_steps_remedy(y, output_shape) or self._remedy(y, output_shape)}"
            )
        return y

    def _remedy(self, y: Array, output_shape: Shape) -> str:
        return ""


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

    def prepare(self, y: Any, output_shape: Shape, dtype: Any = np.float32, argument: str = "y") -> Array:
        """Labels between 0 and 1 of the output's shape."""
        labels = self._same_shape(as_numbers(y, argument), output_shape, argument)
        if labels.size and (labels.min() < 0 or labels.max() > 1):
            raise ValueError(
                f"{argument}: {self.name} expected labels between 0 and 1, got values from {labels.min():g} to "
                f"{labels.max():g}.{self._range_remedy(labels, output_shape)}"
            )
        return labels.astype(dtype, copy=False)

    def _range_remedy(self, y: Array, output_shape: Shape) -> str:
        return ""

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

    def compute(self, y_true: Array, y: Array, logits: bool, gradient: bool = True) -> tuple[Array, Array | None]:
        """Values and their gradient; see Loss.compute."""
        t = y_true
        if self.label_smoothing:
            t = t * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
        size = y.shape[-1]
        if logits:
            small = np.exp(-np.abs(y))  # at most 1: no overflow
            values = np.maximum(y, 0) - y * t + np.log1p(small)
            if not gradient:
                return values.mean(axis=-1), None
            return values.mean(axis=-1), (np.where(y >= 0, 1, small) / (1 + small) - t) / size
        p = np.clip(y, EPSILON, 1 - EPSILON)
        values = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(axis=-1)
        if not gradient:
            return values, None
        return values, np.where(inside(y), (p - t) / (p * (1 - p)), 0) / size

    def _remedy(self, y: Array, output_shape: Shape) -> str:
        classes = output_shape[-1]
        if y.ndim == len(output_shape) - 1 and classes and classes > 1:
            return (
                f" For class numbers 0 to {classes - 1} use loss='sparse_categorical_crossentropy' with softmax, "
                f"or utils.to_categorical(y, num_classes={classes})."
            )
        if output_shape[-1] == 1 and y.ndim == len(output_shape) and y.shape[-1] > 1:
            return (
                f" One-hot labels of {y.shape[-1]} classes need an output of {y.shape[-1]} units with softmax and "
                "loss='categorical_crossentropy'."
            )
        return ""

    def _range_remedy(self, y: Array, output_shape: Shape) -> str:
        if np.all(y == np.round(y)) and y.min() >= 0:
            classes = int(y.max()) + 1
            return (
                f" For {classes} classes use {classes} output units with softmax and "
                "loss='sparse_categorical_crossentropy'."
            )
        if set(np.unique(y[:1000]).tolist()) <= {-1.0, 1.0}:
            return " For labels -1 and 1 use (y + 1) / 2."
        return " For numbers to be predicted use loss='mse'."


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

    def compute(self, y_true: Array, y: Array, logits: bool, gradient: bool = True) -> tuple[Array, Array | None]:
        """Values and their gradient; see Loss.compute."""
        t = y_true
        if self.label_smoothing:
            t = t * (1.0 - self.label_smoothing) + self.label_smoothing / y.shape[-1]
        if logits:
            log_p = log_softmax(y)
            values = -(t * log_p).sum(axis=-1)
            return values, np.exp(log_p) * t.sum(axis=-1, keepdims=True) - t if gradient else None
        total = y.sum(axis=-1, keepdims=True)
        q = y / total
        p = np.clip(q, EPSILON, 1 - EPSILON)
        values = -(t * np.log(p)).sum(axis=-1)
        if not gradient:
            return values, None
        d_q = np.where(inside(q), -t / p, 0)
        return values, (d_q - (d_q * q).sum(axis=-1, keepdims=True)) / total

    def _remedy(self, y: Array, output_shape: Shape) -> str:
        classes = output_shape[-1]
        sparse = y.ndim == len(output_shape) - 1 or (y.ndim == len(output_shape) and y.shape[-1] == 1)
        if sparse and classes == 1:
            return " For one yes/no output use loss='binary_crossentropy' with sigmoid."
        if sparse:
            return (
                " For class numbers use loss='sparse_categorical_crossentropy', "
                f"or utils.to_categorical(y, num_classes={classes})."
            )
        if y.ndim == len(output_shape):
            return f" The labels name {y.shape[-1]} classes, the last layer has {classes} units: make them equal."
        return ""

    def _range_remedy(self, y: Array, output_shape: Shape) -> str:
        return " One-hot rows come from utils.to_categorical; class numbers need 'sparse_categorical_crossentropy'."

    def prepare(self, y: Any, output_shape: Shape, dtype: Any = np.float32, argument: str = "y") -> Array:
        """One-hot labels of the output's shape."""
        if output_shape[-1] == 1:
            raise ShapeError(
                f"{argument}: {self.name} expected an output of 2 or more classes, got output shape "
                f"{show(output_shape)}. For one yes/no output use loss='binary_crossentropy' with sigmoid."
            )
        return super().prepare(y, output_shape, dtype, argument)


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
        labels, classes = as_numbers(y, argument), output_shape[-1]
        if labels.ndim == len(output_shape) and labels.shape[-1] == 1:
            labels = labels[..., 0]
        if not fits(labels.shape, output_shape[:-1]):
            one_hot = labels.ndim == len(output_shape) and labels.shape[-1] == classes
            remedy = " One-hot labels need loss='categorical_crossentropy'." if one_hot else ""
            remedy = remedy or _steps_remedy(labels, output_shape)
            raise ShapeError(
                f"{argument}: {self.name} expected class numbers of shape {show(output_shape[:-1])} for the output "
                f"{show(output_shape)}, got {labels.shape}.{remedy}"
            )
        whole = labels.astype(np.int64)
        if np.issubdtype(labels.dtype, np.floating) and not np.array_equal(whole, labels):
            raise ValueError(
                f"{argument}: {self.name} expected whole class numbers, got fractions such as "
                f"{labels[whole != labels].reshape(-1)[0]:g}. For numbers to be predicted use loss='mse'."
            )
        if classes is not None and whole.size and (whole.min() < 0 or whole.max() >= classes):
            raise ValueError(
                f"{argument}: {self.name} expected class numbers 0 to {classes - 1} (the last layer has {classes} "
                f"units), got values from {whole.min()} to {whole.max()}. Number the classes from 0, or give the "
                f"last layer {max(int(whole.max()) + 1, 2)} units."
            )
        return whole

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


class MeanSquaredError(Loss):
    """Mean over the last axis of (y - t)^2;  d_y = 2 (y - t) / K. Labels have the output's shape."""

    default_name = "mean_squared_error"

    def compute(self, y_true: Array, y: Array, logits: bool, gradient: bool = True) -> tuple[Array, Array | None]:
        """Values and their gradient; see Loss.compute."""
        error = y - y_true
        return (error * error).mean(axis=-1), error * y.dtype.type(2 / y.shape[-1]) if gradient else None


class MeanAbsoluteError(Loss):
    """Mean over the last axis of |y - t|;  d_y = sign(y - t) / K. Labels have the output's shape."""

    default_name = "mean_absolute_error"

    def compute(self, y_true: Array, y: Array, logits: bool, gradient: bool = True) -> tuple[Array, Array | None]:
        """Values and their gradient; see Loss.compute."""
        error = y - y_true
        return np.abs(error).mean(axis=-1), np.sign(error) / y.dtype.type(y.shape[-1]) if gradient else None


def _steps_remedy(y: Array, output_shape: Shape) -> str:
    """What to do if the outputs have steps and the labels have not, or the other way round."""
    if len(output_shape) == 3 and (y.ndim == 1 or (y.ndim == 2 and y.shape[1] in (1, output_shape[2]))):
        return " For one label a row give the last recurrent layer return_sequences=False."
    if len(output_shape) == 2 and y.ndim == 3:
        return " For a label at every step give the last recurrent layer return_sequences=True."
    return ""


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


def reduce(
    values: Array, weights: Array | None, mask: Array | None, reduction: str = "sum_over_batch_size"
) -> tuple[float, Array | float]:
    """One number of the losses, and by how much each of them counts in it.

    mean: sum(values weights mask) / count, where count is the number of kept values (of all without a mask); weights do
    not change the count. 0 if nothing is kept.

    Args:    values (B,) or (B, T); weights (B,) or of values' shape, or None; mask of values' shape, or None.
    Returns: (loss, coefficients); coefficients is one float if all are equal.
    """
    count = values.size if mask is None else int(np.count_nonzero(mask))
    scale = (1.0 if reduction == "sum" else 1.0 / count) if count else 0.0
    if weights is None and mask is None:
        return float(values.sum(dtype=np.float64)) * scale, scale
    coefficients = np.full(values.shape, scale, values.dtype)
    if weights is not None:
        coefficients *= weights.reshape(weights.shape + (1,) * (values.ndim - weights.ndim))
    if mask is not None:
        coefficients *= mask
    return float(np.multiply(values, coefficients, dtype=np.float64).sum()), coefficients


def binary_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0) -> Array:
    """Values of BinaryCrossentropy per sample, (B,) or (B, T)."""
    return _values(BinaryCrossentropy(from_logits, label_smoothing), y_true, y_pred)


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0
) -> Array:
    """Values of CategoricalCrossentropy per sample, (B,) or (B, T)."""
    return _values(CategoricalCrossentropy(from_logits, label_smoothing), y_true, y_pred)


def sparse_categorical_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False) -> Array:
    """Values of SparseCategoricalCrossentropy per sample, (B,) or (B, T)."""
    return _values(SparseCategoricalCrossentropy(from_logits), y_true, y_pred)


def mean_squared_error(y_true: Any, y_pred: Any) -> Array:
    """Values of MeanSquaredError per sample, (B,) or (B, T)."""
    return _values(MeanSquaredError(), y_true, y_pred)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Array:
    """Values of MeanAbsoluteError per sample, (B,) or (B, T)."""
    return _values(MeanAbsoluteError(), y_true, y_pred)


def _values(loss: Loss, y_true: Any, y_pred: Any) -> Array:
    y = np.asarray(y_pred)
    y = y if np.issubdtype(y.dtype, np.floating) else y.astype(np.float32)
    labels = loss.prepare(y_true, (None, *y.shape[1:]), y.dtype, "y_true")
    return loss.compute(labels, y, loss.from_logits, gradient=False)[0]


mse = mean_squared_error
mae = mean_absolute_error

_CLASSES: dict[str, type[Loss]] = {
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "mae": MeanAbsoluteError,
}
_FUNCTIONS: dict[Callable[..., Any], type[Loss]] = {
    binary_crossentropy: BinaryCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
    mean_squared_error: MeanSquaredError,
    mean_absolute_error: MeanAbsoluteError,
}


def get(loss: Any) -> Loss:
    """The loss of a name, class, function of this module, or configuration.

    Raises:  ValueError for an unknown name (it lists the known ones), TypeError for anything else.
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, type) and issubclass(loss, Loss):
        return loss()
    if isinstance(loss, dict):
        return _by_name(str(loss.get("class_name")))(**loss.get("config", {}))
    if isinstance(loss, str):
        return _by_name(loss)()
    if callable(loss) and loss in _FUNCTIONS:
        return _FUNCTIONS[loss]()
    raise TypeError(
        f"loss: expected a name such as 'binary_crossentropy' or a losses.Loss, got {loss!r}. A plain function gives "
        "no gradient: subclass losses.Loss and write compute()."
    )


def serialize(loss: Loss) -> dict[str, Any]:
    """Class name and arguments, for `get`."""
    return {"class_name": type(loss).__name__, "config": loss.get_config()}


def _by_name(name: str) -> type[Loss]:
    classes = {cls.__name__: cls for cls in _CLASSES.values()} | _CLASSES
    found = classes.get(name) or classes.get(name.lower())
    if found is None:
        raise ValueError(f"unknown loss {name!r}{closest(name, classes)} Known: {', '.join(_CLASSES)}.")
    return found
