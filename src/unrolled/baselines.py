"""What a network must beat: the most frequent class, and a logistic regression on TF-IDF counts of words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled.columns import as_list, as_texts
from unrolled.errors import ShapeError, require_extra
from unrolled.evaluation import METRICS, draws, interval, judge
from unrolled.parameters import Array
from unrolled.sources import slices
from unrolled.text import split_words
from unrolled.text.packed import BLOCK, count_each

LOGISTIC = "TF-IDF logistic regression"
MAJORITY = "the most frequent class"
_GROUP = 500  # texts counted at a time
_COLUMNS = 2**18  # 2**20 is no better on IMDB's training rows, and its solver takes 200 MB more


def majority(train_labels: Any, test_labels: Any) -> Array:
    """Probabilities (N, K) of a guess that looks at no text: each class's share of the training rows, for every row.

    Its predicted class is the most frequent one. Columns follow the sorted training labels, np.unique(train_labels).

    Args: train_labels: a list or column; test_labels: N labels, of which only the number counts.
    """
    _, counts = np.unique(as_list(train_labels, "train_labels"), return_counts=True)
    return np.tile(counts / counts.sum(), (len(as_list(test_labels, "test_labels")), 1))


def tfidf_logistic(
    train_texts: Any,
    train_labels: Any,
    test_texts: Any,
    *,
    tokenizer: Callable[[str], list[str]] = split_words,
    C: float = 30.0,
) -> Array:
    """Probabilities (N, K) of a logistic regression on TF-IDF counts of words and pairs of words.

    The plain method that a network has to beat: counts as 1 + log(count), weighted by rarity, rows of length 1, hashed
    to 2^18 columns (no list of words is kept in memory). C is scikit-learn's, the inverse of the penalty;
    of 1, 3, 10 and 30 the last did best on a fifth of the training rows of IMDB (.910; .897 with 1) and of two sets of
    tweets.

    Args:    train_texts, train_labels: N rows; test_texts: M texts; tokenizer: a text to its words.
    Returns: (M, K), columns in the order of the sorted training labels, np.unique(train_labels).
    Raises:  MissingExtraError without scikit-learn; ShapeError for another number of labels; ValueError for one class;
             TypeError naming the row that is no text.
    """
    texts, tests = as_texts(train_texts, "train_texts"), as_texts(test_texts, "test_texts")
    labels = np.asarray(as_list(train_labels, "train_labels"))
    if len(texts) != len(labels):
        raise ShapeError(
            f"tfidf_logistic: expected one label for each of {len(texts)} training texts, got {len(labels)} labels."
        )
    if len(np.unique(labels)) < 2:
        raise ValueError(f"tfidf_logistic: expected at least two classes, got {np.unique(labels).tolist()}.")
    purpose = "unrolled.baselines"
    counting = require_extra("sklearn.feature_extraction.text", "sklearn", purpose)
    linear = require_extra("sklearn.linear_model", "sklearn", purpose)
    hashing = counting.HashingVectorizer(
        tokenizer=tokenizer,
        token_pattern=None,
        lowercase=False,
        ngram_range=(1, 2),
        n_features=_COLUMNS,
        alternate_sign=False,
        norm=None,
        dtype=np.float32,
    )
    counts = _count(hashing, texts)
    rows_with_each = count_each(counts.indices, _COLUMNS)
    rarity = np.log((1 + len(texts)) / (1 + rows_with_each)).astype(np.float32) + 1
    # sag keeps a few numbers a column; lbfgs a workspace of 200 MB, and it took a minute for three classes of tweets.
    model = linear.LogisticRegression(C=C, solver="sag", tol=1e-3, max_iter=100, random_state=0)
    model.fit(_weigh(counts, rarity), labels)
    del counts
    groups = [
        model.predict_proba(_weigh(hashing.transform(tests[group]), rarity)) for group in slices(len(tests), _GROUP)
    ]
    probabilities: Array = np.concatenate(groups) if groups else np.empty((0, len(model.classes_)))
    return probabilities.astype(np.float64)


def _count(hashing: Any, texts: list[str]) -> Any:
    """Sparse counts (N, columns), eight bytes each.

    hashing.transform would hold every word of every text twice over, and what it gathers them in, before it counts.
    """
    room = sum(map(len, texts)) // 3 + 1  # more than English has; untouched pages cost nothing
    columns, values, starts = np.empty(room, np.int32), np.empty(room, np.float32), [0]
    for group in slices(len(texts), _GROUP):
        counted = hashing.transform(texts[group])
        start, end = starts[-1], starts[-1] + counted.nnz
        if end > len(columns):
            columns.resize(end + end // 4, refcheck=False)
            values.resize(end + end // 4, refcheck=False)
        columns[start:end], values[start:end] = counted.indices, counted.data
        starts += (counted.indptr[1:] + start).tolist()
    sparse = require_extra("scipy.sparse", "sklearn", "unrolled.baselines")
    arrays = values[: starts[-1]], columns[: starts[-1]], np.array(starts)
    return sparse.csr_matrix(arrays, shape=(len(texts), hashing.n_features), copy=False)


def _weigh(counts: Any, rarity: Array) -> Any:
    """Counts as 1 + log(count), times rarity (columns,), rows of length 1; in place.

    What scikit-learn's TfidfTransformer does with sublinear_tf=True, which takes 16 bytes more for each count.
    """
    np.log(counts.data, out=counts.data)
    counts.data += 1
    for block in slices(counts.nnz, BLOCK):
        counts.data[block] *= rarity[counts.indices[block]]
    return require_extra("sklearn.preprocessing", "sklearn", "unrolled.baselines").normalize(counts, copy=False)


@dataclass(frozen=True)
class Comparison:
    """Two predictions on the same rows; printed, one plain sentence.

    Attributes: metric; names, values: of both; difference: the first's lead (for the loss, how much lower it is);
                interval: of the difference, 95 %, from a paired bootstrap; rows.
    """

    metric: str
    names: tuple[str, str]
    values: tuple[float, float]
    difference: float
    interval: tuple[float, float]
    rows: int

    @property
    def winner(self) -> str | None:
        """The better one's name, or None if the difference may be chance (its interval has 0 in it)."""
        low, high = self.interval
        return self.names[0] if low > 0 else self.names[1] if high < 0 else None

    def __str__(self) -> str:
        shown = METRICS[self.metric]
        low, high = self.interval
        if self.winner is None:
            return (
                f"No winner between {self.names[0]} and {self.names[1]}: {shown} {self.values[0]:.4f} and "
                f"{self.values[1]:.4f}, a difference of {self.difference:+.4f} that {self.rows:,} rows cannot tell "
                f"from chance (95 % interval {low:+.4f} to {high:+.4f})."
            )
        first = self.winner == self.names[0]
        values = self.values if first else self.values[::-1]
        low, high = (low, high) if first else (-high, -low)
        return (
            f"{self.winner[0].upper()}{self.winner[1:]} wins: {shown} {values[0]:.4f}, "
            f"{self.names[first]} {values[1]:.4f}; the difference of {abs(self.difference):.4f} is beyond chance "
            f"(95 % interval {low:.4f} to {high:.4f})."
        )


def compare(
    labels: Any,
    first: Any,
    second: Any,
    classes: Any,
    *,
    names: tuple[str, str] = ("the network", LOGISTIC),
    metric: str = "accuracy",
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Which of two predictions of the same rows is better, and whether that may be chance.

    Paired: both are judged on the same draws, so what makes rows easy or hard for both cancels out.

    Args:    labels, classes, resamples, seed: as evaluate; first, second: probabilities; names: what to call them;
             metric: "accuracy", "macro_f1", "auc" or "log_loss".
    Raises:  as evaluate; ValueError for another metric or no resamples.
    """
    if metric not in METRICS:
        raise ValueError(f"compare: expected metric as one of {', '.join(METRICS)}, got {metric!r}.")
    if isinstance(resamples, bool) or not isinstance(resamples, int | np.integer) or resamples < 1:
        raise ValueError(f"compare: expected resamples as a whole number of at least 1, got {resamples!r}.")
    order = as_list(classes, "classes")
    both = judge(labels, first, order), judge(labels, second, order)
    which, sign = list(METRICS).index(metric), -1.0 if metric == "log_loss" else 1.0
    rows = both[0].rows
    values = tuple(judged.figures(np.ones(rows))[which] for judged in both)
    drawn = np.array(
        [[judged.figures(counts)[which] for judged in both] for counts in draws(rows, resamples, seed)]
    ).reshape(-1, 2)
    return Comparison(
        metric=metric,
        names=names,
        values=(values[0], values[1]),
        difference=sign * (values[0] - values[1]),
        interval=interval(sign * (drawn[:, 0] - drawn[:, 1])),
        rows=rows,
    )
