"""A classifier of series of numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Self

import numpy as np

from unrolled.callbacks import Callback
from unrolled.classifiers.base import RecurrentClassifier, _validation
from unrolled.columns import as_list
from unrolled.errors import ShapeError
from unrolled.layers import Input, Layer, Masking
from unrolled.parameters import Array

ALMOST_ZERO = 1e-30  # stands for a step of exact zeros, which would read as padding


@dataclass(frozen=True)
class ScaledSeries:
    """Series (T_i, D) that are standardised when they become an array."""

    series: list[Array]
    mean: Array
    scale: Array

    def __len__(self) -> int:
        return len(self.series)

    @property
    def lengths(self) -> Array:
        """(N,) number of steps of each series."""
        return np.array([len(entry) for entry in self.series])

    def to_array(self, rows: Array | None = None) -> Array:
        """Standardised series behind zeros, (n, T, D) float32; only padding has steps of exact zeros."""
        chosen = self.series if rows is None else [self.series[row] for row in rows]
        length = max(map(len, chosen), default=1)
        padded = np.zeros((len(chosen), length, len(self.mean)), np.float32)
        for row, entry in enumerate(chosen):
            steps = ((entry - self.mean) / self.scale).astype(np.float32)
            steps[~steps.any(axis=1), 0] = ALMOST_ZERO
            padded[row, length - len(steps) :] = steps
        return padded


class SequenceClassifier(RecurrentClassifier):
    """Classes of series of numbers, of unequal length if need be, as a scikit-learn estimator.

    SequenceClassifier().fit([array (T_0, D), array (T_1, D), ...], labels)

    Series are a list of arrays (T_i, D) or (T_i,); an array (N, T, D); a column of lists (pandas, polars, Arrow); or a
    plain 2-D array, table or list of equally long lists, whose rows are T steps of one feature. A series' probabilities
    do not depend on the series around it: padding is masked.

    Args:
        cell: "lstm", "gru" or "simple_rnn"; units: 32 of each layer; layers: how many of them, 1; bidirectional: read
            in both directions, False; pooling: what the classes are read from: None, the last state; "max", "mean" or
            "max+mean" over all steps.
        dropout: share of the last layer's outputs (and of those between layers) set to 0 in training, 0.
        standardize: bring each feature to mean 0 and deviation 1 over all steps of the training rows, True.
        epochs: at most, 50 (None as TextClassifier); batch_size: 32; optimizer: "adam"; learning_rate: 0.005;
            final_learning_rate: the share of it that is left at the end, falling step by step, 1; weight_averaging:
            keep a running mean of the weights over about so many epochs, and judge and predict with it; 0, none.
        class_weight: None, "balanced" or {label: weight}.
        early_stopping: True: hold out validation_fraction (0.1) of the rows, stratified, repeated series on one side;
            stop when their loss has not improved for patience (5) epochs; keep the best epoch's weights.
        networks: how many are trained, each from other weights; their probabilities are averaged, 1.
        warm_start: True: fit goes on from the scale and weights of the fit before, for so many epochs more, or for
            those that were left when Ctrl-C stopped it, of which the first is the one that was stopped, from its
            beginning; give random_state a number so that the same rows are held out.
        random_state: a number for equal bits at every fit; verbose: as Sequential.fit, 0.
    Attributes:
        classes_; model_, the Sequential, the first of several; n_channels_, D; mean_ and scale_, (D,);
        n_features_in_, T of a 2-D array; history_, {"loss": [...], ...}; n_iter_, epochs run; seconds_ that
        they took; interrupted_, whether Ctrl-C stopped them; validation_, the kept epoch's figures on the rows
        held out; held_out_, row numbers; repeated_, how many series repeat an earlier one.
    """

    def __init__(
        self,
        cell: str = "lstm",
        units: int = 32,
        layers: int = 1,
        bidirectional: bool = False,
        pooling: str | None = None,
        dropout: float = 0.0,
        standardize: bool = True,
        epochs: int | None = 50,
        batch_size: int = 32,
        optimizer: str = "adam",
        learning_rate: float = 0.005,
        final_learning_rate: float = 1.0,
        weight_averaging: float = 0.0,
        class_weight: Any = None,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        patience: int = 5,
        networks: int = 1,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self._take(locals())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, callbacks: Iterable[Callback] = ()) -> Self:
        """Learn the features' scale, then the network.

        Args:    X: N series; y: N labels; sample_weight: N numbers; callbacks: as Sequential.fit.
        Raises:  ValueError or TypeError naming the series that does not fit; ValueError for one class, missing labels,
                 other lengths.
        """
        goes_on = self._goes_on()
        series = self._read(X, reset=not goes_on)
        if not goes_on:
            self._learn_scale(np.concatenate(series))
        keys = [blake2b(row.tobytes(), digest_size=16).digest() for row in series]
        return self._train(self._scaled(series), y, sample_weight, keys, callbacks)

    def _learn_scale(self, steps: Array) -> None:
        self.n_channels_ = steps.shape[1]
        self.mean_, self.scale_ = np.zeros(self.n_channels_), np.ones(self.n_channels_)
        if self.standardize:
            self.mean_, deviation = steps.mean(axis=0), steps.std(axis=0)
            self.scale_ = np.where(deviation > 1e-12 * np.abs(self.mean_), deviation, 1.0)

    def _rows(self, X: Any) -> ScaledSeries:
        return self._scaled(self._read(X, reset=False))

    def _scaled(self, series: list[Array]) -> ScaledSeries:
        if series[0].shape[1] != self.n_channels_:
            raise ShapeError(
                f"SequenceClassifier: expected series of {self.n_channels_} features as in fit, "
                f"got {series[0].shape[1]}."
            )
        return ScaledSeries(series, self.mean_, self.scale_)

    def _is_one(self, X: Any) -> bool:
        return isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] == self.n_channels_ > 1

    def _read(self, X: Any, reset: bool) -> list[Array]:
        """N checked series (T_i, D) of float64."""
        if reset and hasattr(self, "n_features_in_"):
            del self.n_features_in_
        series = _entries(X)
        if series is None:
            table = _validation.validate_data(self, X, reset=reset, dtype=np.float64)
            return list(table[..., None])
        checked = [_as_series(row, entry) for row, entry in enumerate(series)]
        for row, entry in enumerate(checked):
            if entry.shape[1] != checked[0].shape[1]:
                raise ShapeError(
                    f"SequenceClassifier: expected {checked[0].shape[1]} features in every series as in X[0], "
                    f"got {entry.shape[1]} in X[{row}]."
                )
        return checked

    def _first_layers(self, network: int) -> list[Layer]:
        return [Input((None, self.n_channels_)), Masking(name="mask")]

    def _get_state(self) -> dict[str, Any]:
        return {
            "mean": self.mean_.tolist(),
            "scale": self.scale_.tolist(),
            "n_features_in": getattr(self, "n_features_in_", None),
        }

    def _set_state(self, state: dict[str, Any]) -> None:
        self.mean_, self.scale_ = np.array(state["mean"]), np.array(state["scale"])
        self.n_channels_ = len(self.mean_)
        if state["n_features_in"] is not None:
            self.n_features_in_ = int(state["n_features_in"])


def _entries(X: Any) -> list[Any] | None:
    """The series of a list, column or array (N, T, D); None for a table, nested lists of its rows included."""
    shape = getattr(X, "shape", None)
    if isinstance(X, np.ndarray) and X.ndim == 3:
        return list(X)
    is_arrow_column = hasattr(X, "to_pylist") and not hasattr(X, "column_names")
    if not isinstance(X, list | tuple) and len(shape or ()) != 1 and not is_arrow_column:
        return None
    entries = as_list(X, "X")
    if not entries or any(not hasattr(entry, "__len__") or isinstance(entry, str | bytes) for entry in entries):
        return None  # numbers: for the error that a table gives
    plain = isinstance(X, list | tuple) and all(isinstance(e, list | tuple) and not np.ndim(e[:1]) > 1 for e in entries)
    return None if plain and len({len(entry) for entry in entries}) == 1 else entries


def _as_series(row: int, entry: Any) -> Array:
    """One series as (T, D) float64.

    Raises: TypeError or ValueError naming the row.
    """
    name = f"SequenceClassifier: X[{row}]"
    try:
        series = np.asarray(entry, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected numbers in steps of equal size, got {entry!r:.60}.") from None
    if series.ndim == 1:
        series = series[:, None]
    if series.ndim != 2 or not series.size:
        raise ShapeError(f"{name}: expected an array (steps, features) with at least one step, got {np.shape(entry)}.")
    if not np.isfinite(series).all():
        step, feature = (int(i) for i in np.argwhere(~np.isfinite(series))[0])
        raise ValueError(
            f"{name}: expected finite numbers, got {series[step, feature]} at step {step}, feature {feature}. "
            "Fill such values or cut the series there."
        )
    return np.ascontiguousarray(series)
