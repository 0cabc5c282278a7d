"""unrolled chapter: the teaching chapter replayed on real data, in one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unrolled.cli import options as o
from unrolled.cli.options import say


def chapter(
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML page to write.")] = Path("chapter.html"),
    epochs: Annotated[int, typer.Option(help="Of the models on film reviews.", min=1)] = 10,
    only: Annotated[
        list[str] | None, typer.Option(help="A section; may be given several times. Default: all of them.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="A folder with the chapter's data files.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights and shuffling.", min=0)] = 1,
    threads: o.Threads = None,
    quiet: o.Quiet = False,
) -> None:
    """Replay the teaching chapter on recurrent networks: every recorded number beside ours, in one HTML page.

    The loop in NumPy, the summaries, SimpleRNN, LSTM and GRU on film reviews, the networks computed by hand, and the
    airline tweets. Data that is not at hand is named, with where to put it.

    ```
    unrolled chapter
    unrolled chapter --epochs 3 --only toys --only loop -o short.html
    ```
    """
    from unrolled.chapter import replay

    o.set_threads(threads)
    found = replay(output, epochs=epochs, data=data, progress=not quiet, only=only, seed=seed)
    if quiet:
        say(f"Page: {found.path}, after {found.seconds:.0f} s")
