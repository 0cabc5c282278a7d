"""Metrics from counts of true and false positives at one or many thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unrolled import losses
from unrolled.metrics.base import Metric, as_rows
from unrolled.parameters import Array

EPSILON = 1e-7
_NONE_BELOW = -1e10  # the threshold where only the k largest outputs count


class _Counts(Metric):
    """Counts at each threshold: an output above it is a yes, a label other than 0 is true.

    Each output's place among the thresholds is looked up once; counts at all of them are sums of places.
    """

    def __init__(
        self,
        thresholds: Sequence[float],
        name: str | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        by_label: bool = False,
    ) -> None:
        super().__init__(name)
        self._order = np.argsort(np.array(thresholds, np.float64), kind="stable")
        self._thresholds = np.array(thresholds, np.float64)
        self.top_k, self.class_id, self._by_label = top_k, class_id, by_label
        self.reset_state()

    def reset_state(self) -> None:
        """Forget what was seen."""
        self.true_positives: Array = np.zeros((len(self._order), 1))  # by threshold and, by_label, by output
        self.false_positives: Array = np.zeros((len(self._order), 1))
        self.positives: Array = np.zeros(1)
        self.negatives: Array = np.zeros(1)

    @property
    def false_negatives(self) -> Array:
        """True labels that were not found, at each threshold."""
        return self.positives - self.true_positives

    @property
    def true_negatives(self) -> Array:
        """Labels of 0 that were not taken for 1, at each threshold."""
        return self.negatives - self.false_positives

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Array | None = None) -> None:
        """Add a batch; as Metric.update_state."""
        labels, y, weights = as_rows(self.name, y_true, y_pred, sample_weight, mask)
        y = self._outputs(y)
        if self.class_id is not None:
            labels, y = labels[:, self.class_id, None], y[:, self.class_id, None]
        share = np.broadcast_to(1.0 if weights is None else weights[:, None], y.shape)
        if not self._by_label:
            labels, y, share = labels.reshape(-1, 1), y.reshape(-1, 1), share.reshape(-1, 1)
        true, false = np.where(labels != 0, share, 0), np.where(labels != 0, 0, share)
        above = np.searchsorted(self._thresholds[self._order].astype(y.dtype), y)  # thresholds that an output exceeds
        self.true_positives = self.true_positives + self._exceeding(above, true)
        self.false_positives = self.false_positives + self._exceeding(above, false)
        self.positives = self.positives + true.sum(axis=0)
        self.negatives = self.negatives + false.sum(axis=0)

    def _exceeding(self, above: Array, weights: Array) -> Array:
        """The weight of the outputs above each threshold, (thresholds, outputs)."""
        size = len(self._order)
        sums = np.empty((size, above.shape[1]))
        for column in range(above.shape[1]):
            places = np.bincount(above[:, column], weights[:, column], size + 1)
            sums[self._order, column] = np.cumsum(places[::-1])[::-1][1:]
        return sums

    def _outputs(self, y: Array) -> Array:
        y = y if np.issubdtype(y.dtype, np.floating) else y.astype(np.float64)
        if self.top_k is None:
            return y
        best = np.argsort(-y, axis=1, kind="stable")[:, : self.top_k]
        kept = np.full_like(y, _NONE_BELOW)
        np.put_along_axis(kept, best, np.take_along_axis(y, best, axis=1), axis=1)
        return kept


class _AtThresholds(_Counts):
    """What metrics with a result for each threshold share."""

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        name: str | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
    ) -> None:
        self.thresholds = thresholds
        default = 0.5 if top_k is None else _NONE_BELOW
        given = (
            [default]
            if thresholds is None
            else thresholds
            if isinstance(thresholds, Sequence | np.ndarray)
            else [thresholds]
        )
        super().__init__([float(threshold) for threshold in given], name, top_k, class_id)
        if thresholds is not None and not all(0 <= threshold <= 1 for threshold in given):
            raise ValueError(f"{self.name}: expected thresholds from 0 to 1, got {thresholds!r}.")

    def _shown(self, values: Array) -> Any:
        return float(values[0, 0]) if len(values) == 1 else values[:, 0]

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this metric again."""
        given = self.thresholds
        return super().get_config() | {
            "thresholds": [float(t) for t in given] if isinstance(given, Sequence | np.ndarray) else given
        }


class TruePositives(_AtThresholds):
    """How many true labels have an output above the threshold. Args: thresholds, 0.5 or a list of them."""

    default_name = "true_positives"

    def __init__(self, thresholds: float | Sequence[float] | None = None, name: str | None = None) -> None:
        super().__init__(thresholds, name)

    def result(self) -> Any:
        """The count (sum of weights) so far."""
        return self._shown(self.true_positives)


class FalsePositives(TruePositives):
    """How many labels of 0 have an output above the threshold. Args: thresholds, 0.5 or a list of them."""

    default_name = "false_positives"

    def result(self) -> Any:
        """The count (sum of weights) so far."""
        return self._shown(self.false_positives)


class TrueNegatives(TruePositives):
    """How many labels of 0 have an output not above the threshold. Args: thresholds, 0.5 or a list of them."""

    default_name = "true_negatives"

    def result(self) -> Any:
        """The count (sum of weights) so far."""
        return self._shown(self.true_negatives)


class FalseNegatives(TruePositives):
    """How many true labels have an output not above the threshold. Args: thresholds, 0.5 or a list of them."""

    default_name = "false_negatives"

    def result(self) -> Any:
        """The count (sum of weights) so far."""
        return self._shown(self.false_negatives)


class Precision(_AtThresholds):
    """Which share of the outputs above the threshold is true: TP / (TP + FP), 0 if there are none.

    Args:    thresholds: 0.5, or a list, which gives an array; top_k: only the k largest outputs of a row can be a yes
             (then without a threshold, unless one is given); class_id: look at this output alone.
    Input:   labels (B, K) or (B, T, K) of 0 and 1, or class numbers without the last axis.
    Raises:  ValueError for thresholds outside [0, 1].
    """

    default_name = "precision"
    better = "max"

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(thresholds, name, top_k, class_id)

    def result(self) -> Any:
        """The share so far."""
        return self._shown(_divide(self.true_positives, self.true_positives + self.false_positives))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this metric again."""
        return super().get_config() | {"top_k": self.top_k, "class_id": self.class_id}


class Recall(Precision):
    """Which share of the true labels has an output above the threshold: TP / (TP + FN), 0 if there are none.

    Args, Input, Raises: as Precision.
    """

    default_name = "recall"

    def result(self) -> Any:
        """The share so far."""
        return self._shown(_divide(self.true_positives, self.positives))


class AUC(_Counts):
    """The area under a curve over all thresholds, close to exact with many of them.

    ROC: true positive rate over false positive rate. PR: precision over recall.

    Args:    num_thresholds: 200, evenly spread; curve: "ROC" or "PR"; summation_method: "interpolation" (for PR by
             Davis & Goadrich), "minoring" or "majoring"; thresholds: a list in [0, 1] instead; multi_label: the area of
             each output by itself, then their mean, weighted by label_weights; otherwise all outputs count as one list;
             num_labels: K, accepted; from_logits: outputs are logits of sigmoids.
    Input:   labels (B, K) or (B, T, K) of 0 and 1, or class numbers without the last axis.
    Raises:  ValueError for arguments out of range.
    Source:  Keras 3; Davis & Goadrich 2006.
    """

    default_name = "auc"
    better = "max"

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ) -> None:
        if thresholds is None:
            if isinstance(num_thresholds, bool) or not isinstance(num_thresholds, int) or num_thresholds < 2:
                raise ValueError(f"AUC: expected num_thresholds of at least 2, got {num_thresholds!r}.")
            inner = [i / (num_thresholds - 1) for i in range(1, num_thresholds - 1)]
        else:
            inner = sorted(float(threshold) for threshold in thresholds)
            if inner and not 0 <= inner[0] <= inner[-1] <= 1:
                raise ValueError(f"AUC: expected thresholds from 0 to 1, got {thresholds!r}.")
        if curve.upper() not in ("ROC", "PR"):
            raise ValueError(f'AUC: expected curve "ROC" or "PR", got {curve!r}.')
        if summation_method.lower() not in ("interpolation", "minoring", "majoring"):
            raise ValueError(
                f'AUC: expected summation_method "interpolation", "minoring" or "majoring", got {summation_method!r}.'
            )
        super().__init__([-EPSILON, *inner, 1 + EPSILON], name, by_label=bool(multi_label))
        self._given = None if thresholds is None else inner
        self.num_thresholds, self.num_labels = len(inner) + 2, num_labels
        self.curve, self.summation_method = curve.upper(), summation_method.lower()
        self.multi_label, self.from_logits = bool(multi_label), bool(from_logits)
        self.label_weights = None if label_weights is None else np.asarray(label_weights, np.float64)

    def _outputs(self, y: Array) -> Array:
        y = super()._outputs(y)
        return np.clip(losses.probabilities(y, "sigmoid") if self.from_logits else y, 0, 1)

    def result(self) -> float:
        """The area so far; 0 before both kinds of labels were seen."""
        pieces = (
            self._davis_goadrich() if (self.curve, self.summation_method) == ("PR", "interpolation") else self._pieces()
        )
        areas = pieces.sum(axis=0)
        if self.multi_label and self.label_weights is not None:
            return float((areas * self.label_weights).sum() / self.label_weights.sum())
        return float(areas.mean())

    def _pieces(self) -> Array:
        """The area between each two thresholds."""
        recall = _divide(self.true_positives, self.positives)
        if self.curve == "ROC":
            x, y = _divide(self.false_positives, self.negatives), recall
        else:
            x, y = recall, _divide(self.true_positives, self.true_positives + self.false_positives)
        if self.summation_method == "interpolation":
            heights = (y[:-1] + y[1:]) / 2
        else:
            heights = (np.minimum if self.summation_method == "minoring" else np.maximum)(y[:-1], y[1:])
        return np.asarray((x[:-1] - x[1:]) * heights)

    def _davis_goadrich(self) -> Array:
        """The area under precision over recall between each two thresholds; between them TP and FP change linearly.

        P = TP + FP, slope = dTP / dP, intercept = TP - slope P:  area = slope (dTP + intercept log(P / P')) / all
        """
        true, guessed = self.true_positives, self.true_positives + self.false_positives
        d_true = true[:-1] - true[1:]
        slope = _divide(d_true, np.maximum(guessed[:-1] - guessed[1:], 0))
        intercept = true[1:] - slope * guessed[1:]
        both = (guessed[:-1] > 0) & (guessed[1:] > 0)
        ratio = np.where(both, _divide(guessed[:-1], guessed[1:]), 1.0)
        return _divide(slope * (d_true + intercept * np.log(ratio)), self.positives)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this metric again."""
        weights = self.label_weights
        return super().get_config() | {
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "thresholds": self._given,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": None if weights is None else weights.tolist(),
            "from_logits": self.from_logits,
        }


def _divide(a: Array, b: Array) -> Array:
    """a / b, and 0 where b is 0."""
    b = np.broadcast_to(b, np.broadcast_shapes(a.shape, b.shape))
    return np.divide(a, b, out=np.zeros(b.shape), where=b != 0)
