"""Tables for a terminal and for a notebook."""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence

MOST_ROWS, MOST_COLUMNS = 40, 12
STYLE = "border-collapse:collapse;font-variant-numeric:tabular-nums"


def show_number(value: object) -> str:
    """Four digits that matter; small and large numbers with an exponent."""
    number = float(value)  # type: ignore[arg-type]
    if math.isnan(number):
        return "·"
    if number == 0:
        return "0"
    return f"{number:.4f}" if 0.001 <= abs(number) < 10_000 else f"{number:.2e}"


def text_width(text: str) -> int:
    """Columns of a terminal that a text takes: two for a Chinese character, none for a mark."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


class Table:
    """A title, a header and rows of text; long ones are cut in the middle when shown.

    Attributes: title, header, rows, notes (lines below).
    """

    def __init__(
        self, title: str, header: Sequence[str], rows: Iterable[Sequence[str]], notes: Sequence[str] = ()
    ) -> None:
        self.title, self.header, self.notes = title, list(header), list(notes)
        self.rows = [list(row) for row in rows]

    def _shown(self) -> list[list[str]]:
        rows = [self.header, *self.rows]
        if len(rows[0]) > MOST_COLUMNS:
            rows = [[*row[: MOST_COLUMNS - 2], "…", row[-1]] for row in rows]
        if len(rows) - 1 > MOST_ROWS:
            half = MOST_ROWS // 2
            gap = [f"… {len(rows) - 1 - 2 * half} rows", *[""] * (len(rows[0]) - 1)]
            rows = [*rows[: 1 + half], gap, *rows[-half:]]
        return rows

    def __str__(self) -> str:
        rows = self._shown()
        widths = [max(text_width(row[k]) for row in rows) for k in range(len(rows[0]))]
        numeric = [all(_is_number(row[k]) for row in rows[1:]) for k in range(len(rows[0]))]

        def line(row: list[str]) -> str:
            cells = []
            for text, width, right in zip(row, widths, numeric, strict=True):
                blank = " " * (width - text_width(text))
                cells.append(blank + text if right else text + blank)
            return "  ".join(cells).rstrip()

        rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join(
            [*([self.title] if self.title else []), line(rows[0]), rule, *map(line, rows[1:]), *self.notes]
        )

    def __repr__(self) -> str:
        return str(self)

    def to_html(self) -> str:
        """A table for a notebook."""
        rows = self._shown()
        head = "".join(f"<th style='text-align:left'>{html.escape(cell)}</th>" for cell in rows[0])
        body = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in rows[1:]
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        title = f"<caption style='text-align:left'>{html.escape(self.title)}</caption>" if self.title else ""
        return f"<table style='{STYLE}'>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"

    _repr_html_ = to_html


_NUMBER = re.compile(r"[+−-]?[\d.,]+(e[+-]\d+)?%?|·|….*|")


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None
