"""Labelled texts from CSV, TSV, JSON lines and Parquet files, compressed too, with errors that name the row."""

from unrolled.tables.labelled import LabelledTexts, Texts, read_labelled, read_texts
from unrolled.tables.reading import Table, read_table

__all__ = ["LabelledTexts", "Table", "Texts", "read_labelled", "read_table", "read_texts"]
