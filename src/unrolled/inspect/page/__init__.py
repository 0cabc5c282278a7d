"""The page: traces as one self-contained HTML file that is read in a browser, without a network."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path

from unrolled.inspect.page.content import name_of, of_traces
from unrolled.inspect.trace import Trace

SCRIPTS = ("numbers.js", "cells.js", "text.js", "heatmap.js", "picture.js", "charts.js", "main.js")


def render(traces: Trace | Sequence[Trace]) -> str:
    """The whole page as HTML; see to_html."""
    found = [traces] if isinstance(traces, Trace) else list(traces)
    if not found or not all(isinstance(one, Trace) for one in found):
        got = ", ".join(type(one).__name__ for one in found[:3]) or "nothing"
        raise TypeError(f"to_html: expected a trace or a list of them, got {got}. Give model.trace(x) for one input x.")
    names = [name_of(one) for one in found]
    title = f"{names[0]}, traced" if len(names) == 1 else f"{', '.join(names)}, side by side"
    content = {"title": title, "models": of_traces(found)}
    data = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    parts = {
        "title": escape(title),
        "style": _asset("page.css"),
        "script": "\n".join(_asset(name) for name in SCRIPTS),
        "data": data.replace("<", "\\u003c"),  # a text may hold </script>
    }
    return re.sub(r"\{(title|style|script|data)\}", lambda found: parts[found[1]], _asset("page.html"))


def to_html(traces: Trace | Sequence[Trace], path: str | os.PathLike[str]) -> Path:
    """Write a page that shows a trace, or several models side by side on the same text.

    The text coloured by the running output, every gate and state as a heat map with the derivation of each number, the
    network unrolled in time, the memory ledger, gradient flow, and what verify found. Numbers are in float32. Of wide
    layers those units are shown that matter most to the prediction, so that a page stays below 3 MB; it says so.

    Args:    traces: a Trace, or a list of them; path: of the file.
    Returns: the path.
    Raises:  TypeError for something else; UnknownNameError if a model has no recurrent layer; ValueError if the weights
             of a model have changed since its trace.
    """
    page = render(traces)
    target = Path(path)
    target.write_text(page, encoding="utf-8")
    return target


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")
