"""Line charts as inline SVG: colours come from the page's style, so that one picture serves light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 34, 74


@dataclass(frozen=True)
class Line:
    """Values at x = 1, 2, 3 ... style: "dots" or "line" for ours, "thin" for recorded; tone: 1 to 4, a colour."""

    name: str
    values: Sequence[float]
    style: str
    tone: int


def line_chart(title: str, lines: Sequence[Line], x_label: str = "Epoch", first: int = 1) -> str:
    """One SVG element with axes, grid, legend, and the value of every dot as its tooltip.

    Args: first: the x of the first value.
    """
    lines = [line for line in lines if len(line.values)]
    count = max(len(line.values) for line in lines)
    known = [value for line in lines for value in line.values]
    y_ticks = ticks(min(known), max(known))
    low, high = min(y_ticks[0], *known), max(y_ticks[-1], *known)

    def x_of(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (step + 0.5) / count

    def y_of(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / ((high - low) or 1)

    parts = [f'<text class="title" x="{WIDTH / 2}" y="18">{escape(title)}</text>']
    for value in y_ticks:
        y = y_of(value)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick y" x="{LEFT - 6}" y="{y + 4:.1f}">{value:g}</text>')
    every = max(1, math.ceil(count / 10))
    for step in range(0, count, every):
        parts.append(f'<text class="tick" x="{x_of(step):.1f}" y="{HEIGHT - BOTTOM + 16}">{step + first}</text>')
    parts.append(f'<text class="tick" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - BOTTOM + 32}">{x_label}</text>')
    for line in lines:
        places = [(x_of(step), y_of(value)) for step, value in enumerate(line.values)]
        parts.append(draw(line, places, first))
    parts += legend(lines)
    name = escape(f"{title}: {', '.join(line.name for line in lines)}", quote=True)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}" xmlns="http://www.w3.org/2000/svg">'
        + "".join(parts)
        + "</svg>"
    )


def draw(line: Line, places: Sequence[tuple[float, float]], first: int) -> str:
    """Dots with tooltips, or a line (one value: a dot, for a line of one point cannot be seen)."""
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    stroke = f'<path class="{line.style} tone{line.tone}" d="{path}"/>' if line.style != "dots" else ""
    radius = 3.6 if line.style == "dots" else 2.2
    dots = "".join(
        f'<circle class="tone{line.tone}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"><title>{escape(line.name)}, '
        f"{step + first}: {value:.4g}</title></circle>"
        for step, ((x, y), value) in enumerate(zip(places, line.values, strict=True))
        if line.style != "thin" or len(places) == 1
    )
    return stroke + dots


def legend(lines: Sequence[Line]) -> list[str]:
    """Two columns below the chart."""
    parts = []
    for number, line in enumerate(lines):
        x, y = LEFT - 20 + number % 2 * 215, HEIGHT - BOTTOM + 50 + number // 2 * 18
        if line.style == "dots":
            parts.append(f'<circle class="tone{line.tone}" cx="{x + 10}" cy="{y - 4}" r="3.6"/>')
        else:
            parts.append(f'<path class="{line.style} tone{line.tone}" d="M{x} {y - 4}h20"/>')
        parts.append(f'<text class="legend" x="{x + 27}" y="{y}">{escape(line.name)}</text>')
    return parts


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers, 1, 2 or 5 times a power of ten apart, from at or below `low` to at or above `high`."""
    span = (high - low) or max(abs(high), 1.0) * 0.1
    rough = span / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * k for k in (1, 2, 5, 10) if power * k >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(k * step, 12) for k in range(first, last + 1)]
