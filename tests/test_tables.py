"""Files of labelled texts: every format and packing gives the same rows; every bad file says where and what to do."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unrolled.errors import TableError
from unrolled.tables import read_labelled, read_table, read_texts
from unrolled.tables.labelled import check_classes, skip_rare_classes

TEXTS = [
    'a film, long and "good"', "two lines\nof a poor film", "ein schöner Film 🎬", "  blanks around  ",
    "映画が好き です", "a fine film", "a boring film", "the worst of all films",
]  # fmt: skip
LABELS = ["pos", "neg", "pos", "neg", "pos", "pos", "neg", "neg"]
GOOD = "text,label\n" + "".join(f"a film number {i} to see,{'pos' if i % 2 else 'neg'}\n" for i in range(8))


def as_csv(delimiter: str) -> bytes:
    import io

    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerows([["text", "label"], *zip(TEXTS, LABELS, strict=True)])
    return file.getvalue().encode()


def as_json_lines() -> bytes:
    rows = [json.dumps({"text": text, "label": label}) for text, label in zip(TEXTS, LABELS, strict=True)]
    return "\n".join(rows).encode()


def as_json() -> bytes:
    return json.dumps([{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]).encode()


def as_parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": TEXTS, "label": LABELS}), sink)
    return bytes(sink.getvalue())


def zstandard(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as file:
        file.write(content)
    return bytes(sink.getvalue())


FORMATS: dict[str, bytes] = {
    "a.csv": as_csv(","), "b.csv": as_csv(";"), "a.tsv": as_csv("\t"), "a.txt": as_csv("|"), "a.jsonl": as_json_lines(),
    "a.json": as_json(), "no_ending": as_json_lines(), "a.parquet": as_parquet(),
    "windows.csv": b"\xef\xbb\xbf" + as_csv(","), "utf16.csv": as_csv(",").decode().encode("utf-16"),
}  # fmt: skip
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard
}  # fmt: skip


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_packed_or_not(name: str, packing: str, tmp_path: Path) -> None:
    path = tmp_path / (name + packing)
    path.write_bytes(PACKED[packing](FORMATS[name]))
    data = read_labelled(path, "text", "label")
    assert data.texts == TEXTS and data.labels == LABELS
    assert list(data.numbers) == list(range(1, 9))
    if name.endswith("csv"):
        assert data.place(2) == "row 3 (line 5)"  # the row before has two lines


def test_a_long_text_and_an_odd_file(tmp_path: Path) -> None:
    long = "word " * 60_000  # csv's own limit is 131,072 characters
    path = write(tmp_path, f'text,label\r\n"{long}",a\r\n\r\nb c d,b\r\n')
    limit = csv.field_size_limit()
    data = read_labelled(path, "text", "label")
    assert data.texts == [long, "b c d"] and data.labels == ["a", "b"]
    assert data.notes == ["1 blank line passed over."]
    assert csv.field_size_limit() == limit


# ---- columns


def write(folder: Path, content: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def columns(folder: Path, **values: list[Any]) -> Path:
    rows = zip(*values.values(), strict=True)
    return write(
        folder,
        "\n".join([",".join(values), *(",".join(map(str, row)) for row in rows)]) + "\n",
    )


LONG = [f"a film that I saw {number} times and liked" for number in range(12)]
TWO = ["a", "b"] * 6


def test_obvious_columns_are_guessed_and_said(tmp_path: Path) -> None:
    path = columns(
        tmp_path, id=list(range(12)), review=LONG, title=[t[16:30] for t in LONG], stars=[1, 2, 3] * 4, sentiment=TWO
    )
    data = read_labelled(path)
    assert (data.column, data.label_column) == ("review", "sentiment")
    assert data.notes == [
        'Texts: column "review", guessed (the longest values, 35 characters on average). '
        "Otherwise name it with --text.",
        'Labels: column "sentiment", guessed (its name, and 2 different values). Otherwise name it with --label.',
    ]
    assert read_labelled(path, "review", "stars").labels == ["1", "2", "3"] * 4


def test_the_airline_file(shared_data: Path) -> None:
    data = read_labelled(shared_data / "airline" / "tweets_3class.csv")
    assert (data.column, data.label_column, len(data)) == ("text", "airline_sentiment", 14_640)


@pytest.mark.parametrize(
    ("values", "asked", "text"),
    [
        (
            {"first": LONG, "second": LONG, "label": TWO}, {},
            'which column holds the texts? Name it with --text: it could be "first" or "second". '
            'There are: "first", "second", "label".',
        ),
        (
            {"text": LONG, "x": TWO, "y": ["p", "q", "r"] * 4}, {},
            'which column holds the labels? Name it with --label: it could be "x" (2 different values) or '
            '"y" (3 different values). There are: "text", "x", "y".',
        ),
        (
            {"text": LONG, "number": list(range(12))}, {},
            'which column holds the labels? Name it with --label: no column beside "text" looks like labels: '
            '"number" has 12 different values. There are: "text", "number".',
        ),
        (
            {"text": LONG, "label": ["a"] * 12, "score": [0.5, 1] * 6, "note": [""] * 12}, {},
            'which column holds the labels? Name it with --label: no column beside "text" looks like labels: '
            '"label" has "a" in every row, and a classifier needs two classes; "score" has fractions; '
            '"note" has no value. There are: "text", "label", "score", "note".',
        ),
        (
            {"text": LONG}, {},
            'which column holds the labels? Name it with --label: there is no column beside "text". '
            'There are: "text".',
        ),
        (
            {"a": [1, 2] * 6, "b": TWO}, {},
            'which column holds the texts? Name it with --text: no column holds long texts. There are: "a", "b".',
        ),
        (
            {"text": LONG, "label": TWO}, {"text": "review"},
            'there is no column "review" for --text. There are: "text", "label".',
        ),
        (
            {"Text": LONG, "label": TWO}, {"text": "text"},
            'there is no column "text" for --text, did you mean "Text"? There are: "Text", "label".',
        ),
        (
            {"text": LONG, "label": TWO}, {"text": "text", "label": "lable"},
            'there is no column "lable" for --label, did you mean "label"? There are: "text", "label".',
        ),
        (
            {"text": LONG, "label": TWO}, {"text": "text", "label": "text"},
            'the column "text" is named for both --text and --label. Name two columns.',
        ),
    ],
)  # fmt: skip
def test_columns_that_are_not_obvious(
    values: dict[str, list[Any]], asked: dict[str, str], text: str, tmp_path: Path
) -> None:
    path = columns(tmp_path, **values)
    with pytest.raises(TableError) as caught:
        read_labelled(path, **asked)  # type: ignore[arg-type]
    assert str(caught.value) == f"{path}: {text}"


def test_without_names_columns_have_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.partition("\n")[2])
    data = read_labelled(path, "1", "2", header=False)
    assert len(data) == 8 and data.place(0) == "row 1 (line 1)"


# ---- bad files

BAD_FILES: dict[str, tuple[str | bytes, str]] = {
    "empty.csv": ("", "the file is empty (0 bytes). Give one with a line of column names and rows."),
    "names.csv": (
        "text,label\n",
        "there are no rows below the names of the columns (text, label). "
        "Give a file with a text and a label in each row.",
    ),
    "blank.csv": (
        "\n\n", "the first line is empty. Expected the names of the columns, such as: text,label"
    ),
    "nan.csv": (
        GOOD + "NaN,pos\n",
        'row 9 (line 10) has no text: column "text" is "NaN", read as missing. '
        "Fill it in, or leave such rows out with --skip-bad-rows.",
    ),
    "empty_texts.csv": (
        GOOD + ",pos\n  ,neg\n",
        'row 9 (line 10) has no text: column "text" is empty (2 such rows: row 9 (line 10), row 10 (line 11)). '
        "Fill it in, or leave such rows out with --skip-bad-rows.",
    ),
    "no_label.csv": (
        GOOD + "a film,\n",
        'row 9 (line 10) has no label: column "label" is empty. '
        "Fill it in, or leave such rows out with --skip-bad-rows.",
    ),
    "mostly_empty.csv": (
        "text,label\na film,pos\n,pos\n,neg\nb c,\n",
        '3 of 4 rows have no text or no label; row 2 (line 3) has no text: column "text" is empty. '
        "Check that these are the right columns (--text, --label).",
    ),
    "latin.csv": (
        (GOOD + "un café crème,pos\n").encode("cp1252"),
        "line 10 is not in UTF-8 (byte 0xe9 at place 7). It is often --encoding cp1252; then this place reads "
        '"un café crème,pos". If that is wrong, try --encoding latin-1 or utf-16.',
    ),
    "open_quote.csv": (
        GOOD + '"an open quote,pos\na film,neg\n',
        "row 9 (line 10): quotes are not balanced: a quoted value that begins there is never closed, up to the last "
        'line, 11. Write a quote within a quoted text twice (""), or, if quotes mean nothing in this file, '
        "say --no-quotes.",
    ),
    "closed_by_another.csv": (
        GOOD + '"an open quote,pos\n"a film",neg\nb,pos\n',
        "row 9 (line 10): quotes are not balanced: behind the closing quote of a value in line 11 there is more text. "
        'Write a quote within a quoted text twice (""), or, if quotes mean nothing in this file, say --no-quotes.',
    ),
    "inner_quotes.csv": (
        GOOD + '"a "good" film",pos\n',
        "row 9 (line 10): quotes are not balanced: behind the closing quote of a value there is more text. "
        'Write a quote within a quoted text twice (""), or, if quotes mean nothing in this file, say --no-quotes.',
    ),
    "comma.csv": (
        GOOD + "good, but long,pos\n",
        'row 9 (line 10) has 3 values, but there are 2 columns (text, label). A text with "," in it must stand in '
        'quotes: "...". Correct it, or leave such rows out with --skip-bad-rows.',
    ),
    "short.csv": (
        GOOD + "good\n",
        "row 9 (line 10) has 1 value, but there are 2 columns (text, label). Perhaps the line was cut, or the text "
        "goes on in the next line and must stand in quotes. Correct it, or leave such rows out with --skip-bad-rows.",
    ),
    "no_names.csv": (
        "a film that I liked, because it was long and beautiful and full of all the people and things that I like to "
        "see in films\n".replace(",", "") * 2,
        'expected names of columns in line 1, got "a film that I liked because it was long ..." as the name of '
        "column 1. If the first line is a row already, say --no-header and choose columns by number.",
    ),
    "twice.csv": ("text,text\na,b\n", '2 columns are called "text". Give each a name of its own.'),
    "broken.jsonl": (
        '{"text": "a b", "label": "x"}\n{"text": "a b" "label": "x"}\n',
        'row 2 (line 2): expected a JSON object such as {"text": "...", "label": "..."}: Expecting \',\' delimiter at '
        "character 16. Correct it, or leave such rows out with --skip-bad-rows.",
    ),
    "list.jsonl": (
        '{"text": "a b", "label": "x"}\n[1, 2]\n',
        'row 2 (line 2): expected a JSON object such as {"text": "...", "label": "..."}: got [1, 2]. '
        "Correct it, or leave such rows out with --skip-bad-rows.",
    ),
    "broken.json": (
        '[{"text": "a b"}',
        "this is no valid JSON: Expecting ',' delimiter: line 1 column 17 (char 16). "
        "Correct it, or give a JSON object a line.",
    ),
    "number.jsonl": (
        '{"text": "a b", "label": "x"}\n{"text": 5, "label": "x"}\n{"text": "c", "label": "y"}\n',
        'row 2 (line 2) has no text: column "text" is no text but 5. '
        "Fill it in, or leave such rows out with --skip-bad-rows.",
    ),
    "cut.csv.gz": (
        gzip.compress(GOOD.encode())[:-20],
        "the packed file is broken or cut off (Compressed file ended before the end-of-stream marker was reached). "
        "Copy or pack it again.",
    ),
    "cut.csv.xz": (
        lzma.compress(GOOD.encode())[:-20],
        "the packed file is broken or cut off (Compressed file ended before the end-of-stream marker was reached). "
        "Copy or pack it again.",
    ),
    "book.xlsx": (
        b"PK\x03\x04....", "this is a zip archive or an Excel workbook. Unpack it, or save the sheet as CSV."
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_say_where_and_what_to_do(name: str, tmp_path: Path) -> None:
    content, text = BAD_FILES[name]
    path = write(tmp_path, content, name)
    with pytest.raises(TableError) as caught:
        read_labelled(path, "text", "label")
    assert str(caught.value) == f"{path}: {text}"


@pytest.mark.parametrize("name", ["a.parquet", "cut.csv.zst"])
def test_broken_files_of_a_library(name: str, tmp_path: Path) -> None:
    content = FORMATS["a.parquet"][:-30] if name == "a.parquet" else zstandard(GOOD.encode() * 50)[:-20]
    path = write(tmp_path, content, name)
    kind = "Parquet" if name == "a.parquet" else "packed"
    with pytest.raises(TableError) as caught:
        read_labelled(path, "text", "label")
    assert str(caught.value).startswith(f"{path}: the {kind} file is broken or cut off (")  # the library's own words


def test_files_that_are_not_there(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, "reviews.csv")
    with pytest.raises(TableError) as caught:
        read_labelled(tmp_path / "review.csv")
    assert str(caught.value) == f"{tmp_path / 'review.csv'}: there is no such file, did you mean {path}?"
    with pytest.raises(TableError) as caught:
        read_labelled(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: this is a folder. Give the name of a file: CSV, TSV, JSON lines or Parquet."
    )


def test_other_encodings(tmp_path: Path) -> None:
    path = write(tmp_path, (GOOD + "un café crème,pos\n").encode("cp1252"))
    assert read_labelled(path, encoding="cp1252").texts[8] == "un café crème"
    for encoding, text in {
        "utf-16": "the file is not in the encoding utf-16. Name the right one with --encoding.",
        "utf-9": 'unknown --encoding "utf-9". Known: utf-8, cp1252, latin-1, utf-16.',
    }.items():
        with pytest.raises(TableError) as caught:
            read_labelled(path, encoding=encoding)
        assert str(caught.value) == f"{path}: {text}"


def test_bad_rows_are_left_out_only_when_asked_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "good, but long,pos\nNaN,pos\na film,\n,neg\nthe last film,neg\n")
    data = read_labelled(path, "text", "label", skip_bad_rows=True)
    assert len(data) == 9 and data.place(8) == "row 13 (line 14)"
    assert data.notes == [
        "Left out 1 row with more or fewer values than the 2 columns: row 9 (line 10).",
        "Left out 2 rows of 12 without a text: row 10 (line 11), row 12 (line 13).",
        "Left out 1 row of 12 without a label: row 11 (line 12).",
    ]
    lines = write(tmp_path, '{"text": "a b", "label": "x"}\n\nno\n{"text": "c d", "label": "y"}\n', "a.jsonl")
    data = read_labelled(lines, "text", "label", skip_bad_rows=True)
    assert data.texts == ["a b", "c d"] and data.place(1) == "row 3 (line 4)"
    assert data.notes == ["Left out 1 row without a JSON object: row 2 (line 3)."]


def test_quotes_that_mean_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + '"open and "shut,pos\n')
    assert read_labelled(path, quotes=False).texts[8] == '"open and "shut'


# ---- labels


def test_blanks_around_labels_are_removed_and_counted(tmp_path: Path) -> None:
    data = read_labelled(write(tmp_path, GOOD + "a film,pos \nb film,\tneg\n"), "text", "label")
    assert data.labels[-2:] == ["pos", "neg"]
    assert data.notes == [
        'Removed blanks around the label of 2 rows: row 9 (line 10) has "pos ", row 10 (line 11) has "\\tneg".'
    ]


def test_labels_that_differ_in_capitals_are_said(tmp_path: Path) -> None:
    data = read_labelled(write(tmp_path, GOOD + "a film,Pos\nb film,Pos\n"), "text", "label")
    assert data.notes == [
        'The labels "Pos" (2 rows) and "pos" (4 rows) differ only in capitals; they are separate classes.'
    ]


def test_whole_numbers_written_with_a_point_are_labels(tmp_path: Path) -> None:
    data = read_labelled(columns(tmp_path, text=LONG, label=["1.0", "0.0"] * 6))
    assert data.label_column == "label" and set(data.labels) == {"1.0", "0.0"}


def test_a_row_that_was_read_as_names_is_noted(tmp_path: Path) -> None:
    path = write(tmp_path, "".join(f"{text},{label}\n" for text, label in zip(LONG, TWO, strict=True)))
    data = read_labelled(path)
    assert len(data) == 11 and data.notes[-1] == (
        'Line 1 was read as names of columns, but "a" is a label of other rows too. If it is a row already, '
        "say --no-header."
    )
    assert read_labelled(path, header=False).labels == TWO
    assert not any("Line 1" in note for note in read_labelled(columns(tmp_path, text=LONG, label=TWO)).notes)


def test_a_text_that_is_none_does_not_hide_the_column(tmp_path: Path) -> None:
    rows = [{"text": text, "label": label} for text, label in zip(LONG, TWO, strict=True)]
    path = write(tmp_path, "".join(json.dumps(row) + "\n" for row in [*rows, {"text": 5, "label": "a"}]), "r.jsonl")
    with pytest.raises(TableError) as caught:
        read_labelled(path)
    assert 'row 13 (line 13) has no text: column "text" is no text but 5.' in str(caught.value)


def test_numbers_are_labels_as_csv_writes_them(tmp_path: Path) -> None:
    rows = [{"text": LONG[i], "label": value} for i, value in enumerate([1, 1.0, 2.5, True, 0])]
    path = write(tmp_path, "\n".join(map(json.dumps, rows)), "a.jsonl")
    assert read_labelled(path, "text", "label").labels == ["1", "1", "2.5", "True", "0"]


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (
            "a film,pos\nb film,pos\n",
            'column "label" has the same label "pos" in all 2 rows, and a classifier needs two classes. '
            "Name another column with --label, or add rows of another class.",
        ),
        (
            GOOD.partition("\n")[2] + "a film,postive\n",
            'column "label" has a class with one row alone: "postive" in row 9 (line 10). It cannot be both learned '
            "and tested. Correct a slip in the label, add rows, or leave such rows out with --skip-rare-classes.",
        ),
        (
            "".join(f"film {i},{i}\n" for i in range(6)),
            'column "label" has 6 different labels in 6 rows, 6 of them only once. These are no classes. '
            "Name another column with --label.",
        ),
    ],
)
def test_labels_that_are_no_classes(rows: str, text: str, tmp_path: Path) -> None:
    data = read_labelled(write(tmp_path, "text,label\n" + rows), "text", "label")
    with pytest.raises(TableError) as caught:
        check_classes(data)
    assert str(caught.value) == f"{data.path}: {text}"


def test_rare_classes_can_be_left_out(tmp_path: Path) -> None:
    data = read_labelled(write(tmp_path, GOOD.replace("label\n", "label\nb film,postive\n")), "text", "label")
    skip_rare_classes(data)
    check_classes(data)
    assert len(data) == len(data.labels) == 8 and data.place(0) == "row 2 (line 3)"
    assert data.notes == ['Left out 1 row whose class has one row alone: "postive" in row 1 (line 2).']


# ---- texts alone


def test_texts_without_labels_keep_every_row(tmp_path: Path) -> None:
    texts = read_texts(write(tmp_path, 'text\na good film\n""\nNaN\nanother one\n'), "text")
    assert texts.texts == ["a good film", "", "", "another one"]
    assert texts.notes == ["2 rows without text: row 2 (line 3), row 3 (line 4)."]
    with pytest.raises(TableError) as caught:
        read_texts(path := write(tmp_path, '{"text": [1]}\n', "a.jsonl"), "text")
    assert str(caught.value) == (
        f'{path}: row 1 (line 1) has no text: column "text" is no text but [1]. Turn it into text.'
    )


def test_all_columns(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "a,,c\n1,2,3\n"))
    assert table.columns == {"a": ["1"], "column 2": ["2"], "c": ["3"]}
    ragged = read_table(write(tmp_path, '{"a": 1}\n{"b": 2}\n', "a.jsonl"))
    assert ragged.columns == {"a": [1, None], "b": [None, 2]}
