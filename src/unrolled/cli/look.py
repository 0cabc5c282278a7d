"""unrolled summary and plot: what is in a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from unrolled.cli import options as o
from unrolled.cli.judging import HEADER, cells
from unrolled.cli.options import say
from unrolled.printing import Table


def summary(model: o.Model) -> None:
    """Show a model: what it learned from, its layers, its options and its figures.

    ```
    unrolled summary model
    ```
    """
    classifier = o.load_classifier(model)
    report = classifier.report_
    classes = classifier.classes_.tolist()
    say(f"{model}: {type(classifier).__name__}, {len(classes)} classes: {', '.join(map(repr, classes[:20]))}")
    say(f"Words: {len(classifier.vectorizer_.vocabulary.words):,} known")
    if "data" in report:
        data = report["data"]
        judged = f"judged by {data['test_file']}" if data["test_file"] else f"{data['test_size']:.0%} held out to judge"
        columns = f'columns "{data["text"]}" and "{data["label"]}"'
        say(f"Learned from: {data['file']}, {columns}, {data['rows']:,} rows; {judged}")
    stopped = ", stopped by Ctrl-C" if classifier.interrupted_ else ""
    epochs = f"{classifier.n_iter_} of at most {classifier.max_epochs_} epochs"
    say(f"Training: {epochs} in {classifier.seconds_:.1f} s{stopped}")
    say(f"Options: {show_options(classifier)}\n")
    classifier.model_.summary()
    if "figures" in report:
        say()
        o.show_table(figures(report["figures"]))


def show_options(classifier: Any) -> str:
    """Arguments that differ from the class's own."""
    own = type(classifier)().get_params()
    changed = {name: value for name, value in classifier.get_params().items() if value != own[name]}
    return ", ".join(f"{name}={value!r}" for name, value in changed.items()) or "all as by default"


def figures(found: dict[str, Any]) -> Table:
    """The figures that were kept with the model."""
    lines = [[name, *cells(one)] for name, one in found.items()]
    rows = next(iter(found.values()))["rows"]
    return Table(f"On {rows:,} rows that it did not learn from", ["", *HEADER], lines)


def plot(
    model: o.Model,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The picture; its ending says the format. Default: MODEL.curves.png."),
    ] = None,
) -> None:
    """Draw the curves of a model's training from the history in its file.

    ```
    unrolled plot model
    unrolled plot model -o curves.svg
    ```
    """
    from unrolled.plotting import plot_history

    classifier = o.load_classifier(model)
    if not classifier.n_iter_:
        raise ValueError(f"{model}: training stopped before the first epoch was over, so there is nothing to draw.")
    output = output or model.with_name(f"{model.name}.curves.png")
    plot_history(classifier.history_, output)
    say(f"Curves of {classifier.n_iter_} epochs: {output}")
