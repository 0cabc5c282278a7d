"""Rows of a file for a command: read, said what was done with them, and divided into learning and testing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrolled.cli.options import reading, say
from unrolled.errors import TableError
from unrolled.tables import LabelledTexts, read_labelled
from unrolled.tables.labelled import check_classes, skip_rare_classes

MOST_SHOWN = 8  # classes that a line names


@dataclass
class Rows:
    """Texts and labels to learn from, and to judge by; given: whether the latter come from a file of their own."""

    texts: list[str]
    labels: list[str]
    test_texts: list[str]
    test_labels: list[str]
    given: bool


def read(
    file: Path, options: Mapping[str, Any], known: tuple[str, str] | None = None, *, aside: bool = False
) -> LabelledTexts:
    """The file's rows; says how many, which columns and what was changed or left out (aside: to standard error).

    Args: options: of the command, those of the file among them; known: as read_labelled.
    """
    start = time.perf_counter()
    data = read_labelled(file, options["text"], options["label"], known=known, **reading(options))
    say(f"{file}: {len(data):,} rows, read in {time.perf_counter() - start:.1f} s.", aside=aside)
    for note in data.notes:
        say(f"  {note}", aside=aside)
    return data


def read_for_training(file: Path, options: Mapping[str, Any]) -> LabelledTexts:
    """The file's rows, with at least two of every class."""
    data = read(file, options)
    if options["skip_rare_classes"]:
        noted = len(data.notes)
        skip_rare_classes(data)
        for note in data.notes[noted:]:
            say(f"  {note}")
    check_classes(data)
    say(f"  Classes: {show_classes(data.labels)}.")
    return data


def divide(data: LabelledTexts, test_size: float, seed: int) -> Rows:
    """Hold rows out to judge by; texts that repeat stay on one side, and are counted."""
    from unrolled.splits import split

    parts = split(data.texts, data.labels, test_size, seed)
    say(f"  Split: {parts}")
    train, test = parts.train.tolist(), parts.test.tolist()
    return Rows(
        [data.texts[row] for row in train],
        [data.labels[row] for row in train],
        [data.texts[row] for row in test],
        [data.labels[row] for row in test],
        given=False,
    )


def with_test_file(data: LabelledTexts, file: Path, options: Mapping[str, Any]) -> Rows:
    """Judge by the rows of another file; texts that are in both are counted."""
    from unrolled.splits import overlap

    test = read(file, options, (data.column, data.label_column))
    check_known(test, sorted(set(data.labels)))
    same = overlap(data.texts, test.texts)
    say(
        f"  {same:,} of its {len(test):,} texts {'is' if same == 1 else 'are'} also in {data.path}"
        + ("; they flatter the figures, and are judged as given." if same else ".")
    )
    return Rows(data.texts, data.labels, test.texts, test.labels, given=True)


def known_columns(classifier: Any) -> tuple[str, str] | None:
    """The columns that a model learned from, if its file says so."""
    data = classifier.report_.get("data")
    return (data["text"], data["label"]) if data else None


def check_known(data: LabelledTexts, classes: list[str]) -> None:
    """Whether every label is one of these classes.

    Raises: TableError naming the first row whose label is not.
    """
    known = set(classes)
    for row, label in enumerate(data.labels):
        if label not in known:
            raise TableError(
                f'{data.path}: {data.place(row)} has the label "{label}", which the model does not know; it knows '
                f"{show_names(classes)}. Correct the label, name another column with --label, or train with rows of "
                "that class."
            )


def show_names(classes: list[str]) -> str:
    """The first few names in quotes."""
    shown = ", ".join(f'"{name}"' for name in classes[:MOST_SHOWN])
    return f"{shown} and {len(classes) - MOST_SHOWN} more" if len(classes) > MOST_SHOWN else shown


def show_classes(labels: list[str]) -> str:
    """How many rows each class has, the largest first."""
    sizes = Counter(labels).most_common()
    shown = ", ".join(f'"{name}" {size:,}' for name, size in sizes[:MOST_SHOWN])
    return f"{shown} and {len(sizes) - MOST_SHOWN} smaller ones" if len(sizes) > MOST_SHOWN else shown
