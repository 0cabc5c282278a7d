"""F scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.metrics.base import Metric, as_rows
from unrolled.parameters import Array

EPSILON = 1e-7  # Keras adds it to every denominator


class FBetaScore(Metric):
    """Precision and recall in one: (1 + beta^2) precision recall / (beta^2 precision + recall).

    Args:    average: None, a value for each of the K outputs; "macro", their mean; "weighted", by how often each is
             true; "micro", over all outputs at once; beta: how much recall counts, 1.0; threshold: an output above it
             is a yes; None: the largest output of a row is (0.5 if there is only one output).
    Input:   labels (B, K) or (B, T, K) of 0 and 1, or class numbers without the last axis.
    Result:  a float; with average=None an array (K,) if K > 1.
    Raises:  ValueError for arguments out of range.
    """

    default_name = "fbeta_score"
    better = "max"

    def __init__(
        self, average: str | None = None, beta: float = 1.0, threshold: float | None = None, name: str | None = None
    ) -> None:
        super().__init__(name)
        if average not in (None, "micro", "macro", "weighted"):
            raise ValueError(f'{self.name}: expected average None, "micro", "macro" or "weighted", got {average!r}.')
        if not beta > 0:
            raise ValueError(f"{self.name}: expected beta above 0, got {beta!r}.")
        if threshold is not None and not 0 < threshold <= 1:
            raise ValueError(f"{self.name}: expected threshold None, or above 0 and at most 1, got {threshold!r}.")
        self.average, self.beta, self.threshold = average, float(beta), threshold
        self.true_positives: Any = 0.0
        self.guessed: Any = 0.0
        self.support: Any = 0.0

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Array | None = None) -> None:
        """Add a batch; as Metric.update_state."""
        labels, y, weights = as_rows(self.name, y_true, y_pred, sample_weight, mask)
        if self.threshold is None and y.shape[1] > 1:
            guess = (y >= y.max(axis=1, keepdims=True)) & (np.abs(y) > 1e-9)  # as Keras: a row of zeros says nothing
        else:
            guess = y > (0.5 if self.threshold is None else self.threshold)
        ones = np.ones(len(y)) if weights is None else weights
        self.true_positives = self.true_positives + ones @ (guess * labels)
        self.guessed = self.guessed + ones @ guess
        self.support = self.support + ones @ labels

    def result(self) -> Any:
        """The score so far."""
        right, guessed, support = self.true_positives, self.guessed, self.support
        if self.average == "micro":
            right, guessed, support = np.sum(right), np.sum(guessed), np.sum(support)
        precision, recall = right / (guessed + EPSILON), right / (support + EPSILON)
        square = self.beta**2
        score = np.atleast_1d((1 + square) * precision * recall / (square * precision + recall + EPSILON))
        if self.average == "weighted":
            return float((score * support).sum() / (np.sum(support) + EPSILON))
        return score if self.average is None and len(score) > 1 else float(score.mean())

    def reset_state(self) -> None:
        """Forget what was seen."""
        self.true_positives = self.guessed = self.support = 0.0

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this metric again."""
        return super().get_config() | {"average": self.average, "beta": self.beta, "threshold": self.threshold}


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall: FBetaScore with beta 1."""

    default_name = "f1_score"

    def __init__(self, average: str | None = None, threshold: float | None = None, name: str | None = None) -> None:
        super().__init__(average, 1.0, threshold, name)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this metric again."""
        return {key: value for key, value in super().get_config().items() if key != "beta"}
