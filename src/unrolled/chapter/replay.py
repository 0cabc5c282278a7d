"""Run the sections of the chapter and write the page."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrolled.chapter import airline, ideas, imdb, loop, page, summaries, toys
from unrolled.chapter.blocks import Figures, Note, Section
from unrolled.errors import closest

SECTIONS = (loop.KEY, summaries.KEY, imdb.KEY, toys.KEY, ideas.KEY, airline.KEY)


@dataclass(frozen=True)
class Replay:
    """What replay returns. path: of the page; figures: ours by path ("imdb/LSTM/val_acc/0"); seconds: in all."""

    path: Path
    figures: dict[str, Any]
    seconds: float


def replay(
    output: str | os.PathLike[str] = "chapter.html",
    epochs: int = 10,
    data: str | os.PathLike[str] | None = None,
    progress: bool = True,
    only: Iterable[str] | None = None,
    seed: int = 1,
) -> Replay:
    """Replay the chapter "Understanding recurrent neural networks" and the cookbook's part on real data, as one page.

    Every figure that published runs recorded stands beside the one computed here, times included. A data file that is
    not at hand is named, with where to put it and what was used instead; the section then shows the recorded figures.

    Args:    output: the page to write; epochs: of the IMDB models and of SimpleRNN on tweets, the LSTMs on tweets run
             five times as many, as in the cookbook; data: a folder with imdb.npz, airline_sentiment.csv (or Kaggle's
             Tweets.csv) and english.txt (NLTK's stop words), by default $UNROLLED_HOME, else the cache folder;
             progress: say what runs; only: some of SECTIONS; seed: of weights and shuffling.
    Returns: a Replay: the page's path, our figures, the seconds it took.
    Raises:  ValueError for an unknown section or fewer than one epoch; FileNotFoundError if `data` or the folder of
             `output` does not exist; MissingExtraError if jinja2 is not installed.
    """
    wanted = _sections(only)
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"replay: expected epochs as a whole number of at least 1, got {epochs!r}.")
    folder = None if data is None else Path(data).expanduser()
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(f"replay: no folder at {folder}. Give the folder that holds the data files.")
    target = Path(output).expanduser()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"replay: no folder at {target.parent}. Make it first, or write elsewhere.")
    page.check()

    figures, verbose = Figures(), int(progress)
    start = time.perf_counter()

    def say(text: str) -> None:
        if progress:
            print(text, flush=True)

    titles = {module.KEY: module.TITLE for module in (loop, summaries, imdb, toys, ideas, airline)}
    runs: dict[str, Callable[[], Section]] = {
        loop.KEY: lambda: loop.run(figures, seed),
        summaries.KEY: lambda: summaries.run(figures),
        imdb.KEY: lambda: imdb.run(figures, folder, epochs, seed, say, verbose),
        toys.KEY: lambda: toys.run(figures, seed, say),
        ideas.KEY: lambda: ideas.run(figures),
        airline.KEY: lambda: airline.run(figures, folder, epochs, seed, say, verbose),
    }
    sections = []
    for key in wanted:
        say(f"\n{titles[key]}")
        sections.append(runs[key]())
        for block in sections[-1].blocks:
            if isinstance(block, Note):
                say(block.text)
    seconds = time.perf_counter() - start
    target.write_text(page.render(sections, epochs, seed, seconds), encoding="utf-8")
    say(f"\n{target}, in {seconds:.0f} s")
    return Replay(target, figures.ours, seconds)


def _sections(only: Iterable[str] | None) -> list[str]:
    """The wanted sections in the order of the chapter."""
    if only is None:
        return list(SECTIONS)
    names = [only] if isinstance(only, str) else list(only)
    for name in names:
        if name not in SECTIONS:
            raise ValueError(
                f"replay: unknown section {name!r}{closest(str(name), SECTIONS)} Known: {', '.join(SECTIONS)}."
            )
    return [key for key in SECTIONS if key in names]
