"""unrolled train: from a file of labelled texts to a judged and saved model."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from unrolled.cli import INTERRUPTED
from unrolled.cli import options as o
from unrolled.cli.judging import Judged, baselines, judge, table
from unrolled.cli.options import say
from unrolled.cli.rows import Rows, divide, read_for_training, with_test_file

# Options whose names are arguments of TextClassifier; those that were given override the preset.
NETWORK = (
    "cell", "units", "layers", "bidirectional", "pooling", "dropout", "embedding_dropout", "word_dropout",
    "embedding_dim", "bigrams", "num_words", "min_count", "tokenizer", "maxlen", "truncating",
)  # fmt: skip
TRAINING = (
    "epochs", "batch_size", "optimizer", "learning_rate", "final_learning_rate", "weight_averaging", "networks",
    "class_weight", "early_stopping", "validation_fraction", "patience",
)  # fmt: skip
TEST_SIZE = 0.2
CELL_NAMES = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN"}


def train(
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
    preset: o.Preset = "fast",
    cell: o.Cell = None,
    units: o.Units = None,
    layers: o.Layers = None,
    bidirectional: o.Bidirectional = None,
    pooling: o.Pooling = None,
    dropout: o.Dropout = None,
    embedding_dropout: o.EmbeddingDropout = None,
    word_dropout: o.WordDropout = None,
    bigrams: o.Bigrams = None,
    embedding_dim: o.EmbeddingDim = None,
    num_words: o.NumWords = None,
    min_count: o.MinCount = None,
    tokenizer: o.Tokenizer = None,
    maxlen: o.Maxlen = None,
    truncating: o.Truncating = None,
    epochs: o.Epochs = None,
    batch_size: o.BatchSize = None,
    optimizer: o.Optimizer = None,
    learning_rate: o.LearningRate = None,
    final_learning_rate: o.FinalLearningRate = None,
    networks: o.Networks = None,
    weight_averaging: o.WeightAveraging = None,
    class_weight: o.ClassWeight = None,
    early_stopping: o.EarlyStopping = None,
    validation_fraction: o.ValidationFraction = None,
    patience: o.Patience = None,
    seed: o.Seed = None,
    threads: o.Threads = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Go on with this model: the epochs that Ctrl-C left, or as many again.", rich_help_panel=o.TRAINING
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file of the model to write.", rich_help_panel=o.OUTPUT)
    ] = Path("model"),
    no_baseline: Annotated[
        bool, typer.Option("--no-baseline", help="Skip the logistic regression.", rich_help_panel=o.OUTPUT)
    ] = False,
    no_plots: Annotated[bool, typer.Option("--no-plots", help="Write no pictures.", rich_help_panel=o.OUTPUT)] = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a classifier of texts, and say how good it is.

    The rows are split (repeated texts stay on one side), a recurrent network learns from one part and is judged by
    the other, beside a TF-IDF logistic regression and the most frequent class. The model file has all that predicting
    needs.

    ```
    unrolled train reviews.csv
    unrolled train reviews.csv --text review --label sentiment -o model
    unrolled train train.jsonl.gz --test test.jsonl.gz --preset best
    unrolled train tweets.tsv --cell gru --units 64 --bidirectional --epochs 5
    unrolled train reviews.csv --resume model -o model    # after Ctrl-C
    ```
    """
    given = locals()
    o.set_threads(threads)
    check_output(output)
    classifier = start_again(resume, given) if resume else new_classifier(given)
    saved = False
    try:
        rows = read_rows(file, given, classifier)
        fit(classifier, rows, quiet)
        classifier.save(output)
        saved = True
        if classifier.interrupted_:
            tell_how_to_go_on(classifier, output)
            raise typer.Exit(INTERRUPTED)
        report(classifier, rows, output, baseline=not no_baseline, plots=not no_plots)
    except KeyboardInterrupt:
        left = f"while the model was judged; it is in {output}" if saved else "before training; nothing is written"
        say(f"\nStopped by Ctrl-C {left}.")
        raise typer.Exit(INTERRUPTED) from None


def check_output(output: Path) -> None:
    """Whether the model can be written there, before anything is computed.

    Raises: FileNotFoundError or IsADirectoryError with what to do.
    """
    if output.is_dir():
        raise IsADirectoryError(f"--output {output} is a folder. Give the name of a file, such as {output / 'model'}.")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"--output {output}: there is no folder {output.parent}. Make it first.")


def new_classifier(given: Mapping[str, Any]) -> Any:
    """A TextClassifier with the preset's options, but for those that were given."""
    from unrolled.classifiers import TextClassifier

    chosen = o.classifier_options(given, (*NETWORK, *TRAINING))
    classifier = TextClassifier.from_preset(given["preset"], **chosen, random_state=given["seed"] or 0)
    classifier.report_ = {}
    return classifier


def start_again(model: Path, given: Mapping[str, Any]) -> Any:
    """The classifier in a file, ready to go on; options of training may change, those of the network may not.

    Raises: ValueError naming an option that says otherwise than the file.
    """
    classifier = o.load_classifier(model)
    for name, value in o.classifier_options(given, NETWORK).items():
        if value != getattr(classifier, name):
            option = "--" + name.replace("_", "-")
            raise ValueError(
                f"--resume {model} goes on with the network in that file, whose {option} is "
                f"{getattr(classifier, name)}, got {value}. Leave the option out, or train anew without "
                "--resume."
            )
    classifier.set_params(**o.classifier_options(given, TRAINING), warm_start=True)
    if given["seed"] is not None:
        classifier.set_params(random_state=given["seed"])
    return classifier


def read_rows(file: Path, given: Mapping[str, Any], classifier: Any) -> Rows:
    """Rows to learn from and to judge by; a model that goes on is judged by the rows that it has not seen."""
    data = read_for_training(file, given)
    before = classifier.report_.get("data", {})
    seed = int(classifier.random_state or 0)
    if given["test"] is not None:
        rows = with_test_file(data, given["test"], given)
        size = None
    else:
        size = given["test_size"] or before.get("test_size") or TEST_SIZE
        rows = divide(data, size, seed)
    about = {"file": str(file), "text": data.column, "label": data.label_column, "rows": len(data), "seed": seed}
    about |= {"test_file": None if given["test"] is None else str(given["test"]), "test_size": size}
    if changed := [name for name in ("rows", "seed", "test_size") if name in before and before[name] != about[name]]:
        names = " and ".join(f"{name} {before[name]}, now {about[name]}" for name in changed)
        say(f"  Not the split of before ({names}): rows to judge by may have been learned from.")
    classifier.report_ = {"data": about}
    return rows


def fit(classifier: Any, rows: Rows, quiet: bool) -> None:
    """Train, and say what and how long."""
    from unrolled.progress import ProgressLogger

    classifier.verbose = 0 if quiet else 1
    before = classifier.n_iter_ if classifier.warm_start else 0
    after = f", after {count_epochs(before)}" if before else ""
    say(f"Training {describe(classifier)} on {len(rows.texts):,} texts{after}.")
    classifier.fit(rows.texts, rows.labels, callbacks=[ProgressLogger("texts")])
    classifier.set_params(warm_start=False, verbose=0)
    if silent := classifier.wordless_:
        shown = json.dumps(rows.texts[silent[0]][:40], ensure_ascii=False)
        which = "1 text that was learned from has" if len(silent) == 1 else f"{len(silent):,} texts learned from have"
        say(f"{which} no word, such as {shown}: all such texts get the same answer.")
    best = classifier.validation_
    kept = "" if best is None or "epoch" not in best else f"; kept epoch {best['epoch']}, the best on {best['rows']:,}"
    kept += " of them held out" if kept else ""
    trained = count_epochs(classifier.n_iter_) if classifier.networks == 1 else f"{len(classifier.members_)} networks"
    say(f"Trained {trained} in {classifier.seconds_:.1f} s{kept}.")


def count_epochs(number: int) -> str:
    """ "1 epoch", "3 epochs"."""
    return f"{number} epoch{'s' * (number != 1)}"


def describe(classifier: Any) -> str:
    """The network in a few words: "2 bidirectional LSTM(32) with max pooling"."""
    name = f"{CELL_NAMES[classifier.cell]}({classifier.units})"
    name = f"bidirectional {name}" if classifier.bidirectional else name
    name = f"{classifier.layers} {name}" if classifier.layers > 1 else name
    name = f"{name} with {classifier.pooling} pooling" if classifier.pooling else name
    return f"{classifier.networks} networks of {name}" if classifier.networks > 1 else name


def tell_how_to_go_on(classifier: Any, output: Path) -> None:
    """What Ctrl-C left, and the command that goes on."""
    arguments = sys.argv[1:]
    if "--resume" in arguments:
        place = arguments.index("--resume")
        del arguments[place : place + 2]
    command = shlex.join(["unrolled", *arguments, "--resume", str(output)])
    done, networks = classifier.members_[-1].epochs, classifier.networks
    which = f" of network {len(classifier.members_)} of {networks}" if networks > 1 else ""
    say(
        f"Stopped by Ctrl-C after {done} of {count_epochs(classifier.max_epochs_)}{which}. "
        f"{output} holds the model so far, and it can be used.\n"
        f"To go on, with epoch {done + 1} from its beginning: {command}"
    )


def report(classifier: Any, rows: Rows, output: Path, *, baseline: bool, plots: bool) -> None:
    """Judge the model beside the baselines, and write the figures and pictures."""
    from unrolled import _native
    from unrolled.baselines import LOGISTIC
    from unrolled.baselines import compare as compare_predictions

    classes = classifier.classes_.tolist()
    name = describe(classifier)
    judged = [
        judge(name, lambda: classifier.predict_proba(rows.test_texts), rows.test_labels, classes, classifier.seconds_)
    ]
    _native.drop_buffers()  # the baseline needs the memory
    judged += baselines(rows, classes, classifier.vectorizer_.tokenize if baseline else None)
    where = "of the test file" if rows.given else "held out"
    say()
    o.show_table(table(f"On {len(rows.test_labels):,} rows {where}", judged))
    if baseline:
        both = (judged[0].probabilities, judged[1].probabilities)
        say(f"\n{compare_predictions(rows.test_labels, *both, classes, names=('the network', LOGISTIC))}")
    for part in judged[0].evaluation.tables()[1:]:
        say()
        o.show_table(part)
    classifier.report_ |= {"figures": {one.name: one.evaluation.to_dict() for one in judged}}
    classifier.save(output)
    say(f"\nModel: {output} ({output.stat().st_size / 1e6:.1f} MB)")
    if plots:
        write_pictures(classifier, rows, judged[0], output)
    say(f'Use it: unrolled predict {shlex.quote(str(output))} "a text"')


def write_pictures(classifier: Any, rows: Rows, judged: Judged, output: Path) -> None:
    """The curves, and the report on the rows judged by, beside the model."""
    from unrolled.plotting import plot_history, plot_report

    if classifier.n_iter_:
        curves = output.with_name(f"{output.name}.curves.png")
        plot_history(classifier.history_, curves)
        say(f"Curves: {curves}")
    picture = output.with_name(f"{output.name}.report.png")
    words = [len(classifier.vectorizer_.tokenize(text)) for text in rows.test_texts]
    plot_report(
        rows.test_labels,
        judged.probabilities,
        classifier.classes_.tolist(),
        history=classifier.history_,
        lengths=words,
        evaluation=judged.evaluation,
        path=picture,
    )
    say(f"Report: {picture}")
