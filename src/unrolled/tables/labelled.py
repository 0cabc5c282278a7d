"""Texts and their labels from a file, checked row by row; whatever is changed or left out is counted and noted."""

from __future__ import annotations

import json
import os
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from unrolled.errors import TableError
from unrolled.tables.guessing import MISSING, find_column, guess_label, guess_text, is_missing
from unrolled.tables.reading import Table, count, listed, read_table, show_place


@dataclass
class Texts:
    """A column of texts.

    Attributes: path; column, its name; texts; numbers, the row of each in the file, counted from 1; lines, where it
                starts, None if the format has no lines; notes, what was guessed, changed or left out, a sentence each.
    """

    path: str
    column: str
    texts: list[str]
    numbers: array[int]
    lines: array[int] | None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)

    def place(self, row: int) -> str:
        """How messages call a row: "row 3 (line 4)"."""
        return show_place(self.numbers[row], None if self.lines is None else self.lines[row])


@dataclass
class LabelledTexts(Texts):
    """A column of texts and one of labels.

    Attributes: as Texts; label_column; labels, one text for each row ("1" for the number 1), without blanks around it.
    """

    label_column: str = ""
    labels: list[str] = field(default_factory=list)


def read_labelled(
    path: str | os.PathLike[str],
    text: str | None = None,
    label: str | None = None,
    *,
    known: tuple[str, str] | None = None,
    skip_bad_rows: bool = False,
    **reading: Any,
) -> LabelledTexts:
    """The texts of a file with their labels.

    Args:    path: CSV, TSV, JSON lines, JSON or Parquet, packed or not; text, label: names of the columns, guessed and
             noted if there is only one that it can be; known: the text and label column of a file like this one, taken
             before guessing if they are there; skip_bad_rows: leave out, count and note rows without text or
             label, rather than stop; reading: as read_table.
    Raises:  TableError naming the file, the column or row, and what to do.
    """
    table = read_table(path, skip_bad_rows=skip_bad_rows, **reading)
    text_column, label_column, notes = _columns(table, text, label, known)
    texts, labels = table.columns[text_column], table.columns[label_column]
    table.columns.clear()
    bad = _bad_texts(table, texts, text_column) | _bad_labels(table, labels, label_column)
    keep = _sound_rows(table, bad, skip_bad_rows, notes)
    stripped = []
    kept: list[str] = []
    names: dict[tuple[type, Any], str] = {}  # True == 1 == 1.0, but they are written differently
    for row in keep:
        value = labels[row]
        label = names.setdefault((type(value), value), _label(value))
        kept.append(label)
        if isinstance(value, str) and value != label:
            stripped.append(f"{table.place(row)} has {json.dumps(value, ensure_ascii=False)}")
    if stripped:
        notes.append(f"Removed blanks around the label of {count(stripped)}: {listed(stripped)}.")
    data = LabelledTexts(
        table.path,
        text_column,
        [texts[row] for row in keep],
        array("q", [table.numbers[row] for row in keep]),
        None if table.lines is None else array("q", [table.lines[row] for row in keep]),
        table.notes + notes,
        label_column,
        kept,
    )
    _note_similar_labels(data)
    if table.lines and table.lines[0] > 1 and label_column in set(kept):  # behind a line of names
        data.notes.append(
            f'Line 1 was read as names of columns, but "{label_column}" is a label of other rows too. If it is a row '
            "already, say --no-header."
        )
    return data


def read_texts(
    path: str | os.PathLike[str], text: str | None = None, *, known: tuple[str, str] | None = None, **reading: Any
) -> Texts:
    """The texts of a file, without labels; a row without text is an empty text, and noted.

    Args, Raises: as read_labelled.
    """
    table = read_table(path, **reading)
    if not len(table):
        raise TableError(_no_rows(table))
    notes: list[str] = []
    column = _text_column(table, _or_known(table, text, known, 0), None, notes)
    texts = table.columns[column]
    table.columns.clear()
    bad = _bad_texts(table, texts, column)
    wrong = [row for row in bad if not is_missing(texts[row])]
    if wrong:
        raise TableError(f"{table.path}: {table.place(wrong[0])} {bad[wrong[0]]}. Turn it into text.")
    if bad:
        notes.append(f"{count(bad)} without text: {listed([table.place(row) for row in bad])}.")
    texts = [text if isinstance(text, str) and row not in bad else "" for row, text in enumerate(texts)]
    return Texts(table.path, column, texts, table.numbers, table.lines, table.notes + notes)


def check_classes(data: LabelledTexts) -> None:
    """Whether a classifier can be trained and tested on these rows: two classes, two rows of each.

    Raises: TableError naming the column and the rows.
    """
    sizes = Counter(data.labels)
    where = f'{data.path}: column "{data.label_column}"'
    if len(sizes) < 2:
        (only,) = sizes
        raise TableError(
            f'{where} has the same label "{only}" in all {len(data):,} rows, and a classifier needs two '
            "classes. Name another column with --label, or add rows of another class."
        )
    rare = {label for label, size in sizes.items() if size < 2}
    if len(rare) > 0.5 * len(sizes):
        raise TableError(
            f"{where} has {len(sizes):,} different labels in {len(data):,} rows, {len(rare):,} of them only "
            "once. These are no classes. Name another column with --label."
        )
    if rare:
        rows = [f'"{label}" in {data.place(row)}' for row, label in enumerate(data.labels) if label in rare]
        raise TableError(
            f"{where} has {'a class' if len(rare) == 1 else f'{len(rare)} classes'} with one row alone: {listed(rows)}"
            ". It cannot be both learned and tested. Correct a slip in the label, add rows, or leave such rows "
            "out with --skip-rare-classes."
        )


def skip_rare_classes(data: LabelledTexts) -> None:
    """Leave out the rows of classes that have one row alone, and note it."""
    sizes = Counter(data.labels)
    rare = [row for row, label in enumerate(data.labels) if sizes[label] < 2]
    if not rare:
        return
    places = [f'"{data.labels[row]}" in {data.place(row)}' for row in rare]
    data.notes.append(f"Left out {count(rare)} whose class has one row alone: {listed(places)}.")
    keep = [row for row in range(len(data.labels)) if sizes[data.labels[row]] > 1]
    data.texts = [data.texts[row] for row in keep]
    data.labels = [data.labels[row] for row in keep]
    if data.lines is not None:
        data.lines = array("q", [data.lines[row] for row in keep])
    data.numbers = array("q", [data.numbers[row] for row in keep])


# ---- columns


def _or_known(table: Table, asked: str | None, known: tuple[str, str] | None, which: int) -> str | None:
    """The column asked for, else the known one if the file has it."""
    return known[which] if asked is None and known is not None and known[which] in table.columns else asked


def _columns(
    table: Table, text: str | None, label: str | None, known: tuple[str, str] | None
) -> tuple[str, str, list[str]]:
    """Both columns, and what to note of them."""
    if not len(table):
        raise TableError(_no_rows(table))
    notes: list[str] = []
    label = find_column(table, _or_known(table, label, known, 1), "label")
    text = _or_known(table, text, known, 0)
    text = _text_column(table, text, label, notes)
    if label is None:
        label, why = guess_label(table, text)
        notes.append(f'Labels: column "{label}", guessed ({why}). Otherwise name it with --label.')
    if text == label:
        raise TableError(f'{table.path}: the column "{text}" is named for both --text and --label. Name two columns.')
    return text, label, notes


def _text_column(table: Table, text: str | None, label: str | None, notes: list[str]) -> str:
    found = find_column(table, text, "text")
    if found is None:
        found, why = guess_text(table, label)
        notes.append(f'Texts: column "{found}", guessed ({why}). Otherwise name it with --text.')
    return found


def _no_rows(table: Table) -> str:
    if table.notes:
        return f"{table.path}: no row can be read. {' '.join(table.notes)}"
    names = f" below the names of the columns ({', '.join(table.columns)})" if table.columns else ""
    return f"{table.path}: there are no rows{names}. Give a file with a text and a label in each row."


# ---- rows


def _bad_texts(table: Table, texts: list[Any], column: str) -> dict[int, str]:
    """What is wrong with the text of a row, by row."""
    bad = {}
    for row, text in enumerate(texts):
        if isinstance(text, str):
            if text not in MISSING and not text.isspace():
                continue
            found = f'"{text}", read as missing' if text.strip() else "empty"
        else:
            found = "missing" if is_missing(text) else f"no text but {json.dumps(text, default=str)[:40]}"
        bad[row] = f'has no text: column "{column}" is {found}'
    return bad


def _bad_labels(table: Table, labels: list[Any], column: str) -> dict[int, str]:
    """What is wrong with the label of a row, by row."""
    bad = {}
    for row, label in enumerate(labels):
        if is_missing(label):
            found = f'"{label}", read as missing' if isinstance(label, str) and label.strip() else "empty"
            bad[row] = f'has no label: column "{column}" is {found}'
        elif isinstance(label, list | dict):
            bad[row] = f'has no label: column "{column}" is {json.dumps(label, default=str)[:40]}'
    return bad


def _sound_rows(table: Table, bad: dict[int, str], skip_bad_rows: bool, notes: list[str]) -> list[int]:
    """The rows to keep.

    Raises: TableError naming the first bad row, unless they may be left out.
    """
    if not bad:
        return list(range(len(table)))
    rows = sorted(bad)
    first = f"{table.place(rows[0])} {bad[rows[0]]}"
    if len(bad) > len(table) / 2:
        raise TableError(
            f"{table.path}: {len(bad):,} of {len(table):,} rows have no text or no label; {first}. "
            "Check that these are the right columns (--text, --label)."
        )
    if not skip_bad_rows:
        others = f" ({len(bad):,} such rows: {listed([table.place(row) for row in rows])})" if len(bad) > 1 else ""
        raise TableError(f"{table.path}: {first}{others}. Fill it in, or leave such rows out with --skip-bad-rows.")
    for what in ("text", "label"):
        places = [table.place(row) for row in rows if bad[row].startswith(f"has no {what}")]
        if places:
            notes.append(f"Left out {count(places)} of {len(table):,} without a {what}: {listed(places)}.")
    return [row for row in range(len(table)) if row not in bad]


def _label(value: Any) -> str:
    """A label as text: blanks around it removed; 1.0 of a column of numbers is "1"."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _note_similar_labels(data: LabelledTexts) -> None:
    sizes = Counter(data.labels)
    spelled: dict[str, list[str]] = {}
    for label in sizes:
        spelled.setdefault(label.casefold(), []).append(label)
    for names in spelled.values():
        if len(names) > 1:
            shown = " and ".join(f'"{name}" ({sizes[name]:,} rows)' for name in sorted(names))
            data.notes.append(f"The labels {shown} differ only in capitals; they are separate classes.")
