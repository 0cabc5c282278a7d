"""Tables as plain text, as HTML for a notebook, and for the package rich; and how numbers are written in them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np

from unrolled.errors import require_extra

MOST_ROWS, MOST_COLUMNS = 40, 12  # of a table that shows itself


@dataclass(frozen=True, repr=False)
class Table:
    """Cells as text; columns of numbers stand right, but for the first one. notes: lines below.

    marked: numbers of the rows that stand out. Printed, or as the last line of a notebook's cell, a long table is cut
    in the middle; to_text, to_html and to_rich show all of it.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: Collection[int] = ()
    notes: Sequence[str] = ()

    def cut(self) -> Table:
        """The same with at most MOST_ROWS rows and MOST_COLUMNS columns: the first and the last ones."""
        lines = [self.header, *self.rows]
        if len(self.header) > MOST_COLUMNS:
            lines = [[*line[: MOST_COLUMNS - 2], "…", line[-1]] for line in lines]
        header, *rows = lines
        if len(rows) <= MOST_ROWS + 1:  # a line that says that one is missing takes its room
            return replace(self, header=header, rows=rows)
        half = MOST_ROWS // 2
        gap = [f"… {len(rows) - 2 * half} rows", *[""] * (len(header) - 1)]
        gone = len(rows) - 2 * half
        marked = [k if k < half else k - gone + 1 for k in self.marked if not half <= k < half + gone]
        return replace(self, header=header, rows=[*rows[:half], gap, *rows[-half:]], marked=marked)

    def _right(self) -> list[bool]:
        """Which columns stand right."""
        columns = list(zip(*self.rows, strict=True)) or [()] * len(self.header)
        return [number > 0 and all(map(_is_number, column)) for number, column in enumerate(columns)]

    def to_text(self) -> str:
        """Lines with aligned columns."""
        lines = [self.header, *self.rows] if any(self.header) else list(self.rows)
        widths = [max(map(text_width, column)) for column in zip(*lines, strict=True)]
        text = [self.title] if self.title else []
        for line in lines:
            cells = []
            for cell, width, right in zip(line, widths, self._right(), strict=True):
                blank = " " * (width - text_width(cell))
                cells.append(blank + cell if right else cell + blank)
            text.append("  ".join(cells).rstrip())
        return "\n".join([*text, *self.notes])

    def to_html(self) -> str:
        """A table element and a paragraph a note; the cells are escaped."""
        sides = ["right" if right else "left" for right in self._right()]

        def line(cells: Sequence[str], tag: str, style: str = "") -> str:
            aligned = (
                f'<{tag} style="text-align:{side}{style}">{escape(cell)}</{tag}>'
                for cell, side in zip(cells, sides, strict=True)
            )
            return f"<tr>{''.join(aligned)}</tr>"

        parts = ["<table>"]
        if self.title:
            parts.append(f'<caption style="text-align:left;font-weight:bold">{escape(self.title)}</caption>')
        if any(self.header):
            parts.append(f"<thead>{line(self.header, 'th')}</thead>")
        rows = (
            line(row, "td", ";font-weight:bold" if number in self.marked else "")
            for number, row in enumerate(self.rows)
        )
        notes = (f"<p>{escape(note)}</p>" for note in self.notes)
        return "".join([*parts, "<tbody>", *rows, "</tbody></table>", *notes])

    def __str__(self) -> str:
        return self.cut().to_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.cut().to_html()

    def to_rich(self) -> Any:
        """A rich.table.Table.

        Raises: MissingExtraError if rich is not installed.
        """
        rich = require_extra("rich.table", "progress", "A table in colour")
        text = require_extra("rich.text", "progress", "A table in colour").Text
        box = require_extra("rich.box", "progress", "A table in colour")
        table = rich.Table(
            title=self.title or None,
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            show_header=any(self.header),
            pad_edge=False,
            caption="\n".join(self.notes) or None,
            caption_justify="left",
        )
        for name, right in zip(self.header, self._right(), strict=True):
            table.add_column(text(name), justify="right" if right else "left")
        for number, row in enumerate(self.rows):
            table.add_row(*(text(cell) for cell in row), style="bold" if number in self.marked else None)
        return table


class Shown:
    """What shows itself as its table: printed, and in a notebook."""

    def table(self) -> Table:
        """A Table."""
        raise NotImplementedError(f"{type(self).__name__} must define table()")

    def __str__(self) -> str:
        return str(self.table())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def _is_number(cell: str) -> bool:
    """Whether a cell belongs to a column of numbers: it has a digit, or stands for what is not there."""
    return cell in ("", "?", "·", "nan", "inf", "-inf") or cell.startswith("…") or any(c.isdigit() for c in cell)


def text_width(text: str) -> int:
    """Columns of a terminal that a text takes: two for a Chinese character, none for a mark."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def show_number(value: object) -> str:
    """Four digits that matter; small and large numbers with an exponent."""
    number = float(value)  # type: ignore[arg-type]
    if math.isnan(number):
        return "·"
    if number == 0:
        return "0"
    return f"{number:.4f}" if 0.001 <= abs(number) < 10_000 else f"{number:.2e}"


def history_table(history: Mapping[str, Sequence[Any]], epochs: Sequence[int] | None = None) -> Table:
    """A line an epoch; the one with the least validation loss stands out.

    Args: history: {"loss": [...], ...}; epochs: their numbers from 0, by default all from the first.
    """
    count = max((len(values) for values in history.values()), default=0)
    numbers = epochs if epochs is not None and len(epochs) == count else range(count)
    columns = {name: _by_epoch(values, count) for name, values in history.items()}
    rows = [
        [str(number + 1), *(show_value(column[place]) if place in column else "" for column in columns.values())]
        for place, number in enumerate(numbers)
    ]
    losses = {place: loss for place, loss in columns.get("val_loss", {}).items() if np.isfinite(loss)}
    best = [min(losses, key=lambda place: losses[place])] if losses else []
    return Table("", ["epoch", *columns], rows, best)


def _by_epoch(values: Sequence[Any], count: int) -> dict[int, Any]:
    """Values by the place of their epoch: all of them, or every so many where validation_freq divides their number."""
    every = count // len(values) if len(values) else 1
    return {number * every + every - 1: value for number, value in enumerate(values)}


def show_value(value: Any) -> str:
    """A number with four digits, a small one with a power of ten; a list of numbers in brackets."""
    if np.ndim(value):
        return f"[{' '.join(map(show_value, value))}]"
    return f"{value:.4f}" if value == 0 or not abs(value) < 1e-3 else f"{value:.4e}"
