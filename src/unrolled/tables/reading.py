"""Tables from files: every column as a list, every row with its number and line."""

from __future__ import annotations

import csv
import io
import json
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from unrolled.errors import TableError, require_extra
from unrolled.tables.files import open_unpacked, table_format

DELIMITERS = (",", ";", "\t", "|")
SHOWN = {"\t": "a tab"}
ENCODINGS = ("cp1252", "latin-1")  # what a file that is not UTF-8 most often is
SHORT = 24  # characters; shorter values repeat, and are kept once


@dataclass
class Table:
    """Columns of a file, with the place of every row in it.

    Attributes: path; columns, lists by name, all of one length; numbers, the rows' numbers in the file, counted from 1
                without the header; lines, where each row starts, None if the format has no lines; notes, what was
                guessed, and what left out.
    """

    path: str
    columns: dict[str, list[Any]]
    numbers: array[int] = field(default_factory=lambda: array("q"))
    lines: array[int] | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.numbers)

    def place(self, row: int) -> str:
        """How errors call a row: "row 3 (line 4)"."""
        return show_place(self.numbers[row], None if self.lines is None else self.lines[row])


def show_place(number: int, line: int | None) -> str:
    """How messages call a row: "row 3 (line 4)"."""
    return f"row {number}" if line is None else f"row {number} (line {line})"


def read_table(
    path: str | os.PathLike[str],
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    quotes: bool = True,
    header: bool = True,
    skip_bad_rows: bool = False,
) -> Table:
    """All columns of a CSV, TSV, JSON lines, JSON or Parquet file, packed with gz, bz2, xz or zst or not.

    Args:    encoding: of the text, UTF-8 by default; delimiter: between values of CSV, seen from the first line by
             default; quotes: False if quote signs are ordinary characters; header: False if the first line is a row
             already, the columns are then called "1", "2", ...; skip_bad_rows: leave out, count and note rows that
             cannot be read, rather than stop at the first.
    Raises:  TableError naming the file, the row and line, and what to do. Remedies name the options of the command
             line; the arguments here are called the same.
    """
    path = Path(path)
    kind = table_format(path)
    if kind == "parquet":
        return _read_parquet(path)
    encoding = encoding or _encoding(path)
    try:
        with open_unpacked(path) as file:
            lines = io.TextIOWrapper(file, encoding=encoding, newline="" if kind in ("csv", "tsv") else None)
            if kind == "json":
                return _from_records(str(path), _json_array(path, lines), skip_bad_rows)
            if kind == "jsonl":
                return _from_records(str(path), _json_lines(lines), skip_bad_rows)
            return _read_delimited(path, lines, "\t" if kind == "tsv" else delimiter, quotes, header, skip_bad_rows)
    except UnicodeError:
        raise TableError(_wrong_encoding(path, encoding)) from None
    except LookupError:
        raise TableError(f'{path}: unknown --encoding "{encoding}". Known: utf-8, cp1252, latin-1, utf-16.') from None


# ---- encoding


def _encoding(path: Path) -> str:
    """UTF-8 unless a byte order mark says otherwise."""
    with open_unpacked(path) as file:
        start = bytes(file.read(2))
    return "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _wrong_encoding(path: Path, encoding: str) -> str:
    """What to say of the first line that is not in this encoding."""
    named = "UTF-8" if encoding.startswith("utf-8") else encoding
    if named != "UTF-8":
        return f"{path}: the file is not in the encoding {named}. Name the right one with --encoding."
    with open_unpacked(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                near = line[max(error.start - 20, 0) : error.start + 20]
                reading = near.decode(ENCODINGS[0], "replace").strip()
                return (
                    f"{path}: line {number} is not in UTF-8 (byte 0x{line[error.start]:02x} at place "
                    f"{error.start + 1}). It is often --encoding {ENCODINGS[0]}; then this place reads "
                    f"{json.dumps(reading, ensure_ascii=False)}. If that is wrong, try --encoding {ENCODINGS[1]} or "
                    "utf-16."
                )
    return f"{path}: the file is not in UTF-8. Name its encoding with --encoding."


# ---- CSV and TSV


def _read_delimited(
    path: Path, lines: IO[str], delimiter: str | None, quotes: bool, header: bool, skip_bad_rows: bool
) -> Table:
    first = lines.readline()
    if not first.strip():
        raise TableError(f"{path}: the first line is empty. Expected the names of the columns, such as: text,label")
    notes = []
    if delimiter is None:
        delimiter = _guess_delimiter(first)
        if delimiter != ",":
            notes.append(f"Values are separated by {_show(delimiter)}, as the first line shows.")
    elif len(delimiter) != 1:
        raise TableError(f'{path}: expected one character as --delimiter, got "{delimiter}".')
    table = Table(str(path), {}, array("q"), array("q"), notes)
    limit = csv.field_size_limit(2**31 - 1)  # a text may be long; an open quote is told apart below
    try:
        reader = csv.reader(
            _chain(first, lines),
            delimiter=delimiter,
            quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
            strict=True,
        )
        _fill(table, reader, header, skip_bad_rows, delimiter)
    finally:
        csv.field_size_limit(limit)
    return table


def _chain(first: str, lines: Iterable[str]) -> Iterator[str]:
    yield first
    yield from lines


def _show(delimiter: str) -> str:
    return SHOWN.get(delimiter, f'"{delimiter}"')


def _guess_delimiter(line: str) -> str:
    """The one that cuts the first line into most values; a comma if none does."""
    outside = "".join(line.split('"')[::2])
    return max(DELIMITERS, key=outside.count)


def _fill(table: Table, reader: Any, header: bool, skip_bad_rows: bool, delimiter: str) -> None:
    """Every row of a csv.reader into the table's columns."""
    assert table.lines is not None
    columns: list[list[str]] = []
    width = number = blank = 0
    bad: list[str] = []
    start = 1
    kept: dict[str, str] = {}
    try:
        for row in reader:
            if not columns:
                names = _column_names(table.path, row, header)
                columns, width = [[] for _ in row], len(row)
                table.columns = dict(zip(names, columns, strict=True))
                if header:
                    start = reader.line_num + 1
                    continue
            if not row:
                blank += 1
                start = reader.line_num + 1
                continue
            number += 1
            if len(row) == width:
                for column, value in zip(columns, row, strict=True):
                    column.append(value if len(value) > SHORT else kept.setdefault(value, value))
                table.numbers.append(number)
                table.lines.append(start)
            elif skip_bad_rows:
                bad.append(show_place(number, start))
            else:
                raise TableError(_wrong_width(table, row, width, show_place(number, start), delimiter))
            start = reader.line_num + 1
    except csv.Error as error:
        place = show_place(number + 1, start)
        raise TableError(_broken_quotes(table.path, place, start, reader.line_num, error)) from None
    if blank:
        table.notes.append(f"{blank} blank line{'s' * (blank > 1)} passed over.")
    if bad:
        table.notes.append(f"Left out {count(bad)} with more or fewer values than the {width} columns: {listed(bad)}.")


def _column_names(path: str, row: list[str], header: bool) -> list[str]:
    """Names of the columns, checked."""
    if not header:
        return [str(number) for number in range(1, len(row) + 1)]
    names = [name.strip() or f"column {number}" for number, name in enumerate(row, 1)]
    for number, name in enumerate(names, 1):
        if len(name) > 100:
            raise TableError(
                f'{path}: expected names of columns in line 1, got "{name[:40]}..." as the name of column {number}. '
                "If the first line is a row already, say --no-header and choose columns by number."
            )
        if names.count(name) > 1:
            raise TableError(f'{path}: {names.count(name)} columns are called "{name}". Give each a name of its own.')
    return names


def _wrong_width(table: Table, row: list[str], width: int, place: str, delimiter: str) -> str:
    names = ", ".join(table.columns)
    more = len(row) > width
    remedy = (
        f'A text with {_show(delimiter)} in it must stand in quotes: "..."'
        if more
        else "Perhaps the line was cut, or the text goes on in the next line and must stand in quotes"
    )
    return (
        f"{table.path}: {place} has {len(row)} value{'s' * (len(row) != 1)}, but there are {width} columns ({names}). "
        f"{remedy}. Correct it, or leave such rows out with --skip-bad-rows."
    )


def _broken_quotes(path: str, place: str, start: int, end: int, error: csv.Error) -> str:
    if "field larger" in str(error):
        return f"{path}: {place}: {error}."
    if "unexpected end" in str(error):
        problem = f"a quoted value that begins there is never closed, up to the last line, {end}"
    else:
        closing = f" in line {end}" if end > start else ""
        problem = f"behind the closing quote of a value{closing} there is more text"
    return (
        f"{path}: {place}: quotes are not balanced: {problem}. "
        'Write a quote within a quoted text twice (""), or, if quotes mean nothing in this file, say --no-quotes.'
    )


def count(places: Sized) -> str:
    """ "1 row", "3 rows"."""
    return f"{len(places):,} row{'s' * (len(places) != 1)}"


def listed(places: Sequence[str]) -> str:
    """The first three places, and dots if there are more."""
    return ", ".join(places[:3]) + (", ..." if len(places) > 3 else "")


# ---- JSON and Parquet


def _json_lines(lines: Iterable[str]) -> Iterator[tuple[int | None, Any]]:
    """Line number and record of each line; an error in place of a line that is no JSON."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                yield number, error


def _json_array(path: Path, file: IO[str]) -> Iterator[tuple[int | None, Any]]:
    try:
        records = json.load(file)
    except UnicodeError:
        raise
    except ValueError as error:
        raise TableError(f"{path}: this is no valid JSON: {error}. Correct it, or give a JSON object a line.") from None
    yield from ((None, record) for record in records)


def _from_records(path: str, records: Iterator[tuple[int | None, Any]], skip_bad_rows: bool) -> Table:
    """A table of records; a key that a record lacks is None there."""
    table = Table(path, {})
    lines = array("q")
    bad = []
    number = 0
    kept: dict[Any, Any] = {}
    for number, (line, record) in enumerate(records, 1):
        if not isinstance(record, dict):
            if skip_bad_rows:
                bad.append(show_place(number, line))
                continue
            if isinstance(record, json.JSONDecodeError):
                found = f"{record.msg} at character {record.pos + 1}"
            else:
                found = f"got {json.dumps(record)[:60]}"
            raise TableError(
                f'{path}: {show_place(number, line)}: expected a JSON object such as {{"text": "...", "label": "..."}}'
                f": {found}. Correct it, or leave such rows out with --skip-bad-rows."
            )
        for name in record:
            if name not in table.columns:
                table.columns[name] = [None] * len(table)
        for name, column in table.columns.items():
            value = record.get(name)
            if isinstance(value, str) and len(value) <= SHORT:
                value = kept.setdefault(value, value)
            column.append(value)
        table.numbers.append(number)
        if line is not None:
            lines.append(line)
    if lines:
        table.lines = lines
    if bad:
        table.notes.append(f"Left out {count(bad)} without a JSON object: {listed(bad)}.")
    return table


def _read_parquet(path: Path) -> Table:
    parquet = require_extra("pyarrow.parquet", "cli", "reading a Parquet file")
    arrow = require_extra("pyarrow", "cli", "reading a Parquet file")
    try:
        with open_unpacked(path) as file:
            data = parquet.read_table(arrow.BufferReader(file.read()))
    except arrow.ArrowException as error:
        raise TableError(f"{path}: the Parquet file is broken or cut off ({error}). Copy or export it again.") from None
    columns = {name: data.column(name).to_pylist() for name in data.column_names}
    return Table(str(path), columns, array("q", range(1, data.num_rows + 1)))
