"""Section: SimpleRNN, LSTM and GRU on IMDB, ten epochs each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unrolled import engine, layers
from unrolled.chapter.blocks import Code, Figures, Note, Picture, Row, Section, Table, Text
from unrolled.chapter.charts import Line, line_chart
from unrolled.chapter.data import Absent, Rows, Say, load_imdb
from unrolled.chapter.training import Clock, epoch_row, here_row, recorded_row
from unrolled.layers import Dense, Embedding
from unrolled.models import Sequential
from unrolled.preprocessing import sequence
from unrolled.random import set_random_seed

KEY, TITLE = "imdb", "Film reviews: SimpleRNN, LSTM, GRU"
CELLS = ("SimpleRNN", "LSTM", "GRU")
MAX_FEATURES, MAXLEN, UNITS, BATCH, VALIDATION = 10_000, 500, 32, 128, 0.2
RUNS = {"run_a": "run A", "run_b": "run B"}
RUN_C = "run_c_first_and_last_epoch"
MEASURES = {  # of a run: title, form of ours, form of recorded ones
    "val_acc": ("Validation accuracy", ".4f", ".4f"),
    "acc": ("Training accuracy", ".4f", ".4f"),
    "val_loss": ("Validation loss", ".4f", ".4f"),
    "loss": ("Training loss", ".4f", ".4f"),
    "seconds": ("Seconds an epoch, validation included here", ".2f", ".0f"),
    "ms_per_step": ("Milliseconds a training step", ".2f", ".0f"),
}
REMARKS = {
    "SimpleRNN": "Its memory fades: what stood hundreds of steps back has little weight in the last state, and "
    "gradients on the way back vanish. Training accuracy climbs on, validation accuracy does not.",
    "LSTM": "The carry keeps gradients alive over many steps. Better than SimpleRNN, and several times the arithmetic "
    "of a step.",
    "GRU": "Two gates in place of three and no separate carry: fewer weights, about the same result.",
}
CODE = """\
model = Sequential()
model.add(Embedding(max_features, 32))
model.add(SimpleRNN(32))           # then LSTM(32), then GRU(32)
model.add(Dense(1, activation='sigmoid'))
model.compile(optimizer='rmsprop', loss='binary_crossentropy', metrics=['acc'])
history = model.fit(input_train, y_train, epochs={epochs}, batch_size=128, validation_split=0.2)"""


@dataclass
class Result:
    """One trained model: measures over the epochs, and its number of parameters."""

    measures: dict[str, list[float]]
    parameters: int

    @property
    def best(self) -> float:
        """The best validation accuracy."""
        return max(self.measures["val_acc"])


def train(cell: str, x: np.ndarray, y: np.ndarray, epochs: int, seed: int, verbose: int) -> Result:
    """One of the chapter's three models."""
    set_random_seed(seed)
    model = Sequential()
    model.add(Embedding(MAX_FEATURES, UNITS))
    model.add(getattr(layers, cell)(UNITS))
    model.add(Dense(1, activation="sigmoid"))
    model.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["acc"])
    clock = Clock()
    history = model.fit(
        x, y, epochs=epochs, batch_size=BATCH, validation_split=VALIDATION, callbacks=[clock], verbose=verbose
    )
    steps = int(history.params["steps"])
    measures = dict(history.history) | {
        "seconds": clock.whole,
        "ms_per_step": [1000 * seconds / steps for seconds in clock.training],
    }
    return Result(measures, model.count_params())


def run(figures: Figures, folder: Path | None, epochs: int, seed: int, say: Say, verbose: int) -> Section:
    """Load, train three models, and lay the recorded runs beside them."""
    section = Section(KEY, TITLE)
    say("Reading the reviews")
    rows = load_imdb(folder, MAX_FEATURES)
    section.add(*(Note(note) for note in rows.notes))
    usual = figures.read("imdb/setup/epochs")
    if isinstance(rows, Rows) and epochs != usual:
        section.add(Note(f"The recorded runs have {usual} epochs, this one {epochs}: the best of them do not compare."))
    results: dict[str, Result] = {}
    shape = None
    if isinstance(rows, Rows):
        x = sequence.pad_sequences(rows.x, maxlen=MAXLEN)
        shape = x.shape
        for cell in CELLS:
            say(f"{cell} on reviews")
            results[cell] = train(cell, x, rows.y, epochs, seed, verbose)
    section.add(
        Text(
            "Reviews as word numbers, padded and cut in front to 500 steps, each number turned into 32 features, read "
            "by one recurrent layer of 32 units; the last state tells the opinion. "
            + (f"Data: {rows.source}." if isinstance(rows, Rows) else "Nothing was trained here.")
        ),
        Code(CODE.format(epochs=epochs)),
        _setup(figures, rows, shape, epochs),
        _at_best(figures, results),
        Text(
            "The best epoch is chosen on the rows that it reports, as readers of the chapter's curves do; so these "
            "figures flatter, the recorded ones and ours alike. The recorded runs name no hardware: of their times "
            "only the order of magnitude can be compared. As the chapter says, none of the three is far ahead of "
            "counting words on this task."
        ),
    )
    width = max([epochs if results else 0, *(len(figures.read(f"imdb/run_a/{c}/acc") or ()) for c in CELLS)])
    for cell in CELLS:
        section.add(Text(f"**{cell}.** {REMARKS[cell]}"))
        section.add(_curves(figures, cell, results.get(cell)), _by_epoch(figures, cell, results.get(cell), width))
        section.glance.append(_glance(figures, cell, results.get(cell)))
    return section


def _setup(figures: Figures, rows: Rows | Absent, shape: Any, epochs: int) -> Table:
    """Every setting of the recorded runs, and ours."""
    ours: dict[str, Any] = {
        "num_words": MAX_FEATURES,
        "maxlen": MAXLEN,
        "embedding": UNITS,
        "units": UNITS,
        "optimizer": "rmsprop",
        "loss": "binary_crossentropy",
        "batch_size": BATCH,
        "epochs": epochs,
        "validation_split": VALIDATION,
    }
    table: list[Row] = [
        [name.replace("_", " "), figures.recorded(f"imdb/setup/{name}"), figures.here(f"imdb/setup/{name}", value)]
        for name, value in ours.items()
    ]
    trained = validated = None
    if isinstance(rows, Rows):
        trained = int(len(rows.y) * (1 - VALIDATION))
        validated = len(rows.y) - trained
    for k, (name, count) in enumerate((("rows to train on", trained), ("rows to validate with", validated))):
        path = f"imdb/setup/rows/{k}"
        table.append([name, figures.recorded(path), figures.here(path, count)])
    table.append(["input_train.shape", "(25000, 500)", "not run" if shape is None else str(shape)])
    steps = None if trained is None else -(-trained // BATCH)
    table.append(["steps an epoch", "157", figures.here("imdb/setup/steps", steps)])
    table.append(["threads", "–", str(engine.get_num_threads())])
    return Table("The setting", ["", "recorded", "here"], [("", table)], folded=True)


def _at_best(figures: Figures, results: dict[str, Result]) -> Table:
    """One row a model: what a reader of the chapter wants to know first."""
    table: list[Row] = []
    totals = {"SimpleRNN": "322,113", "LSTM": "328,353", "GRU": "326,369"}
    for cell in CELLS:
        result = results.get(cell)
        recorded = [figures.read(f"imdb/{run}/{cell}") for run in RUNS]
        best = [f"{max(run['val_acc']):.4f}" for run in recorded if run]
        seconds = [f"{sum(run['seconds']):.0f}" for run in recorded if run]
        path = f"imdb/{cell}"
        table.append(
            [
                f"{cell}(32)",
                ", ".join(best),
                figures.here(f"{path}/best", result and result.best, ".4f"),
                ", ".join(seconds),
                figures.here(f"{path}/seconds_in_all", result and sum(result.measures["seconds"]), ".1f"),
                totals[cell],
                figures.here(f"{path}/parameters", result and result.parameters),
            ]
        )
    header = ["", "best val. accuracy, recorded", "here", "seconds in all, recorded", "here", "parameters", "here"]
    return Table("Best epoch and time", header, [("", table)])


def _curves(figures: Figures, cell: str, result: Result | None) -> Picture:
    """The chapter's two figures: dots for training, a line for validation; recorded runs thin."""
    svgs = []
    for measure, name in (("acc", "accuracy"), ("loss", "loss")):
        lines = []
        if result is not None:
            lines += [
                Line(f"Training {name}", result.measures[measure], "dots", 1),
                Line(f"Validation {name}", result.measures[f"val_{measure}"], "line", 2),
            ]
        for tone, (run, title) in enumerate(RUNS.items(), 3):
            values = figures.read(f"imdb/{run}/{cell}/val_{measure}")
            lines += [Line(f"Validation, {title}", values, "thin", tone)] if values else []
        svgs.append(line_chart(f"{cell}: training and validation {name}", lines))
    return Picture(svgs)


def _by_epoch(figures: Figures, cell: str, result: Result | None, width: int) -> Table:
    """Every epoch of every run, one group of rows a measure."""
    groups: list[tuple[str, list[Row]]] = []
    for measure, (title, form, recorded_form) in MEASURES.items():
        mine = None if result is None else result.measures[measure]
        rows = [here_row(figures, f"imdb/{cell}/{measure}", mine, form, width)]
        for run, name in RUNS.items():
            path = f"imdb/{run}/{cell}/{measure}"
            if figures.read(path):
                rows.append(recorded_row(figures, name, path, recorded_form, width))
        path = f"imdb/{RUN_C}/{cell}"
        if figures.read(f"{path}/{measure}"):
            rows.append(_run_c(figures, path, measure, recorded_form, width))
        groups.append((title, rows))
    header = ["epoch", *map(str, range(1, width + 1))]
    return Table(f"{cell}: every epoch, here and in the recorded runs", header, groups, folded=True)


def _run_c(figures: Figures, path: str, measure: str, form: str, width: int) -> Row:
    """Run C recorded its first and last epoch only."""
    cells: list[Any] = ["–"] * width
    for k, epoch in enumerate(figures.read(f"{path}/epoch")):
        cells[epoch - 1] = figures.recorded(f"{path}/{measure}/{k}", form)
    return epoch_row("run C", cells, width)


def _glance(figures: Figures, cell: str, result: Result | None) -> Row:
    recorded = [figures.read(f"imdb/{run}/{cell}") for run in RUNS]
    said = " and ".join(f"{max(run['val_acc']):.4f} in {sum(run['seconds']):.0f} s" for run in recorded if run)
    mine = "not run" if result is None else f"{result.best:.4f} in {sum(result.measures['seconds']):.1f} s"
    return [f"{cell}(32) on reviews: best validation accuracy, time of all epochs", said, mine]
