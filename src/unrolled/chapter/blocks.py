"""What a section of the page is made of, and the two sets of figures that it compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unrolled import datasets


@dataclass(frozen=True)
class Figure:
    """A number as the page shows it. source: "recorded" or "here"; path: where that set holds it, "a/b/3"."""

    text: str
    source: str = ""
    path: str = ""


Cell = str | Figure
Row = Sequence[Cell]


class Figures:
    """What published runs recorded, and what this run found, both by path: "imdb/run_a/LSTM/val_acc/3"."""

    def __init__(self) -> None:
        self.published: dict[str, Any] = datasets.recorded()
        self.ours: dict[str, Any] = {}

    def read(self, path: str) -> Any:
        """The recorded figure of a path; None if the published runs have none there."""
        found: Any = self.published
        for key in path.split("/"):
            if isinstance(found, Mapping):
                found = found.get(key)
            elif isinstance(found, Sequence) and not isinstance(found, str):
                found = found[int(key)] if int(key) < len(found) else None
            else:
                return None
        return found

    def recorded(self, path: str, form: str = "") -> Figure:
        """A recorded figure to show; a dash where there is none."""
        value = self.read(path)
        return Figure("–") if value is None else Figure(show(value, form), "recorded", path)

    def here(self, path: str, value: Any, form: str = "") -> Figure:
        """Keep a figure of ours and show it; None, which is not kept, is a figure that this run did not come to."""
        if value is None:
            return Figure("not run")
        self.ours[path] = value
        return Figure(show(value, form), "here", path)


def show(value: Any, form: str = "") -> str:
    """A value as text: by `form` (as in format()), or numbers in full and tuples like (None, 32)."""
    if form:
        return format(value, form)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.8g}" if isinstance(value, float) else str(value)


@dataclass
class Text:
    """A paragraph; `code` in backticks."""

    text: str


@dataclass
class Note:
    """A paragraph that a reader must not miss: what is absent, what was used instead."""

    text: str


@dataclass
class Code:
    """Lines as they were run or printed."""

    text: str
    caption: str = ""


@dataclass
class Table:
    """Rows below a header; the first cell of a row names it. groups: (title, rows), the title "" for none.

    folded: shown only when the reader opens it.
    """

    caption: str
    header: Sequence[str]
    groups: list[tuple[str, list[Row]]]
    folded: bool = False


@dataclass
class Picture:
    """Charts side by side, each a finished SVG element."""

    svgs: list[str]


Block = Text | Note | Code | Table | Picture


@dataclass
class Section:
    """One part of the chapter. glance: rows (what, recorded, here) for the table at the top of the page."""

    key: str
    title: str
    blocks: list[Block] = field(default_factory=list)
    glance: list[Row] = field(default_factory=list)

    def add(self, *blocks: Block) -> None:
        """Append blocks in reading order."""
        self.blocks.extend(blocks)
