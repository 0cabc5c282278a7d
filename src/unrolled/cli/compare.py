"""unrolled compare: SimpleRNN, LSTM, GRU, two layers and both directions on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from unrolled.cli import INTERRUPTED
from unrolled.cli import options as o
from unrolled.cli.judging import Judged, baselines, judge, table
from unrolled.cli.options import say
from unrolled.cli.rows import divide, read_for_training, with_test_file
from unrolled.cli.train import TEST_SIZE, check_output
from unrolled.evaluation import LEVEL
from unrolled.plotting.style import COLOURS, GREY, check_picture, finish, new_figure, plain

CONTESTANTS: dict[str, dict[str, Any]] = {
    "SimpleRNN": {"cell": "simple_rnn", "bidirectional": False},
    "LSTM": {"cell": "lstm", "bidirectional": False},
    "GRU": {"cell": "gru", "bidirectional": False},
    "two LSTM": {"cell": "lstm", "layers": 2, "bidirectional": False},
    "bidirectional LSTM": {"cell": "lstm", "bidirectional": True},
}


def compare(
    file: o.File,
    text: o.Text = None,
    label: o.Label = None,
    test: o.TestFile = None,
    test_size: o.TestSize = None,
    skip_bad_rows: o.SkipBadRows = False,
    skip_rare_classes: o.SkipRareClasses = False,
    encoding: o.Encoding = None,
    delimiter: o.Delimiter = None,
    no_quotes: o.NoQuotes = False,
    no_header: o.NoHeader = False,
    units: o.Units = None,
    pooling: o.Pooling = None,
    dropout: o.Dropout = None,
    embedding_dim: o.EmbeddingDim = None,
    num_words: o.NumWords = None,
    maxlen: o.Maxlen = None,
    epochs: o.Epochs = None,
    batch_size: o.BatchSize = None,
    learning_rate: o.LearningRate = None,
    seed: o.Seed = None,
    threads: o.Threads = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The picture to write.", rich_help_panel=o.OUTPUT)
    ] = Path("compare.png"),
    quiet: o.Quiet = False,
) -> None:
    """Train five recurrent networks on the same split: one table and one picture.

    SimpleRNN, LSTM, GRU, two LSTM above one another and an LSTM in both directions, all else equal (the preset fast and
    your options), beside the logistic regression and the most frequent class.

    ```
    unrolled compare reviews.csv
    unrolled compare reviews.csv --text review --label sentiment --epochs 3 -o cells.png
    ```
    """
    from unrolled.classifiers import TextClassifier
    from unrolled.progress import ProgressLogger

    given = locals()
    names = ("units", "pooling", "dropout", "embedding_dim", "num_words", "maxlen", "epochs", "batch_size",
             "learning_rate")  # fmt: skip
    shared = o.classifier_options(given, names)
    o.set_threads(threads)
    check_output(output)
    check_picture(output)
    data = read_for_training(file, given)
    rows = with_test_file(data, test, given) if test else divide(data, test_size or TEST_SIZE, seed or 0)
    judged: list[Judged] = []
    histories = {}
    for number, (name, options) in enumerate(CONTESTANTS.items(), 1):
        say(f"{number} of {len(CONTESTANTS)}: {name}" + " ..." * quiet)
        classifier = TextClassifier.from_preset("fast", **(shared | options), random_state=seed or 0)
        classifier.set_params(verbose=0 if quiet else 1)
        classifier.fit(rows.texts, rows.labels, callbacks=[ProgressLogger("texts")])
        if classifier.interrupted_:
            say("Stopped by Ctrl-C.")
            raise typer.Exit(INTERRUPTED)
        classes, words = classifier.classes_.tolist(), classifier.vectorizer_
        predict = partial(classifier.predict_proba, rows.test_texts)
        judged.append(judge(name, predict, rows.test_labels, classes, classifier.seconds_))
        histories[name] = classifier.history_
    judged += baselines(rows, classes, words.tokenize)
    say()
    o.show_table(table(f"On {len(rows.test_labels):,} rows {'of the test file' if rows.given else 'held out'}", judged))
    say("\nAn interval says what another sample of rows could have given, not what another seed could.")
    draw(judged, histories, output)
    say(f"Picture: {output}")


def draw(judged: Sequence[Judged], histories: Mapping[str, Mapping[str, Sequence[float]]], path: Path) -> None:
    """Accuracy with its interval, and the validation accuracy over the epochs of those that were trained."""
    colours = dict(zip(CONTESTANTS, COLOURS, strict=False))
    figure = new_figure(columns=2)
    left, right = figure.subplots(1, 2)
    plain(left, f"Accuracy on {judged[0].evaluation.rows:,} rows, with {LEVEL} % intervals", "", "")
    for place, one in enumerate(reversed(judged)):
        colour = colours.get(one.name, GREY)
        low, high = one.evaluation.intervals["accuracy"]
        left.plot([low, high], [place, place], color=colour, linewidth=2.5, solid_capstyle="round")
        left.plot(one.evaluation.accuracy, place, "o", color=colour, markersize=8)
        left.annotate(f"{one.evaluation.accuracy:.3f}", (one.evaluation.accuracy, place), xytext=(0, 8),
                      textcoords="offset points", ha="center", color="#333333")  # fmt: skip
    left.set_yticks(range(len(judged)), [one.name for one in reversed(judged)])
    left.set_ylim(-0.6, len(judged) - 0.3)
    plain(right, "Validation accuracy by epoch", "Epoch", "")
    for name, history in histories.items():
        values = history.get("val_accuracy") or history["accuracy"]
        right.plot(range(1, len(values) + 1), values, "o-", color=colours[name], label=name, markersize=4)
    right.xaxis.get_major_locator().set_params(integer=True)
    right.legend(frameon=False)
    finish(figure, path)
