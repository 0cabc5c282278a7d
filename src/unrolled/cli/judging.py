"""How good a model is, beside what it must beat, on the same rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unrolled.cli.rows import Rows
from unrolled.evaluation import LEVEL, Evaluation, evaluate
from unrolled.parameters import Array
from unrolled.printing import Table

HEADER = ["accuracy", f"{LEVEL} % interval", "macro F1", "AUC"]


@dataclass
class Judged:
    """A model's probabilities on the rows to judge by, what they are worth, and what they cost."""

    name: str
    probabilities: Array
    evaluation: Evaluation
    seconds: float | None  # of training, None if it was not trained here


def judge(
    name: str, predict: Callable[[], Array], labels: Sequence[str], classes: Sequence[str], seconds: float | None = None
) -> Judged:
    """Predict and evaluate; seconds: of the training before, None counts the prediction itself as all the work."""
    start = time.perf_counter()
    probabilities = predict()
    taken = time.perf_counter() - start if seconds is None else seconds
    return Judged(name, probabilities, evaluate(labels, probabilities, classes), taken)


def baselines(rows: Rows, classes: Sequence[str], tokenizer: Callable[[str], list[str]] | None) -> list[Judged]:
    """The TF-IDF logistic regression on the same words (not without a tokenizer), and the most frequent class."""
    from unrolled.baselines import LOGISTIC, MAJORITY, majority, tfidf_logistic

    judged = [judge(MAJORITY, lambda: majority(rows.labels, rows.test_labels), rows.test_labels, classes)]
    if tokenizer is not None:

        def logistic() -> Array:
            return tfidf_logistic(rows.texts, rows.labels, rows.test_texts, tokenizer=tokenizer)

        judged.insert(0, judge(LOGISTIC, logistic, rows.test_labels, classes))
    return judged


def table(title: str, judged: Sequence[Judged]) -> Table:
    """A line a model; the most accurate one stands out."""
    lines = [
        [one.name, *cells(one.evaluation.to_dict()), "" if one.seconds is None else f"{one.seconds:.1f}"]
        for one in judged
    ]
    best = max(range(len(judged)), key=lambda number: judged[number].evaluation.accuracy)
    return Table(title, ["", *HEADER, "seconds"], lines, marked=(best,))


def cells(figures: Mapping[str, Any]) -> list[str]:
    """What stands below HEADER; figures: as Evaluation.to_dict gives them and a model's file keeps them."""
    low, high = figures["intervals"]["accuracy"]
    auc = "undefined" if figures["auc"] is None else f"{figures['auc']:.4f}"
    return [f"{figures['accuracy']:.4f}", f"{low:.4f} to {high:.4f}", f"{figures['macro_f1']:.4f}", auc]
