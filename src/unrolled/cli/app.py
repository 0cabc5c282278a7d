"""All commands, in the order in which help shows them."""

from __future__ import annotations

from typing import Annotated

import typer

from unrolled import __version__
from unrolled.cli.bench import bench
from unrolled.cli.chapter import chapter
from unrolled.cli.compare import compare
from unrolled.cli.evaluate import evaluate
from unrolled.cli.look import plot, summary
from unrolled.cli.predict import predict
from unrolled.cli.trace import trace
from unrolled.cli.train import train

HELP = """Recurrent networks on texts, from the command line.

From a file of labelled texts to a classifier, in three lines:

```
unrolled train reviews.csv -o model
unrolled predict model "what a film"
unrolled evaluate model other.csv
```

Every command tells more, with examples: unrolled train --help"""

app = typer.Typer(
    name="unrolled",
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(asked: bool) -> None:
    """Print the version and leave."""
    if asked:
        typer.echo(f"unrolled {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the command itself."""


for command in (train, evaluate, predict, summary, plot, compare, trace, bench, chapter):
    app.command()(command)
