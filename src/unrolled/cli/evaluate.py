"""unrolled evaluate: a model judged by a file of labelled texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from unrolled.cli import options as o
from unrolled.cli.options import say
from unrolled.cli.rows import check_known, known_columns, read

Form = Literal["text", "json"]


def evaluate(
    model: o.Model,
    file: o.File,
    text: o.Text = None,
    label: o.Label = None,
    skip_bad_rows: o.SkipBadRows = False,
    encoding: o.Encoding = None,
    delimiter: o.Delimiter = None,
    no_quotes: o.NoQuotes = False,
    no_header: o.NoHeader = False,
    threads: o.Threads = None,
    plot: Annotated[
        Path | None, typer.Option(help="Write a picture of the judgement to this file.", rich_help_panel=o.OUTPUT)
    ] = None,
    form: Annotated[
        Form, typer.Option("--format", help="text: tables; json: one object.", rich_help_panel=o.OUTPUT)
    ] = "text",
) -> None:
    """Judge a model by labelled texts that it has not learned from.

    Accuracy, macro F1 and AUC with 95 % bootstrap intervals, precision and recall of every class, and which classes are
    mistaken for which.

    ```
    unrolled evaluate model test.csv
    unrolled evaluate model test.csv --text review --label sentiment --plot report.png
    unrolled evaluate model test.jsonl --format json > figures.json
    ```
    """
    from unrolled.evaluation import evaluate as judge

    given = locals()
    o.set_threads(threads)
    if plot is not None:
        from unrolled.plotting.style import check_picture

        check_picture(plot)
    classifier = o.load_classifier(model)
    data = read(file, given, known_columns(classifier), aside=form == "json")
    classes = [str(name) for name in classifier.classes_.tolist()]
    check_known(data, classes)
    probabilities = classifier.predict_proba(data.texts)
    found = judge(data.labels, probabilities, classes)
    if form == "json":
        say(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        for part in found.tables():
            say()
            o.show_table(part)
    if plot is not None:
        from unrolled.plotting import plot_report

        words = [len(classifier.vectorizer_.tokenize(text)) for text in data.texts]
        plot_report(data.labels, probabilities, classes, lengths=words, evaluation=found, path=plot)
        say(f"\nReport: {plot}", aside=form == "json")
