"""A file's bytes, unpacked, and what kind of table they are: by the first bytes, then by the name's ending."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from unrolled.errors import TableError, require_extra

COMPRESSED = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zst"}
FORMATS = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
REFUSED = {
    b"PK\x03\x04": "a zip archive or an Excel workbook. Unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook. Save the sheet as CSV",
    b"SQLi": "an SQLite database. Export the table as CSV",
    b"\x89HDF": "an HDF5 file. Export the table as CSV or Parquet",
    b"%PDF": "a PDF document. Give a table of texts: CSV, TSV, JSON lines or Parquet",
}


@contextmanager
def open_unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked if they are packed with gzip, bzip2, xz or zstandard.

    Raises: TableError for a file that is absent, a folder, empty, no table, or cut off.
    """
    start = _first_bytes(path)
    packing = next((name for magic, name in COMPRESSED.items() if start.startswith(magic)), None)
    broken = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
    try:
        with _open(path, packing) as file:
            yield file
    except broken as error:
        raise TableError(f"{path}: the packed file is broken or cut off ({error}). Copy or pack it again.") from None
    except OSError as error:
        if packing is None or error.errno is not None:
            raise
        raise TableError(f"{path}: the packed file is broken or cut off ({error}). Copy or pack it again.") from None


def _first_bytes(path: Path) -> bytes:
    if not path.exists():
        raise TableError(f"{path}: there is no such file{_similar(path)}")
    if path.is_dir():
        raise TableError(f"{path}: this is a folder. Give the name of a file: CSV, TSV, JSON lines or Parquet.")
    with open(path, "rb") as file:
        start = file.read(8)
    if not start and path.is_file():
        raise TableError(f"{path}: the file is empty (0 bytes). Give one with a line of column names and rows.")
    for magic, kind in REFUSED.items():
        if start.startswith(magic):
            raise TableError(f"{path}: this is {kind}.")
    return start


def _similar(path: Path) -> str:
    """The names that stand beside it, for a slip of the keyboard."""
    from difflib import get_close_matches

    there = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    match = get_close_matches(path.name, there, 1)
    return f", did you mean {path.parent / match[0]}?" if match else "."


def _open(path: Path, packing: str | None) -> Any:
    if packing == "gz":
        return gzip.open(path, "rb")
    if packing == "bz2":
        return bz2.open(path, "rb")
    if packing == "xz":
        return lzma.open(path, "rb")
    if packing == "zst":
        arrow = require_extra("pyarrow", "cli", "reading a file packed with zstandard")
        return arrow.input_stream(os.fspath(path), compression="zstd")
    return open(path, "rb")


def table_format(path: Path) -> str:
    """ "csv", "tsv", "jsonl", "json" or "parquet"."""
    with open_unpacked(path) as file:
        start = bytes(file.read(64))
    if start.startswith(b"PAR1"):
        return "parquet"
    endings = [ending.lower() for ending in path.suffixes]
    if endings and endings[-1] in (".gz", ".bz2", ".xz", ".zst", ".zstd"):
        endings.pop()
    named = FORMATS.get(endings[-1]) if endings else None
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if named == "jsonl" or named is None:
        if text.startswith(b"["):
            return "json"
        if named is None:
            return "jsonl" if text.startswith(b"{") else "csv"
    return named
