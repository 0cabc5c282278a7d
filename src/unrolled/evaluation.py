"""How good predictions are: the usual figures, each with an interval that says how far chance could have moved it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from unrolled.columns import as_list
from unrolled.errors import ShapeError, require_extra
from unrolled.parameters import Array
from unrolled.printing import Table

METRICS = {"accuracy": "accuracy", "macro_f1": "macro F1", "auc": "AUC", "log_loss": "log loss"}
LEVEL = 95  # percent, of the intervals
WIDEST_CONFUSION = 10  # classes; beyond, the table shows the most frequent mistakes instead


@dataclass(frozen=True)
class ClassScores:
    """One class against the others. support: rows that are of this class."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` found. Printed, it is a few tables; in a notebook and with rich too.

    Attributes:
        classes: labels, in the order of confusion and of the probabilities' columns; rows: N.
        accuracy; macro_f1: mean over the classes; auc: area under the ROC curve, over several classes the mean of each
            against the others, None where only one class occurs; log_loss: mean of -log(probability of the true class).
        confusion: (K, K) counts, a row for each true class, a column for each predicted one.
        per_class: {label: ClassScores}.
        intervals: {"accuracy": (low, high), ...}, 95 % bootstrap intervals; resamples: of how many draws.
    """

    classes: list[Any]
    rows: int
    accuracy: float
    macro_f1: float
    auc: float | None
    log_loss: float
    confusion: Array
    per_class: dict[Any, ClassScores]
    intervals: dict[str, tuple[float, float]]
    resamples: int

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, ready for JSON."""
        return {
            "rows": self.rows,
            **{name: getattr(self, name) for name in METRICS},
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "resamples": self.resamples,
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "per_class": [{"class": label, **asdict(scores)} for label, scores in self.per_class.items()],
        }

    def tables(self) -> list[Table]:
        """Figures, classes, confusion."""
        return [self._figures(), self._classes(), self._confusion()]

    def _figures(self) -> Table:
        rows = []
        for name, shown in METRICS.items():
            value, interval = getattr(self, name), self.intervals.get(name)
            between = "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"
            rows.append([shown, "undefined" if value is None else f"{value:.4f}", between])
        header = ["", "", f"{LEVEL} % interval"] if self.intervals else ["", "", ""]
        return Table(f"{self.rows:,} rows, {len(self.classes)} classes", header, rows)

    def _classes(self) -> Table:
        rows = [
            [
                str(label),
                *(f"{value:.4f}" for value in (scores.precision, scores.recall, scores.f1)),
                f"{scores.support:,}",
            ]
            for label, scores in self.per_class.items()
        ]
        return Table("By class", ["", "precision", "recall", "F1", "rows"], rows)

    def _confusion(self) -> Table:
        names = [str(label) for label in self.classes]
        if len(names) <= WIDEST_CONFUSION:
            rows = [[name, *(f"{count:,}" for count in line)] for name, line in zip(names, self.confusion, strict=True)]
            return Table("Confusion: a line for each true class, a column for each predicted one", ["", *names], rows)
        wrong = self.confusion - np.diag(np.diag(self.confusion))
        largest = np.argsort(-wrong, axis=None, kind="stable")[:WIDEST_CONFUSION]
        cells = [np.unravel_index(cell, wrong.shape) for cell in largest if wrong.flat[cell]]
        rows = [[names[true], names[guess], f"{wrong[true, guess]:,}"] for true, guess in cells]
        return Table("Most frequent mistakes", ["true class", "predicted", "rows"], rows)

    def __str__(self) -> str:
        return "\n\n".join(table.to_text() for table in self.tables())

    def __rich__(self) -> Any:
        group = require_extra("rich.console", "progress", "A table in colour").Group
        return group(*(table.to_rich() for table in self.tables()))

    def _repr_html_(self) -> str:
        return "".join(table.to_html() for table in self.tables())


def evaluate(labels: Any, probabilities: Any, classes: Any, *, resamples: int = 1000, seed: int = 0) -> Evaluation:
    """Judge predicted probabilities against the true labels.

    The predicted class is the most probable one. The intervals come from the bootstrap: rows are drawn again with
    replacement, every figure is computed for each draw, and the middle 95 % of the values are shown. They say what
    another sample of rows could have given, not what another training could.

    Args:    labels: N true labels; probabilities: (N, K), or (N,) or (N, 1) for the second of two classes; classes: K
             labels in the order of the columns; resamples: draws, 0 for no intervals; seed: of the draws.
    Raises:  ShapeError or ValueError for probabilities that are none or do not fit, and for labels not in classes.
    Cost:    0.7 s of one core for 25,000 rows of two classes and 1,000 draws; it grows with all three.
    Source:  Efron & Tibshirani 1993, percentile intervals.
    """
    if isinstance(resamples, bool) or not isinstance(resamples, int | np.integer) or resamples < 0:
        raise ValueError(f"evaluate: expected resamples as a whole number, 0 for no intervals, got {resamples!r}.")
    names = as_list(classes, "classes")
    judged = judge(labels, probabilities, names)
    figures = dict(zip(METRICS, judged.figures(np.ones(judged.rows)), strict=True))
    confusion = judged.confusion()
    drawn = np.array([judged.figures(counts) for counts in draws(judged.rows, resamples, seed)]).reshape(
        -1, len(METRICS)
    )
    intervals = {
        name: interval(values) for name, values in zip(METRICS, drawn.T, strict=True) if np.isfinite(values).any()
    }
    auc = figures.pop("auc")
    return Evaluation(
        classes=names,
        rows=judged.rows,
        auc=None if np.isnan(auc) else auc,
        confusion=confusion,
        per_class=dict(zip(names, by_class(confusion), strict=True)),
        intervals=intervals,
        resamples=resamples,
        **figures,
    )


def judge(labels: Any, probabilities: Any, classes: Sequence[Any]) -> Judged:
    """Checked labels and probabilities, ready to be judged; arguments and errors as `evaluate`."""
    truth, values = read_truth(labels, classes), read_probabilities(probabilities, len(classes))
    if len(truth) != len(values):
        raise ShapeError(f"evaluate: expected one label for each row, got {len(truth)} labels for {len(values)} rows.")
    if not len(truth):
        raise ValueError("evaluate: expected at least one row, got none.")
    return Judged(truth, values)


class Judged:
    """Predictions with their true classes, ready to be judged with any number of copies of each row.

    One computation gives the figures and those of every resample: (N,) counts say how often each row is there.
    Not for two threads at once: it works in the same arrays at every call.

    Args: truth: (N,) class numbers; probabilities: (N, K).
    """

    def __init__(self, truth: Array, probabilities: Array) -> None:
        self.rows, self.classes = probabilities.shape
        self.truth, self.probabilities = truth, probabilities
        self._cells = truth * self.classes + probabilities.argmax(axis=1)
        given = probabilities[np.arange(self.rows), truth]
        self._losses = -np.log(np.clip(given, np.finfo(np.float64).eps, 1.0))  # as scikit-learn clips
        columns = [1] if self.classes == 2 else range(self.classes)
        self.ranked = [_rank(probabilities[:, column], truth == column) for column in columns]
        self._counts, self._above, self._below, self._summed = np.empty((4, self.rows))

    def figures(self, counts: Array) -> tuple[float, float, float, float]:
        """In the order of METRICS; AUC is NaN where only one class is there."""
        np.copyto(self._counts, counts)
        confusion = self.confusion(self._counts)
        right, true, guessed = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
        f1 = 2 * right / np.maximum(true + guessed, 1)
        areas = [area for area in map(self._area, self.ranked) if not np.isnan(area)]
        return (
            float(right.sum() / self.rows),
            float(f1[true + guessed > 0].mean()),
            float(np.mean(areas)) if areas else float("nan"),
            _dot(self._counts, self._losses) / self.rows,
        )

    def confusion(self, counts: Array | None = None) -> Array:
        """(K, K), rows true, columns predicted."""
        return np.bincount(self._cells, counts, self.classes**2).reshape(self.classes, self.classes)

    def _area(self, ranked: Ranked) -> float:
        """P(a positive row scores higher than a negative one), a tie counts half; NaN without one of either."""
        above, below, summed = self._above, self._below, self._summed
        np.take(self._counts, ranked.order, out=below, mode="clip")
        np.multiply(below, ranked.positive, out=above)
        below -= above
        if ranked.starts is not None:
            above, below = np.add.reduceat(above, ranked.starts), np.add.reduceat(below, ranked.starts)
            summed = np.empty_like(below)
        np.cumsum(below, out=summed)
        pairs = above.sum() * summed[-1]
        return (_dot(above, summed) - _dot(above, below) / 2) / pairs if pairs else float("nan")


class Ranked(NamedTuple):
    """Rows by rising score, which of them are positive, and where groups of equal scores start (None: all differ)."""

    order: Array
    positive: Array
    starts: Array | None


def _rank(score: Array, positive: Array) -> Ranked:
    order = np.argsort(score, kind="stable")
    ranked = score[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    return Ranked(order, positive[order].astype(np.float64), None if len(starts) == len(order) else starts)


def _dot(a: Array, b: Array) -> float:
    """The sum of products, without BLAS: its threads cost more than these short sums."""
    return float(np.einsum("i,i->", a, b))


def draws(rows: int, resamples: int, seed: int) -> Iterator[Array]:
    """How often each row is in each of the resamples, (N,) at a time.

    scipy.stats.bootstrap would hold many draws at once, 200 MB for 25,000 rows, and rank each of them for the AUC.
    """
    random = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(random.integers(rows, size=rows, dtype=np.int32), minlength=rows)


def interval(values: Array) -> tuple[float, float]:
    """The middle 95 % of values; those that are not defined are left out."""
    tail = (100 - LEVEL) / 2
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)


def wilson(hits: Array, rows: Array) -> tuple[Array, Array]:
    """95 % intervals of shares hits / rows, sound for few rows and for shares of 0 and 1. Source: Wilson 1927."""
    share, z2 = hits / rows, 1.959964**2
    middle = (share + z2 / (2 * rows)) / (1 + z2 / rows)
    half = np.sqrt(z2 * (share * (1 - share) / rows + z2 / (4 * rows**2))) / (1 + z2 / rows)
    return np.minimum(middle - half, share), np.maximum(middle + half, share)


def by_class(confusion: Array) -> list[ClassScores]:
    """Precision, recall and F1 of every class; 0 where there is nothing to divide by."""
    right, true, guessed = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = right / np.maximum(guessed, 1), right / np.maximum(true, 1)
    f1 = 2 * right / np.maximum(true + guessed, 1)
    return [
        ClassScores(float(p), float(r), float(f), int(n))
        for p, r, f, n in zip(precision, recall, f1, true, strict=True)
    ]


def read_truth(labels: Any, classes: Sequence[Any]) -> Array:
    """The class number of each label.

    Raises: ValueError naming the first row whose label is not among the classes, or for repeated or too few classes.
    """
    number = {label: code for code, label in enumerate(classes)}
    if len(number) != len(classes) or len(classes) < 2:
        raise ValueError(f"evaluate: expected two or more different classes, got {list(classes)!r:.80}.")
    given = as_list(labels, "labels")
    codes = [number.get(label, -1) for label in given]
    if -1 in codes:
        row = codes.index(-1)
        raise ValueError(
            f"evaluate: expected labels among {', '.join(map(repr, classes[:10]))}, got {given[row]!r} in row {row}. "
            "The model does not know this class: leave such rows out, or train with them."
        )
    return np.array(codes, np.int64)


def read_probabilities(probabilities: Any, classes: int) -> Array:
    """(N, K) float64 from (N, K), or from (N,) or (N, 1) for the second of two classes.

    Raises: ShapeError for another shape, ValueError for what are no probabilities.
    """
    values = np.asarray(probabilities, np.float64)
    if classes == 2 and (values.ndim == 1 or values.shape[1:] == (1,)):
        values = np.stack([1 - values.reshape(-1), values.reshape(-1)], axis=1)
    if values.ndim != 2 or values.shape[1] != classes:
        raise ShapeError(
            f"evaluate: expected probabilities of shape (N, {classes}), a column for each class, "
            f"got {np.shape(probabilities)}."
        )
    if not ((values >= 0) & (values <= 1)).all() or (np.abs(values.sum(axis=1) - 1) > 1e-3).any():
        raise ValueError(
            "evaluate: expected probabilities between 0 and 1 whose rows sum to 1, got others. "
            "Give what predict_proba or a softmax returns, not logits or class numbers."
        )
    return values
