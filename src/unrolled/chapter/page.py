"""The page: one self-contained HTML file, by a jinja2 template beside this module."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

import unrolled
from unrolled import engine
from unrolled.chapter.blocks import Figure, Section
from unrolled.errors import require_extra


def check() -> None:
    """Raise MissingExtraError now rather than after the training."""
    require_extra("jinja2", "cli", "the chapter's page")


def render(sections: Sequence[Section], epochs: int, seed: int, seconds: float) -> str:
    """The whole page."""
    jinja2 = require_extra("jinja2", "cli", "the chapter's page")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["inline"] = inline
    environment.filters["cell"] = lambda cell: cell if isinstance(cell, Figure) else Figure(str(cell))
    environment.filters["kind"] = lambda block: type(block).__name__
    source = resources.files(__package__).joinpath("page.html.jinja").read_text("utf-8")
    text: str = environment.from_string(source).render(
        sections=sections, run=describe_run(epochs, seed, seconds), version=unrolled.__version__
    )
    return text


def inline(text: str) -> Any:
    """`code` and **bold** of one line as HTML, everything else escaped."""
    markup = require_extra("markupsafe", "cli", "the chapter's page")
    escaped = str(markup.escape(text))
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return markup.Markup(re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", escaped))


def describe_run(epochs: int, seed: int, seconds: float) -> list[tuple[str, str]]:
    """What a reader needs to judge the times and to repeat the run."""
    return [
        ("Processor", _processor()),
        ("Threads", str(engine.get_num_threads())),
        ("Software", f"unrolled {unrolled.__version__}, Python {platform.python_version()}, {sys.platform}"),
        ("Epochs", str(epochs)),
        ("Seed", str(seed)),
        ("Whole run", f"{seconds:.0f} s"),
        ("Date", datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")),
    ]


def _processor() -> str:
    """Its name, if the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or os.name
