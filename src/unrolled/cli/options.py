"""Options that several commands share, each written down once, and what they stand for."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from unrolled.errors import FileFormatError
from unrolled.printing import Table

DATA, NETWORK, TRAINING, OUTPUT = "The file", "The network", "Training", "Output"

File = Annotated[
    Path, typer.Argument(help="Labelled texts: CSV, TSV, JSON lines or Parquet, packed (gz, bz2, xz, zst) or not.")
]
Model = Annotated[Path, typer.Argument(help="A model that unrolled train wrote.")]

Text = Annotated[
    str | None, typer.Option(help="Column of the texts; guessed if only one can be meant.", rich_help_panel=DATA)
]
Label = Annotated[
    str | None, typer.Option(help="Column of the labels; guessed if only one can be meant.", rich_help_panel=DATA)
]
Encoding = Annotated[
    str | None, typer.Option(help="Encoding of the file, such as cp1252. Default: UTF-8.", rich_help_panel=DATA)
]
Delimiter = Annotated[
    str | None, typer.Option(help="Sign between values of CSV. Default: as in the first line.", rich_help_panel=DATA)
]
NoQuotes = Annotated[
    bool, typer.Option("--no-quotes", help="Quote signs are ordinary characters.", rich_help_panel=DATA)
]
NoHeader = Annotated[
    bool,
    typer.Option(
        "--no-header", help="The first line is a row already; columns are called 1, 2, ...", rich_help_panel=DATA
    ),
]
SkipBadRows = Annotated[
    bool,
    typer.Option(
        "--skip-bad-rows",
        help="Leave out, and count, rows that cannot be read or lack a text or label; else they stop the command.",
        rich_help_panel=DATA,
    ),
]
SkipRareClasses = Annotated[
    bool,
    typer.Option(
        "--skip-rare-classes", help="Leave out, and count, rows whose class has one row alone.", rich_help_panel=DATA
    ),
]
TestFile = Annotated[
    Path | None,
    typer.Option(help="Judge by the rows of this file rather than hold some out.", rich_help_panel=DATA),
]
TestSize = Annotated[
    float | None,
    typer.Option(help="Share of the rows held out to judge the model. Default: 0.2.", min=0.01, max=0.9,
                 rich_help_panel=DATA),
]  # fmt: skip

Preset = Annotated[
    Literal["fast", "best"],
    typer.Option(help="Where options that are not given come from: fast in seconds, best in minutes.",
                 rich_help_panel=NETWORK),
]  # fmt: skip
Cell = Annotated[
    Literal["lstm", "gru", "simple_rnn"] | None, typer.Option(help="The recurrent cell.", rich_help_panel=NETWORK)
]
Units = Annotated[
    int | None, typer.Option(help="Size of the state of each recurrent layer.", min=1, rich_help_panel=NETWORK)
]
Layers = Annotated[int | None, typer.Option(help="Recurrent layers above one another.", min=1, rich_help_panel=NETWORK)]
Bidirectional = Annotated[
    bool | None,
    typer.Option("--bidirectional/--no-bidirectional", help="Read each text in both directions, or in one.",
                 rich_help_panel=NETWORK),
]  # fmt: skip
Pooling = Annotated[
    Literal["last", "max", "mean", "max+mean"] | None,
    typer.Option(help="What the classes are read from: the last state, or all of them.", rich_help_panel=NETWORK),
]
MinCount = Annotated[
    int | None, typer.Option(help="Known words occur so often at least.", min=1, rich_help_panel=NETWORK)
]
Tokenizer = Annotated[
    Literal["words", "cookbook"] | None,
    typer.Option(help="words: any language; cookbook: ASCII letters and digits alone.", rich_help_panel=NETWORK),
]
Truncating = Annotated[
    Literal["middle", "pre", "post"] | None,
    typer.Option(help="Of longer texts drop the middle, the beginning (pre) or the end (post).",
                 rich_help_panel=NETWORK),
]  # fmt: skip
Dropout = Annotated[
    float | None, typer.Option(help="Share of outputs set to 0 in training.", min=0, max=0.99, rich_help_panel=NETWORK)
]
EmbeddingDropout = Annotated[
    float | None,
    typer.Option(
        help="Share of words whose vectors are set to 0 in training.", min=0, max=0.99, rich_help_panel=NETWORK
    ),
]
WordDropout = Annotated[
    float | None,
    typer.Option(help="Share of places whose word is made unknown in training.", min=0, max=0.99,
                 rich_help_panel=NETWORK),
]  # fmt: skip
Bigrams = Annotated[
    int | None,
    typer.Option(help="So many vectors for pairs of neighbouring words; 0, none.", min=0, rich_help_panel=NETWORK),
]
EmbeddingDim = Annotated[
    int | None, typer.Option(help="Numbers that stand for a word.", min=1, rich_help_panel=NETWORK)
]
NumWords = Annotated[
    int | None, typer.Option(help="So many of the most frequent words are known.", min=1, rich_help_panel=NETWORK)
]
Maxlen = Annotated[int | None, typer.Option(help="Words of a text that are read.", min=1, rich_help_panel=NETWORK)]

Epochs = Annotated[int | None, typer.Option(help="Passes over the texts, at most.", min=1, rich_help_panel=TRAINING)]
BatchSize = Annotated[int | None, typer.Option(help="Texts a step.", min=1, rich_help_panel=TRAINING)]
Optimizer = Annotated[
    Literal["adam", "adamw", "rmsprop", "sgd"] | None,
    typer.Option(help="How steps are taken.", rich_help_panel=TRAINING),
]
WeightAveraging = Annotated[
    float | None,
    typer.Option(help="Use the mean of the weights over about so many epochs; 0, none.", min=0,
                 rich_help_panel=TRAINING),
]  # fmt: skip
FinalLearningRate = Annotated[
    float | None,
    typer.Option(help="The share of it that is left at the end.", min=0, max=1, rich_help_panel=TRAINING),
]
Networks = Annotated[
    int | None, typer.Option(help="So many networks, whose answers are averaged.", min=1, rich_help_panel=TRAINING)
]
ClassWeight = Annotated[
    Literal["balanced"] | None, typer.Option(help="balanced: rare classes count as much.", rich_help_panel=TRAINING)
]
EarlyStopping = Annotated[
    bool | None,
    typer.Option("--early-stopping/--no-early-stopping", rich_help_panel=TRAINING,
                 help="Stop when rows held out within training are judged no better, and keep the best epoch."),
]  # fmt: skip
ValidationFraction = Annotated[
    float | None, typer.Option(help="Share held out for that.", min=0.001, max=0.9, rich_help_panel=TRAINING)
]
Patience = Annotated[
    int | None, typer.Option(help="Epochs without improvement before it stops.", min=1, rich_help_panel=TRAINING)
]
LearningRate = Annotated[float | None, typer.Option(help="How far a step goes.", min=0, rich_help_panel=TRAINING)]
Seed = Annotated[
    int | None,
    typer.Option(help="Of the split, the weights and the order of texts: the same gives the same bits. Default: 0.",
                 min=0, rich_help_panel=TRAINING),
]  # fmt: skip
Threads = Annotated[
    int | None, typer.Option(help="Threads. Default: one for each core.", min=1, rich_help_panel=TRAINING)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.", rich_help_panel=OUTPUT)]


def reading(options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of tables.read_table among a command's options."""
    return {
        "encoding": options["encoding"],
        "delimiter": "\t" if options["delimiter"] in ("\\t", "tab") else options["delimiter"],
        "quotes": not options["no_quotes"],
        "header": not options["no_header"],
        "skip_bad_rows": options["skip_bad_rows"],
    }


def classifier_options(given: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The arguments of TextClassifier that were given, by their names there."""
    chosen = {name: given[name] for name in names if given[name] is not None}
    if chosen.get("pooling") == "last":
        chosen["pooling"] = None
    return chosen


def set_threads(threads: int | None) -> None:
    """Obey --threads."""
    if threads is not None:
        from unrolled import engine

        engine.set_num_threads(threads)


def load_classifier(path: Path) -> Any:
    """The TextClassifier in a file.

    Raises: FileNotFoundError or FileFormatError with what to do.
    """
    from unrolled.classifiers import TextClassifier

    if not path.exists():
        raise FileFormatError(f'There is no model "{path}". Make one: unrolled train reviews.csv -o {path}')
    return TextClassifier.load(path)


def say(text: str = "", *, aside: bool = False) -> None:
    """Print a line at once; aside: to standard error, so that results can be piped."""
    print(text, file=sys.stderr if aside else sys.stdout, flush=True)


def show_table(table: Table) -> None:
    """Print a table: with rules and weights on a terminal, else as plain text."""
    if sys.stdout.isatty():
        from rich.console import Console

        Console(highlight=False).print(table.to_rich())
    else:
        say(table.to_text())
