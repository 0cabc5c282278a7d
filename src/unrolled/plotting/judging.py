"""How good predictions are, in pictures: confusion, ROC, precision and recall, calibration, accuracy by length.

Every function takes labels, probabilities and classes as evaluation.evaluate does, and `path`, a picture to write (the
ending says the format), and `title`, above the panel's own; it returns the matplotlib Figure.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled.columns import as_list
from unrolled.errors import ShapeError
from unrolled.evaluation import Evaluation, Judged, judge, wilson
from unrolled.parameters import Array
from unrolled.plotting.style import COLOURS, GREY, finish, new_figure, plain, shorten

Path = str | os.PathLike[str] | None
BINS = 10
MOST_LINES = len(COLOURS)  # classes with a curve of their own
MOST_NUMBERS = 10  # classes whose counts are written into the confusion matrix


@dataclass(frozen=True)
class Curve:
    """One class against the others: a point for each threshold, and the area below."""

    name: str
    x: Array
    y: Array
    area: float


def plot_confusion(labels: Any, probabilities: Any, classes: Any, path: Path = None, title: str | None = None) -> Any:
    """The confusion matrix: colours are shares of each true class, numbers are rows."""
    figure = new_figure()
    draw_confusion(figure, figure.add_subplot(), *_read(labels, probabilities, classes))
    return finish(figure, path, title)


def draw_confusion(figure: Any, axes: Any, judged: Judged, names: Sequence[Any]) -> None:
    """See plot_confusion."""
    counts = judged.confusion()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    right = int(np.trace(counts))
    plain(axes, f"{right:,} of {judged.rows:,} right ({right / judged.rows:.1%})", "Predicted", "True")
    axes.grid(visible=False)
    size = len(names)
    few = size <= MOST_NUMBERS
    places = range(0, size, 1 if size <= 30 else -(-size // 30))
    shown = [shorten(names[place], 12) for place in places]
    slanted = sum(map(len, shown)) > 36
    axes.set_xticks(places, shown, rotation=45 if slanted else 0, ha="right" if slanted else "center")
    axes.set_yticks(places, shown)
    axes.tick_params(length=0, labelsize="medium" if few else "x-small")
    axes.spines[:].set_visible(False)
    if not few:
        figure.colorbar(image, cax=axes.inset_axes((1.03, 0.1, 0.04, 0.8)), label="Share of the true class")
        return
    for true, guess in np.ndindex(counts.shape):
        text = f"{counts[true, guess]:,}" + (f"\n{shares[true, guess]:.1%}" if size <= 5 else "")
        colour = "white" if shares[true, guess] > 0.6 else "black"
        axes.text(guess, true, text, ha="center", va="center", color=colour, fontsize=None if size <= 5 else "small")


def plot_roc(labels: Any, probabilities: Any, classes: Any, path: Path = None, title: str | None = None) -> Any:
    """The ROC curve of the second of two classes, or of each of several classes against the others."""
    figure = new_figure()
    draw_roc(figure.add_subplot(), *_read(labels, probabilities, classes))
    return finish(figure, path, title)


def draw_roc(axes: Any, judged: Judged, names: Sequence[Any]) -> None:
    """See plot_roc."""
    curves = []
    for name, true, false in _thresholds(judged, names):
        x, y = false / false[-1], true / true[-1]
        curves.append(Curve(name, x, y, float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())))
    area = f"mean AUC {np.mean([curve.area for curve in curves]):.3f}" if len(names) > 2 else ""
    area = area or (f"AUC {curves[0].area:.3f}" if curves else "")
    plain(axes, f"ROC: {area or 'undefined, one class only'}", "False positive rate", "True positive rate")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1, label="Chance")
    _draw_curves(axes, curves, "plot", "lower right")


def plot_precision_recall(
    labels: Any, probabilities: Any, classes: Any, path: Path = None, title: str | None = None
) -> Any:
    """Precision over recall of the second of two classes, or of each of several classes against the others."""
    figure = new_figure()
    draw_precision_recall(figure.add_subplot(), *_read(labels, probabilities, classes))
    return finish(figure, path, title)


def draw_precision_recall(axes: Any, judged: Judged, names: Sequence[Any]) -> None:
    """See plot_precision_recall."""
    curves, share = [], 0.0
    for name, true, false in _thresholds(judged, names):
        recall, precision = true / true[-1], true[1:] / (true + false)[1:]
        share = float(true[-1] / judged.rows)
        area = float((np.diff(recall) * precision).sum())  # average precision, as scikit-learn
        curves.append(Curve(name, recall, np.concatenate([precision[:1], precision]), area))
    several = len(names) > 2
    mean = f"{'mean ' * several}average precision {np.mean([curve.area for curve in curves]):.3f}" if curves else ""
    plain(axes, mean[:1].upper() + mean[1:] or "Precision and recall: undefined, one class only", "Recall", "Precision")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if curves and not several:
        axes.plot([0, 1], [share, share], "--", color=GREY, linewidth=1, label=f"Chance: {share:.2f}")
    _draw_curves(axes, curves, "step", "lower left")


def _thresholds(judged: Judged, names: Sequence[Any]) -> list[tuple[str, Array, Array]]:
    """For each class drawn: name, true and false positives above each threshold, from the highest; those defined."""
    found = []
    columns = [1] if len(names) == 2 else range(len(names))
    for column, (order, positive, starts) in zip(columns, judged.ranked, strict=True):
        ends = np.arange(len(order)) if starts is None else starts
        above = np.concatenate([[0.0], np.add.reduceat(positive, ends)[::-1].cumsum()])
        total = np.concatenate([[0], np.diff(np.append(ends, len(order)))[::-1].cumsum()])
        if 0 < above[-1] < len(order):
            found.append((shorten(names[column]), above, total - above))
    return found


def _draw_curves(axes: Any, curves: list[Curve], how: str, place: str) -> None:
    """The curves in their colours; of many classes the worst, the others in grey."""
    by_area = sorted(range(len(curves)), key=lambda number: curves[number].area)
    own = [curves[number] for number in sorted(by_area[:MOST_LINES])]
    rest = [curves[number] for number in by_area[MOST_LINES:]]
    draw = axes.plot if how == "plot" else axes.step
    more = {} if how == "plot" else {"where": "pre"}
    for number, curve in enumerate(rest):
        label = f"{len(rest)} more classes, all better" if number == 0 else None
        draw(curve.x, curve.y, color="0.8", linewidth=1, label=label, **more)
    for colour, curve in zip(COLOURS, own, strict=False):
        label = curve.name if len(curves) == 1 else f"{curve.name} {curve.area:.3f}"
        draw(curve.x, curve.y, color=colour, linewidth=2, label=label, **more)
    if curves:
        axes.legend(loc=place, fontsize="small" if len(curves) > 4 else None, framealpha=0.85, edgecolor="none")


def plot_calibration(labels: Any, probabilities: Any, classes: Any, path: Path = None, title: str | None = None) -> Any:
    """Whether stated probabilities come true: of the rows given 70 %, do 70 % turn out so? With the count of each bin.

    Of two classes the probability of the second; of several that of the predicted one. Bars are 95 % intervals; the
    title's figure is the mean distance, weighted by rows.
    """
    figure = new_figure()
    draw_calibration(figure, figure.add_gridspec(1, 1)[0], *_read(labels, probabilities, classes))
    return finish(figure, path, title)


def draw_calibration(figure: Any, place: Any, judged: Judged, names: Sequence[Any]) -> None:
    """See plot_calibration; place: a cell of a grid."""
    two = len(names) == 2
    stated = judged.probabilities[:, 1] if two else judged.probabilities.max(axis=1)
    came_true = judged.truth == (1 if two else judged.probabilities.argmax(axis=1))
    numbers = np.minimum((stated * BINS).astype(int), BINS - 1)
    counts, hits = np.bincount(numbers, minlength=BINS), np.bincount(numbers, came_true, BINS)
    used = counts > 0
    means, shares = np.bincount(numbers, stated, BINS)[used] / counts[used], hits[used] / counts[used]
    low, high = wilson(hits[used], counts[used])
    grid = place.subgridspec(2, 1, height_ratios=(5, 1), hspace=0.02)
    axes, below = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    off = float(np.abs(means - shares) @ counts[used] / counts.sum())
    what = f'Probability of "{shorten(names[1])}"' if two else "Probability of the predicted class"
    plain(axes, f"Calibration: off by {off:.3f} on average", "", "Share that came true")
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1, label="Perfect")
    axes.errorbar(means, shares, (shares - low, high - shares), fmt="o-", color=COLOURS[0], capsize=2, linewidth=1.5)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.tick_params(labelbottom=False)
    axes.legend(frameon=False, loc="upper left")
    below.bar((np.arange(BINS) + 0.5) / BINS, counts, width=0.9 / BINS, color=COLOURS[0], alpha=0.5)
    plain(below, "", what, "Rows")
    below.set(xlim=(-0.02, 1.02))
    below.yaxis.set_major_locator(_locator(2))
    below.yaxis.set_major_formatter("{x:,.0f}")


def plot_accuracy_by_length(
    labels: Any, probabilities: Any, classes: Any, lengths: Any, path: Path = None, title: str | None = None
) -> Any:
    """Accuracy of the shortest tenth of the rows, the next tenth, and so on, with 95 % intervals.

    Args: lengths: of the N rows, e.g. words or steps; the rest as plot_roc.
    """
    figure = new_figure()
    draw_accuracy_by_length(figure.add_subplot(), *_read(labels, probabilities, classes), lengths)
    return finish(figure, path, title)


def draw_accuracy_by_length(axes: Any, judged: Judged, names: Sequence[Any], lengths: Any) -> None:
    """See plot_accuracy_by_length."""
    sizes = np.asarray(as_list(lengths, "lengths"), np.float64)
    if sizes.shape != (judged.rows,):
        raise ShapeError(f"lengths: expected one for each of {judged.rows} rows, got shape {sizes.shape}.")
    edges = np.unique(np.quantile(sizes, np.linspace(0, 1, BINS + 1)[1:-1]))
    numbers = np.searchsorted(edges, sizes)  # equal lengths stand in one group
    _, numbers = np.unique(numbers, return_inverse=True)
    right = judged.truth == judged.probabilities.argmax(axis=1)
    counts, hits = np.bincount(numbers), np.bincount(numbers, right)
    means, shares = np.bincount(numbers, sizes) / counts, hits / counts
    low, high = wilson(hits, counts)
    plain(axes, f"Accuracy {shares[0]:.3f} of the shortest, {shares[-1]:.3f} of the longest", "Length", "Accuracy")
    axes.axhline(right.mean(), linestyle="--", color=GREY, linewidth=1, label=f"All rows: {right.mean():.3f}")
    axes.errorbar(
        means, shares, (shares - low, high - shares), fmt="o-", color=COLOURS[0], capsize=2, linewidth=1.5,
        label=f"Groups of {counts.min():,} rows or more",
    )  # fmt: skip
    if means[0] > 0 and means[-1] > 8 * means[0]:
        _log_scale(axes)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top + 0.25 * (top - bottom))  # room for the legend above the intervals
    axes.legend(frameon=False, loc="upper right")


def draw_by_class(axes: Any, evaluation: Evaluation) -> None:
    """Precision, recall and F1 of each class, the least F1 first; of many classes the worst."""
    scores = sorted(evaluation.per_class.items(), key=lambda item: item[1].f1)[:BINS]
    many = len(evaluation.per_class) > BINS
    title = f"Macro F1 {evaluation.macro_f1:.3f}" + (f", the {BINS} worst classes" if many else "")
    plain(axes, title, "", "")
    places = np.arange(len(scores))[::-1]
    for colour, marker, name in zip(COLOURS, "os^", ("precision", "recall", "f1"), strict=False):
        label = name.capitalize() if name != "f1" else "F1"
        axes.plot([getattr(each, name) for _, each in scores], places, marker, color=colour, markersize=8, label=label)
    size = "small" if len(scores) > 6 else None
    axes.set_yticks(places, [f"{shorten(label)}\n{each.support:,} rows" for label, each in scores], fontsize=size)
    for place, (_, each) in zip(places, scores, strict=True):
        axes.hlines(place, *sorted((each.precision, each.recall)), color="0.8", linewidth=4, zorder=1)
    left, right = axes.get_xlim()
    wider = max(0.0, 0.1 - (right - left)) / 2  # a difference of thousandths should look small
    axes.set(ylim=(-0.6, len(scores) - 0.4), xlim=(left - wider, right + wider))
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=3)


def _read(labels: Any, probabilities: Any, classes: Any) -> tuple[Judged, list[Any]]:
    names = as_list(classes, "classes")
    return judge(labels, probabilities, names), names


def _log_scale(axes: Any) -> None:
    """x by powers, with plain numbers: 10, 20, 50, 100."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _locator(most: int) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, integer=True)
