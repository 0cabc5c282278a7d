"""Which labels fit a loss, and what to do about those that do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unrolled.errors import ShapeError
from unrolled.feed import all_within, as_labels, as_numbers, require_finite, show
from unrolled.parameters import Array, Shape, fits

Remedy = Callable[[Array, Shape], str]


def no_remedy(y: Array, output_shape: Shape) -> str:
    """For losses that have no more to say."""
    return ""


def of_output_shape(
    y: Any, output_shape: Shape, argument: str, loss: str, remedy: Remedy = no_remedy, finite: bool = True
) -> Array:
    """Labels as numbers of the output's shape; the last axis may be missing where it is 1.

    Args:    y: labels (N, ...); output_shape: (None, K) or (None, T, K); argument, loss: names for messages; remedy:
             what to do about labels of another shape; finite: False leaves it to check_range to find NaN.
    Raises:  ShapeError; TypeError for what are no numbers; ValueError for NaN.
    """
    labels = as_numbers(y, argument) if finite else as_labels(y, argument)
    if labels.ndim == len(output_shape) - 1 and output_shape[-1] == 1:
        labels = labels[..., None]
    if not fits(labels.shape, output_shape):
        raise ShapeError(
            f"{argument}: {loss} expected labels of the output's shape {show(output_shape)}, "
            f"got {labels.shape}.{_steps_remedy(labels, output_shape) or remedy(labels, output_shape)}"
        )
    return labels


def check_range(labels: Array, given: Any, argument: str, loss: str, remedy: Callable[[Array], str]) -> None:
    """Refuse labels outside [0, 1], and NaN; given: the same as the user gave them, for the message.

    Raises: ValueError.
    """
    if not all_within(labels, 0, 1):
        require_finite(as_labels(given, argument), argument)
        raise ValueError(
            f"{argument}: {loss} expected labels between 0 and 1, got values from {labels.min():g} to "
            f"{labels.max():g}.{remedy(labels)}"
        )


def binary_shape_remedy(y: Array, output_shape: Shape) -> str:
    """For labels that do not have the shape of yes/no outputs."""
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


def binary_range_remedy(y: Array) -> str:
    """For labels of yes/no outputs outside [0, 1]."""
    if np.all(y == np.round(y)) and y.min() >= 0:
        classes = int(y.max()) + 1
        return (
            f" For {classes} classes use {classes} output units with softmax and "
            "loss='sparse_categorical_crossentropy'."
        )
    if set(np.unique(y[:1000]).tolist()) <= {-1.0, 1.0}:
        return " For labels -1 and 1 use (y + 1) / 2."
    return " For numbers to be predicted use loss='mse'."


def one_hot_shape_remedy(y: Array, output_shape: Shape) -> str:
    """For labels that do not have the shape of one-hot ones."""
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


def one_hot_range_remedy(y: Array) -> str:
    """For one-hot labels outside [0, 1]."""
    return " One-hot rows come from utils.to_categorical; class numbers need 'sparse_categorical_crossentropy'."


def class_numbers(y: Any, output_shape: Shape, argument: str, loss: str) -> Array:
    """Class numbers as int64, without a last axis of 1.

    Args, Raises: as of_output_shape; ValueError for fractions and for numbers of classes that the output has not.
    """
    labels, classes = as_numbers(y, argument), output_shape[-1]
    if labels.ndim == len(output_shape) and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if not fits(labels.shape, output_shape[:-1]):
        one_hot = labels.ndim == len(output_shape) and labels.shape[-1] == classes
        remedy = " One-hot labels need loss='categorical_crossentropy'." if one_hot else ""
        remedy = remedy or _steps_remedy(labels, output_shape)
        raise ShapeError(
            f"{argument}: {loss} expected class numbers of shape {show(output_shape[:-1])} for the output "
            f"{show(output_shape)}, got {labels.shape}.{remedy}"
        )
    whole = labels.astype(np.int64)
    if np.issubdtype(labels.dtype, np.floating) and not np.array_equal(whole, labels):
        raise ValueError(
            f"{argument}: {loss} expected whole class numbers, got fractions such as "
            f"{labels[whole != labels].reshape(-1)[0]:g}. For numbers to be predicted use loss='mse'."
        )
    if classes is not None and whole.size and (whole.min() < 0 or whole.max() >= classes):
        raise ValueError(
            f"{argument}: {loss} expected class numbers 0 to {classes - 1} (the last layer has {classes} "
            f"units), got values from {whole.min()} to {whole.max()}. Number the classes from 0, or give the "
            f"last layer {max(int(whole.max()) + 1, 2)} units."
        )
    return whole


def _steps_remedy(y: Array, output_shape: Shape) -> str:
    """What to do if the outputs have steps and the labels have not, or the other way round."""
    if len(output_shape) == 3 and (y.ndim == 1 or (y.ndim == 2 and y.shape[1] in (1, output_shape[2]))):
        return " For one label a row give the last recurrent layer return_sequences=False."
    if len(output_shape) == 2 and y.ndim == 3:
        return " For a label at every step give the last recurrent layer return_sequences=True."
    return ""
