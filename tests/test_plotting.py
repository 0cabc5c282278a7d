"""The picture of a training: what is drawn, where, and what it is called."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from unrolled import plotting

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
