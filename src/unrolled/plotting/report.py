"""One picture of everything that is known about a trained classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from unrolled.columns import as_list
from unrolled.evaluation import Evaluation, evaluate, judge
from unrolled.plotting import judging
from unrolled.plotting.curves import draw_metric
from unrolled.plotting.style import finish, new_figure


def plot_report(
    labels: Any,
    probabilities: Any,
    classes: Any,
    *,
    history: Any = None,
    lengths: Any = None,
    evaluation: Evaluation | None = None,
    path: judging.Path = None,
    title: str | None = None,
) -> Any:
    """All pictures in one: the training, confusion, classes, ROC, precision and recall, calibration, length.

    Args:    labels, probabilities, classes: as evaluation.evaluate; history: what fit returned, or its .history, for
             the curves of accuracy and loss; lengths: of the rows, for accuracy by length; evaluation: of the same
             rows, if it is at hand; path: a picture to write; title: in front of the accuracy above all panels.
    Returns: the matplotlib Figure.
    Raises:  as evaluation.evaluate; MissingExtraError if matplotlib is not installed.
    """
    names = as_list(classes, "classes")
    judged = judge(labels, probabilities, names)
    found = evaluation or evaluate(labels, probabilities, names)
    curves: Mapping[str, Any] = getattr(history, "history", history) or {}
    panels: list[Callable[[Any, Any], None]] = [
        lambda figure, cell, key=key: draw_metric(figure.add_subplot(cell), curves, key)  # type: ignore[misc]
        for key in ("acc", "accuracy", "loss")
        if curves.get(key)
    ]
    panels += [
        lambda figure, cell: judging.draw_confusion(figure, figure.add_subplot(cell), judged, names),
        lambda figure, cell: judging.draw_by_class(figure.add_subplot(cell), found),
        lambda figure, cell: judging.draw_roc(figure.add_subplot(cell), judged, names),
        lambda figure, cell: judging.draw_precision_recall(figure.add_subplot(cell), judged, names),
        lambda figure, cell: judging.draw_calibration(figure, cell, judged, names),
    ]
    if lengths is not None:
        panels.append(
            lambda figure, cell: judging.draw_accuracy_by_length(figure.add_subplot(cell), judged, names, lengths)
        )
    columns = -(-len(panels) // 2)
    figure = new_figure(columns, 2)
    grid = figure.add_gridspec(2, columns)
    for number, panel in enumerate(panels):
        panel(figure, grid[number // columns, number % columns])
    return finish(figure, path, _headline(found, title))


def _headline(found: Evaluation, title: str | None) -> str:
    text = f"accuracy {found.accuracy:.4f}"
    if "accuracy" in found.intervals:
        low, high = found.intervals["accuracy"]
        text += f" ({low:.4f} to {high:.4f})"
    text += f" on {found.rows:,} rows"
    return f"{title}: {text}" if title else text[0].upper() + text[1:]
