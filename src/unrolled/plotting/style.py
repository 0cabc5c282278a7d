"""What all pictures share: colours that colour-blind readers tell apart, plain axes, and the file."""

from __future__ import annotations

import os
from typing import Any

from unrolled.errors import require_extra

# Okabe and Ito's colours without the yellow, which is too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
GREY = "#767676"
PANEL = (5.2, 4.2)  # inches


def new_figure(columns: int = 1, rows: int = 1) -> Any:
    """An empty matplotlib Figure for so many panels; pyplot is not touched.

    Raises: MissingExtraError if matplotlib is not installed.
    """
    size = (PANEL[0] * columns, PANEL[1] * rows)
    figure = require_extra("matplotlib.figure", "plot", "plotting").Figure(figsize=size, dpi=144, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    return figure


def check_picture(path: str | os.PathLike[str]) -> None:
    """Whether a picture can be written under this name, which says its format.

    Raises: ValueError that lists the formats; MissingExtraError if matplotlib is not installed.
    """
    known = require_extra("matplotlib.backend_bases", "plot", "plotting").FigureCanvasBase.filetypes
    ending = os.path.splitext(path)[1]
    if ending[1:].lower() not in known:
        got = f'the ending "{ending}"' if ending else "none"
        raise ValueError(
            f'"{os.fspath(path)}": expected the name of a picture with an ending that says its format, got {got}. '
            f"Known: {', '.join(sorted(known))}."
        )


def finish(figure: Any, path: str | os.PathLike[str] | None, title: str | None = None) -> Any:
    """Put a title above everything, write the file, return the figure."""
    if title:
        figure.suptitle(title, fontsize="x-large")
    if path is not None:
        check_picture(path)
        figure.savefig(path)
    return figure


def plain(axes: Any, title: str, x: str, y: str) -> None:
    """Title, names of the axes, a pale grid, no frame above and on the right."""
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def shorten(label: Any, length: int = 16) -> str:
    """A label as text, its middle left out where it is too long for a picture; dollar signs are no mathematics."""
    text = " ".join(str(label).split())
    if len(text) > length:
        text = f"{text[: length // 2]}…{text[-(length - length // 2 - 1) :]}"
    return text.replace("$", r"\$")
