"""Which column holds the texts and which the labels: named by the user, or guessed where it is obvious."""

from __future__ import annotations

from math import isnan
from typing import Any

from unrolled.errors import TableError, closest
from unrolled.tables.reading import Table

TEXT_NAMES = ("text", "review", "tweet", "comment", "sentence", "message", "content", "body", "document", "title")
LABEL_NAMES = ("label", "sentiment", "class", "category", "target", "polarity", "topic", "intent", "stance")
MISSING = frozenset(("", "nan", "NaN", "NAN", "NA", "N/A", "#N/A", "null", "NULL", "<NA>"))
SAMPLE = 2000  # rows that a guess looks at, spread over the file
MOSTLY = 0.9  # of a column of texts are texts; what is not is told by its row
MOST_CLASSES = 50
MOST_NAMED = 6  # columns that a message tells about


def is_missing(value: Any) -> bool:
    """None, NaN, and what tables write for it: nothing, blanks, "nan", "NA", "null" and their like."""
    if isinstance(value, str):
        return value in MISSING or value.strip() in MISSING
    return value is None or (isinstance(value, float) and isnan(value))


def find_column(table: Table, asked: str | None, what: str) -> str | None:
    """The column that the user asked for, by name; None if no name was given.

    Raises: TableError that lists the columns.
    """
    if asked is None or asked in table.columns:
        return asked
    same = [name for name in table.columns if name.casefold() == asked.casefold()]
    hint = f', did you mean "{same[0]}"?' if same else closest(asked, table.columns)
    raise TableError(
        f'{table.path}: there is no column "{asked}" for --{what}{hint.replace(chr(39), chr(34))} '
        f"There are: {show_columns(table)}."
    )


def show_columns(table: Table) -> str:
    """The names of all columns in quotes."""
    names = [f'"{name}"' for name in table.columns]
    return ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")


def guess_text(table: Table, taken: str | None = None) -> tuple[str, str]:
    """The column of texts, and why it is that one.

    Raises: TableError if none is obvious.
    """
    lengths = {}
    for name in table.columns:
        values = [value for value in _sample(table, name) if not is_missing(value)]
        texts = [value for value in values if isinstance(value, str)]
        if name == taken or not texts or len(texts) < MOSTLY * len(values):
            continue
        length = sum(map(len, texts)) / len(texts)
        links = sum(text.startswith(("http://", "https://")) and " " not in text for text in texts)
        if length >= 10 and len(set(texts)) > len(texts) / 3 and links < len(texts) / 2 and not _are_numbers(texts):
            lengths[name] = length
    ranked = sorted(lengths, key=lambda name: -lengths[name])
    named = _named(ranked, TEXT_NAMES)
    if len(ranked) == 1 or (ranked and lengths[ranked[0]] >= 2 * lengths[ranked[1]]):
        alone = "the only column of long values" if len(ranked) == 1 else "the longest values"
        return ranked[0], f"{alone}, {lengths[ranked[0]]:,.0f} characters on average"
    if len(named) == 1:
        return named[0], f"its name, and {lengths[named[0]]:,.0f} characters on average"
    found = " or ".join(f'"{name}"' for name in named or ranked)
    found = f"it could be {found}" if found else "no column holds long texts"
    raise TableError(
        f"{table.path}: which column holds the texts? Name it with --text: {found}. There are: {show_columns(table)}."
    )


def guess_label(table: Table, text: str) -> tuple[str, str]:
    """The column of labels, and why it is that one.

    Raises: TableError if none is obvious.
    """
    values = {}
    others = []
    for name, column in table.columns.items():
        if name == text:
            continue
        distinct = {str(value).strip() for value in column if not is_missing(value)}
        why = _no_labels(distinct, len(table))
        if why is None:
            values[name] = len(distinct)
        else:
            others.append(f'"{name}" has {why}')
    named = _named(list(values), LABEL_NAMES)
    if len(named) == 1:
        return named[0], f"its name, and {values[named[0]]} different values"
    if len(values) == 1:
        (name,) = values
        return name, f"the only column with few different values, {values[name]}"
    found = " or ".join(f'"{name}" ({values[name]} different values)' for name in named or values)
    if not values and len(table.columns) > 1:
        more = " ..." if len(others) > MOST_NAMED else ""
        found = f'no column beside "{text}" looks like labels: {"; ".join(others[:MOST_NAMED])}{more}'
    else:
        found = f"it could be {found}" if found else f'there is no column beside "{text}"'
    raise TableError(
        f"{table.path}: which column holds the labels? Name it with --label: {found}. There are: {show_columns(table)}."
    )


def _no_labels(distinct: set[str], rows: int) -> str | None:
    """Why these different values of a column are no labels, as far as can be seen."""
    if len(distinct) < 2:
        return f'"{distinct.pop()}" in every row, and a classifier needs two classes' if distinct else "no value"
    if len(distinct) > max(2, min(MOST_CLASSES, rows // 3)):
        return f"{len(distinct):,} different values"
    return "fractions" if any(map(_is_fraction, distinct)) else None


def _is_fraction(value: str) -> bool:
    """ "0.5", but not "1.0", which tables write for 1 where other rows of the column are empty."""
    whole, point, rest = value.partition(".")
    return bool(point) and (whole + rest).isdigit() and rest.strip("0") != ""


def _sample(table: Table, name: str) -> list[Any]:
    column = table.columns[name]
    return column[:: max(1, len(column) // SAMPLE)]


def _are_numbers(texts: list[str]) -> bool:
    return sum(text.strip().replace(".", "", 1).isdigit() for text in texts) > len(texts) / 2


def _named(names: list[str], known: tuple[str, ...]) -> list[str]:
    """Those that are called as such columns mostly are; else those whose name ends so, as "airline_sentiment"."""
    plain = {name: name.casefold().strip() for name in names}
    exact = [name for name in names if plain[name].rstrip("s") in known or plain[name] in known]
    return exact or [name for name in names if plain[name].endswith(tuple(f"{end}{w}" for w in known for end in "_- "))]
