"""unrolled trace: what a model computes for one text, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unrolled.cli import options as o
from unrolled.cli.options import say


def trace(
    model: o.Model,
    text: Annotated[str, typer.Argument(help="The text.")],
    network: Annotated[int, typer.Option(help="Which network, where the model averages several.")] = 0,
    verify: Annotated[bool, typer.Option("--verify", help="Derive every step again with NumPy, and compare.")] = False,
    script: Annotated[
        Path | None,
        typer.Option(help="Write a NumPy script that derives the prediction without this package."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page for a browser that shows every gate, state and derivation.")
    ] = None,
    attribution: Annotated[
        bool, typer.Option("--attribution", help="Show what each word did for the prediction.")
    ] = False,
) -> None:
    """Show what a model computes for a text: the states of every step as the engine computed them, and the prediction.

    ```
    unrolled trace model "not a bad film at all"
    unrolled trace model "not a bad film at all" --attribution
    unrolled trace model "not a bad film at all" --verify --script by_hand.py
    unrolled trace model "not a bad film at all" --html trace.html
    ```
    """  # fmt: skip
    found = o.load_classifier(model).trace(text, network)
    say(str(found))
    if attribution:
        say(f"\n{found.attribution()}")
    if verify:
        report = found.verify()
        say(f"\n{report}")
        if not report.ok:
            raise typer.Exit(1)
    if script is not None:
        found.to_script(script)
        say(f"\nScript: {script}")
    if html is not None:
        found.to_html(html)
        say(f"\nPage: {html}")
