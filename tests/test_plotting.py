"""The picture of a training: what is drawn, where, and what it is called."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import metrics

from unrolled import plotting
from unrolled.callbacks import History
from unrolled.errors import ShapeError
from unrolled.evaluation import evaluate, wilson
from unrolled.printing import Table, history_table

pytestmark = pytest.mark.whole_programs

HISTORY = {"acc": [0.6, 0.8, 0.9, 0.95], "loss": [0.7, 0.5, 0.3, 0.2], "val_acc": [0.5, 0.7], "val_loss": [0.8, 0.6]}


def test_panels_dots_and_lines(tmp_path: Path) -> None:
    figure = plotting.plot_history(HISTORY, tmp_path / "curves.png", "A title")
    accuracy, loss = figure.axes
    assert (accuracy.get_title(), loss.get_title()) == (
        "Training and validation accuracy",
        "Training and validation loss",
    )
    dots, line = accuracy.lines
    assert (dots.get_marker(), dots.get_linestyle()) == ("o", "None")
    assert (line.get_marker(), line.get_linestyle()) == ("None", "-")
    assert (list(dots.get_xdata()), list(dots.get_ydata())) == ([1, 2, 3, 4], HISTORY["acc"])
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([2, 4], HISTORY["val_acc"])  # validation_freq=2
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["Training loss", "Validation loss"]
    content = (tmp_path / "curves.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert min(struct.unpack(">II", content[16:24])) > 400


def test_training_alone() -> None:
    (axes,) = plotting.plot_history({"loss": [0.7]}).axes
    assert axes.get_title() == "Training loss"
    assert len(axes.lines) == 1


def test_no_epochs() -> None:
    with pytest.raises(ValueError) as caught:
        plotting.plot_history({})
    assert str(caught.value) == (
        "plot_history: expected a history with at least one epoch, got one without. Call fit first."
    )


def test_one_epoch_can_be_seen() -> None:
    (axes,) = plotting.plot_history({"loss": [0.7], "val_loss": [0.8]}).axes
    assert [line.get_marker() for line in axes.lines] == ["o", "x"]
    assert axes.get_xlim() == (0, 2)


def test_a_value_for_each_class_is_a_line_for_each() -> None:
    (axes,) = plotting.plot_history(
        {"f1_score": [[0.1, 0.2], [0.3, 0.4]], "val_f1_score": [[0.2, 0.3], [0.4, 0.5]]}
    ).axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[0.1, 0.3], [0.2, 0.4], [0.2, 0.4], [0.3, 0.5]]


def history() -> History:
    made = History()
    made.history, made.epoch = HISTORY, [0, 1, 2, 3]
    return made


def test_history_draws_itself(tmp_path: Path) -> None:
    figure = history().plot(tmp_path / "curves.svg")
    assert len(figure.axes) == 2
    assert (tmp_path / "curves.svg").read_text().startswith("<?xml")


def test_history_is_a_table_in_a_notebook() -> None:
    html = history()._repr_html_()
    assert html.count("<tr>") == 5
    assert html.count("font-weight:bold") == 5  # the cells of epoch 4, of the least validation loss
    assert history_table(HISTORY).to_text().split("\n") == [
        "epoch     acc    loss  val_acc  val_loss",
        "1      0.6000  0.7000",
        "2      0.8000  0.5000   0.5000    0.8000",
        "3      0.9000  0.3000",
        "4      0.9500  0.2000   0.7000    0.6000",
    ]
    assert "<tbody></tbody>" in History()._repr_html_()


def test_long_tables_are_cut_where_they_show_themselves() -> None:
    names = ["row", "word", *(f"n{k}" for k in range(20))]
    rows = [[str(k), "wört" if k else "電影", *["1.5"] * 20] for k in range(100)]
    table = Table("long", names, rows, marked=(99,), notes=("a note",))
    lines = str(table).split("\n")
    assert lines[:3] == [
        "long", "row        word   n0   n1   n2   n3   n4   n5   n6   n7  …  n19",
        "0          電影  1.5  1.5  1.5  1.5  1.5  1.5  1.5  1.5  …  1.5",
    ]  # fmt: skip
    assert len(lines) == 2 + 41 + 1 and lines[22].startswith("… 60 rows") and lines[-1] == "a note"
    assert repr(table) == str(table) and table._repr_html_().count("<tr>") == 1 + 41
    assert table._repr_html_().count("font-weight:bold") == 1 + 12, "the title and the marked row, which is the last"
    assert table.to_text().count("\n") == 102 and table.to_html().count("<tr>") == 101


# ---- pictures of predictions


def predictions(rng: np.random.Generator, classes: int = 2, rows: int = 400) -> tuple[Any, Any, list[str]]:
    truth = rng.integers(classes, size=rows)
    y = rng.dirichlet(np.ones(classes), size=rows) + 0.4 * np.eye(classes)[truth]
    y = np.round(y / y.sum(axis=1, keepdims=True), 3)
    y[:, 0] += 1 - y.sum(axis=1)
    names = [f"class {k}" for k in range(classes)]
    return [names[k] for k in truth], np.clip(y, 0, 1), names


def test_confusion_shows_counts_and_shares(tmp_path: Path) -> None:
    truth, y = ["no"] * 4 + ["yes"] * 6, [0.1, 0.2, 0.3, 0.7, 0.9, 0.8, 0.7, 0.6, 0.55, 0.2]
    (axes,) = plotting.plot_confusion(truth, y, ["no", "yes"], tmp_path / "c.png", "tweets").axes
    assert axes.get_title() == "8 of 10 right (80.0%)"
    assert [text.get_text() for text in axes.texts] == ["3\n75.0%", "1\n25.0%", "1\n16.7%", "5\n83.3%"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["no", "yes"]
    assert axes.figure.get_suptitle() == "tweets"
    assert (tmp_path / "c.png").stat().st_size > 1000


def test_many_classes_have_colours_instead_of_counts(rng: np.random.Generator) -> None:
    figure = plotting.plot_confusion(*predictions(rng, 12))
    axes = figure.axes[0]
    assert len(axes.texts) == 0
    assert len(axes.get_images()[0].get_array()) == 12


def test_roc_is_scikit_learns(rng: np.random.Generator) -> None:
    truth, y, names = predictions(rng)
    (axes,) = plotting.plot_roc(truth, y, names).axes
    positive = np.array(truth) == names[1]
    x, height, _ = metrics.roc_curve(positive, y[:, 1], drop_intermediate=False)
    curve = axes.lines[1]
    assert_allclose(curve.get_xdata(), x, atol=1e-12)
    assert_allclose(curve.get_ydata(), height, atol=1e-12)
    assert axes.get_title() == f"ROC: AUC {metrics.roc_auc_score(positive, y[:, 1]):.3f}"


def test_precision_recall_is_scikit_learns(rng: np.random.Generator) -> None:
    truth, y, names = predictions(rng)
    (axes,) = plotting.plot_precision_recall(truth, y, names).axes
    positive = np.array(truth) == names[1]
    precision, recall, _ = metrics.precision_recall_curve(positive, y[:, 1])
    curve = axes.lines[1]
    assert_allclose(curve.get_xdata()[1:], recall[:-1][::-1], atol=1e-12)  # both add a first point
    assert_allclose(curve.get_ydata()[1:], precision[:-1][::-1], atol=1e-12)
    assert axes.get_title() == f"Average precision {metrics.average_precision_score(positive, y[:, 1]):.3f}"
    assert axes.lines[0].get_label() == f"Chance: {positive.mean():.2f}"


def test_several_classes_have_a_curve_each(rng: np.random.Generator) -> None:
    truth, y, names = predictions(rng, 3)
    (axes,) = plotting.plot_roc(truth, y, names).axes
    areas = [metrics.roc_auc_score(np.array(truth) == name, y[:, k]) for k, name in enumerate(names)]
    labels = [line.get_label() for line in axes.lines]
    assert labels == ["Chance", *(f"{name} {area:.3f}" for name, area in zip(names, areas, strict=True))]
    assert axes.get_title() == f"ROC: mean AUC {np.mean(areas):.3f}"
    truth, y, names = predictions(rng, 12)
    (axes,) = plotting.plot_precision_recall(truth, y, names).axes
    areas = [metrics.average_precision_score(np.array(truth) == name, y[:, k]) for k, name in enumerate(names)]
    named = [line.get_label() for line in axes.lines if line.get_label().startswith("class")]
    worst = sorted(np.argsort(areas)[:7])
    assert named == [f"{names[k]} {areas[k]:.3f}" for k in worst]
    assert axes.lines[0].get_label() == "5 more classes, all better"


def test_one_class_only_has_no_curve() -> None:
    (axes,) = plotting.plot_roc([1, 1], [0.2, 0.9], [0, 1]).axes
    assert axes.get_title() == "ROC: undefined, one class only"
    (axes,) = plotting.plot_precision_recall([1, 1], [0.2, 0.9], [0, 1]).axes
    assert axes.get_title() == "Precision and recall: undefined, one class only"


def test_calibration_counts_bins() -> None:
    y = np.array([0.05] * 10 + [0.75] * 20 + [1.0] * 5)
    truth = [1] + [0] * 9 + [1] * 10 + [0] * 10 + [1] * 5
    above, below = plotting.plot_calibration(truth, y, [0, 1]).axes
    points = above.containers[0].lines[0]
    assert_allclose(points.get_xdata(), [0.05, 0.75, 1.0])
    assert_allclose(points.get_ydata(), [0.1, 0.5, 1.0])
    assert_array_equal([bar.get_height() for bar in below.patches], [10, 0, 0, 0, 0, 0, 0, 20, 0, 5])
    assert above.get_title() == f"Calibration: off by {(0.05 * 10 + 0.25 * 20) / 35:.3f} on average"


def test_calibration_of_several_is_that_of_the_predicted_class(rng: np.random.Generator) -> None:
    truth, y, names = predictions(rng, 3)
    _, below = plotting.plot_calibration(truth, y, names).axes
    assert sum(bar.get_height() for bar in below.patches[:3]) == 0  # the largest of three is above 1/3
    assert below.get_xlabel() == "Probability of the predicted class"


def test_accuracy_by_length_has_tenths() -> None:
    lengths = np.arange(1, 101)
    y = np.where(lengths <= 50, 0.9, 0.1)  # right where short
    (axes,) = plotting.plot_accuracy_by_length([1] * 100, y, [0, 1], lengths).axes
    points = axes.containers[0].lines[0]
    assert_allclose(points.get_xdata(), np.arange(10) * 10 + 5.5)
    assert_allclose(points.get_ydata(), [1] * 5 + [0] * 5)
    assert axes.get_title() == "Accuracy 1.000 of the shortest, 0.000 of the longest"
    (axes,) = plotting.plot_accuracy_by_length([1] * 4, [0.9] * 4, [0, 1], [7, 7, 7, 7]).axes
    assert_allclose(axes.containers[0].lines[0].get_xdata(), [7])
    with pytest.raises(ShapeError) as error:
        plotting.plot_accuracy_by_length([1, 0], [0.5, 0.5], [0, 1], [3])
    assert str(error.value) == "lengths: expected one for each of 2 rows, got shape (1,)."


def test_long_lengths_are_plain_numbers_and_the_legend_stands_above(rng: np.random.Generator) -> None:
    lengths = np.geomspace(60, 700, 200).round()
    proba = rng.dirichlet([1, 1], 200)
    labels = (rng.random(200) < proba[:, 1]).astype(int)
    axes = plotting.plot_accuracy_by_length(labels, proba, [0, 1], lengths).axes[0]
    low, high = axes.get_xlim()
    shown = [int(place) for place in axes.xaxis.get_major_locator()() if low <= place <= high]
    assert shown == [100, 200, 500] and axes.xaxis.get_major_formatter()(200) == "200"
    assert axes.xaxis.get_minor_formatter()(300) == ""
    bars = axes.collections[0].get_datalim(axes.transData)
    bottom, top = axes.get_ylim()
    assert top - bars.y1 > 0.2 * (bars.y1 - bottom)


def test_small_differences_of_classes_look_small() -> None:
    figures = evaluate([0] * 50 + [1] * 50, np.tile([[0.9, 0.1], [0.1, 0.9]], (50, 1)), [0, 1])
    axes = plotting.plot_report([0] * 50 + [1] * 50, np.tile([[0.9, 0.1], [0.1, 0.9]], (50, 1)), [0, 1],
                                evaluation=figures).axes  # fmt: skip
    panel = next(one for one in axes if one.get_title().startswith("Macro F1"))
    assert np.ptp(panel.get_xlim()) == pytest.approx(0.1)


def test_intervals_of_shares() -> None:
    low, high = wilson(np.array([0.0, 81.0, 5.0]), np.array([10.0, 263.0, 5.0]))
    # Newcombe 1998, table I: 81/263 has .2553 to .3662.
    assert_allclose(low, [0, 0.2553, 0.5655], atol=5e-5)
    assert_allclose(high, [0.2775, 0.3662, 1], atol=5e-5)


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_the_report_has_all_of_it(classes: int, rng: np.random.Generator, tmp_path: Path) -> None:
    truth, y, names = predictions(rng, classes)
    found = evaluate(truth, y, names, resamples=50)
    figure = plotting.plot_report(
        truth, y, names, history=HISTORY, lengths=rng.integers(1, 500, size=400), evaluation=found,
        path=tmp_path / "report.png", title="GRU",
    )  # fmt: skip
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    starts = ("Training and", "Training and", f"{round(found.accuracy * 400):,} of 400", "Macro F1", "ROC",
              "Average" if classes == 2 else "Mean", "Calibration", "Accuracy")  # fmt: skip
    assert len(titles) == 8
    assert all(title.startswith(start) for title, start in zip(titles, starts, strict=True))
    low, high = found.intervals["accuracy"]
    assert figure.get_suptitle() == f"GRU: accuracy {found.accuracy:.4f} ({low:.4f} to {high:.4f}) on 400 rows"
    assert (tmp_path / "report.png").stat().st_size > 10_000


def test_the_report_without_history_and_lengths(rng: np.random.Generator) -> None:
    figure = plotting.plot_report(*predictions(rng))
    assert len([axes for axes in figure.axes if axes.get_title()]) == 5
    assert figure.get_suptitle().startswith("Accuracy 0.")


def test_labels_that_are_long_or_look_like_formulas() -> None:
    names = ["$\\frac$", "a very long name of a class, indeed"]
    figure = plotting.plot_confusion(names, [0.2, 0.8], names)
    figure.savefig("/dev/null", format="png")  # an unclosed formula would raise here
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["\\$\\frac\\$", "a very…ndeed"]
