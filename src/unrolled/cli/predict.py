"""unrolled predict: the class of a text, of every text of a file, or of every line as it comes."""

from __future__ import annotations

import json
import queue
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from unrolled.cli import options as o
from unrolled.cli.options import say
from unrolled.cli.rows import known_columns

Form = Literal["text", "jsonl"]
MOST = 256  # texts that are predicted together


def predict(
    model: o.Model,
    text: Annotated[str | None, typer.Argument(help="The text; else --file, else lines of standard input.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Texts: CSV, TSV, JSON lines or Parquet, packed or not.")
    ] = None,
    column: Annotated[
        str | None,
        typer.Option("--text", help="Column of the texts; guessed if only one can be meant.", rich_help_panel=o.DATA),
    ] = None,
    encoding: o.Encoding = None,
    delimiter: o.Delimiter = None,
    no_quotes: o.NoQuotes = False,
    no_header: o.NoHeader = False,
    skip_bad_rows: Annotated[
        bool,
        typer.Option("--skip-bad-rows", help="Leave out, and count, rows that cannot be read.", rich_help_panel=o.DATA),
    ] = False,
    form: Annotated[
        Form,
        typer.Option(
            "--format",
            help="text: label, tab, probability; jsonl: a JSON object with every class.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = "text",
    threads: o.Threads = None,
) -> None:
    """Predict the class of texts: one line for each, in their order.

    Lines of standard input are answered one by one as they come, so predict can stand in a pipe. A text without words
    is answered too: the label is then "-" (null in JSON).

    ```
    unrolled predict model "what a film"
    unrolled predict model --file new.csv --text review --format jsonl > answers.jsonl
    tail -f app.log | unrolled predict model
    ```
    """
    given = locals()
    if text is not None and file is not None:
        raise typer.BadParameter("give a text or --file, not both")
    o.set_threads(threads)
    classifier = o.load_classifier(model)
    if text is not None:
        answers = answer(classifier, [text], 1, form)
    elif file is not None:
        answers = of_file(classifier, file, given, form)
    else:
        answers = of_stream(classifier, form)
    for lines in answers:
        say("\n".join(lines))


def answer(classifier: Any, texts: Sequence[str], first: int, form: Form) -> Iterator[list[str]]:
    """A line for each text, some at a time; first: the number of the first text."""
    classes = classifier.classes_.tolist()
    for start in range(0, len(texts), MOST):
        part = texts[start : start + MOST]
        lines = []
        for number, (one, p) in enumerate(zip(part, classifier.predict_proba(part), strict=True), first + start):
            best = int(p.argmax())
            silent = not classifier.vectorizer_.tokenize(one)
            if form == "jsonl":
                line = {"row": number, "label": None if silent else classes[best]}
                line["probability"] = None if silent else round(float(p[best]), 6)
                if not silent:
                    line["probabilities"] = {str(c): round(float(q), 6) for c, q in zip(classes, p, strict=True)}
                lines.append(json.dumps(line, ensure_ascii=False))
            else:
                lines.append("-\t-" if silent else f"{classes[best]}\t{p[best]:.4f}")
        yield lines


def of_file(classifier: Any, file: Path, given: dict[str, Any], form: Form) -> Iterator[list[str]]:
    """Answers for every row of a file; what is to be said of it goes to standard error."""
    from unrolled.tables import read_texts

    data = read_texts(file, given["column"], known=known_columns(classifier), **o.reading(given))
    for note in data.notes:
        say(f"{file}: {note}", aside=True)
    yield from answer(classifier, data.texts, 1, form)


def of_stream(classifier: Any, form: Form) -> Iterator[list[str]]:
    """Answers for lines of standard input: what has come is answered together, so no line waits for another."""
    if sys.stdin.isatty():
        say("Type a text and Enter; Ctrl-D ends.", aside=True)
    number = 1
    for lines in waiting(sys.stdin.buffer):
        texts = [line.decode("utf-8", "replace").rstrip("\r\n") for line in lines]
        broken = [number + place for place, text in enumerate(texts) if "\ufffd" in text]
        if broken:
            say(f"Line {broken[0]} is not in UTF-8; what cannot be read in it counts as no word.", aside=True)
        yield from answer(classifier, texts, number, form)
        number += len(texts)


def waiting(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Lines in order, all those together that have come since the last were taken."""
    come: queue.Queue[bytes | None] = queue.Queue(maxsize=4 * MOST)

    def fetch() -> None:
        for line in lines:
            come.put(line)
        come.put(None)

    threading.Thread(target=fetch, daemon=True).start()
    while (line := come.get()) is not None:
        taken = [line]
        while len(taken) < MOST:
            try:
                line = come.get_nowait()
            except queue.Empty:
                break
            if line is None:
                yield taken
                return
            taken.append(line)
        yield taken
