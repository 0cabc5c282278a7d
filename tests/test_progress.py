"""The bar of fit at terminals of two widths, drawn from the first batch on (test_callbacks.py has the rest)."""

from __future__ import annotations

import io
import re
import sys

import pytest

from unrolled import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(logger: progress.ProgressLogger) -> None:
    """Two epochs of 400 samples in batches of 100, each with a validation."""
    logger.set_params({"verbose": 1, "epochs": 2, "steps": 4})
    logger.samples, logger.batch_size = 400, 100
    for epoch in range(2):
        logger.on_epoch_begin(epoch)
        for batch in range(4):
            logger.on_train_batch_end(batch, {"loss": 0.5, "acc": 0.75})
        logger.on_test_begin()
        logger.on_epoch_end(epoch, {"loss": 0.5, "acc": 0.75, "val_loss": 0.00004, "val_acc": 0.5})
    logger.on_train_end()


@pytest.mark.parametrize("columns", [80, 120])
def test_bar_at_a_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Count, time left, rate and logs, uncut; and the epoch's line takes the bar's place."""
    pytest.importorskip("rich")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    for name, value in {"TERM": "xterm", "COLUMNS": str(columns), "LINES": "25"}.items():
        monkeypatch.setenv(name, value)
    run(progress.ProgressLogger("reviews"))
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    drawings = [text for text in re.split(r"[\r\n]+", shown) if " left " in text]
    assert len(drawings) >= 8
    for text in drawings:
        assert "…" not in text
        assert re.search(r"Epoch \d/2 .* \d00/400 0 s left [\d,]+ reviews/s loss: 0\.5000 - acc: 0\.7500", text)
    assert len(re.findall(r"Epoch \d/2 - ", shown)) == 2


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.6, "60 s"), (119.4, "119 s"), (185, "3:05")])
def test_seconds(seconds: float, text: str) -> None:
    assert progress.show_seconds(seconds) == text
