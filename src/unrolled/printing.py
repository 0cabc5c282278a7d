"""One table as plain text, as HTML for a notebook, and for the package rich."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from unrolled.errors import require_extra


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column stands left, the others right. marked: numbers of the rows that stand out."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: Collection[int] = ()

    def to_text(self) -> str:
        """Lines with aligned columns."""
        lines = [self.header, *self.rows] if any(self.header) else list(self.rows)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [self.title] if self.title else []
        for line in lines:
            first, *others = (
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            text.append("  ".join([first, *others]).rstrip())
        return "\n".join(text)

    def to_html(self) -> str:
        """A table element; the cells are escaped."""

        def line(cells: Sequence[str], tag: str, style: str = "") -> str:
            aligned = (
                f'<{tag} style="text-align:{"right" if i else "left"}{style}">{escape(cell)}</{tag}>'
                for i, cell in enumerate(cells)
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
        return "".join([*parts, "<tbody>", *rows, "</tbody></table>"])

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
        )
        for number, name in enumerate(self.header):
            table.add_column(text(name), justify="right" if number else "left")
        for number, row in enumerate(self.rows):
            table.add_row(*(text(cell) for cell in row), style="bold" if number in self.marked else None)
        return table


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
