"""The table that model.summary() prints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from unrolled.layers import Layer
from unrolled.parameters import Parameter
from unrolled.printing import Table

LINE = 65
COLUMNS = (29, 26, 10)
HEADER = ("Layer (type)", "Output Shape", "Param #")


def show_shape(shape: Any) -> str:
    """(None, 32), or a list of such."""
    if shape is None:
        return "?"
    if shape and isinstance(shape[0], tuple | list):
        return "[" + ", ".join(show_shape(s) for s in shape) + "]"
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def size(parameters: Iterable[Parameter]) -> int:
    """Entries of all parameters."""
    return sum(p.size for p in parameters)


def explain_counts(layer: Layer) -> list[str]:
    """How a layer's number of parameters comes about: "32*40 + 40*40 + 40 = 2,920  (kernel + ...)"."""
    lines = [f"{inner.name}: {line}" for inner in layer.sublayers for line in explain_counts(inner)]
    own = layer.weights[: len(layer.weights) - sum(len(inner.weights) for inner in layer.sublayers)]
    if not own:
        return lines
    gates = [_gates_of(parameter) for parameter in own]
    common = gates[0] if len(set(gates)) == 1 else 1
    terms = []
    for parameter, count in zip(own, gates, strict=True):
        sizes = [*parameter.shape[:-1], parameter.shape[-1] // count] if parameter.shape else [1]
        terms.append("*".join(map(str, sizes if count == common else [count, *sizes])))
    total = " + ".join(terms) if common == 1 else f"{common} * ({' + '.join(terms)})"
    names = " + ".join(parameter.name for parameter in own)
    what = names if common == 1 else f"{common} times {names}, once for each gate and candidate"
    return [f"{total} = {size(own):,}  ({what})", *lines]


def _gates_of(parameter: Parameter) -> int:
    if parameter.gate_columns is None:
        return 1
    columns = parameter.gate_columns(0)
    return int(parameter.shape[-1] // (columns.stop - columns.start))


def summary_table(name: str, layers: list[Layer]) -> Table:
    """The same as a table, for a notebook; the totals stand out."""
    rows = [list(row) for row in _rows(layers)]
    totals = [[what, "", count] for what, count in _totals(layers)]
    return Table(f'Model: "{name}"', HEADER, rows + totals, range(len(rows), len(rows) + len(totals)))


def _rows(layers: list[Layer]) -> list[tuple[str, str, str]]:
    return [
        (
            f"{layer.name} ({type(layer).__name__})",
            show_shape(layer.output_shape),
            str(layer.count_params()) if layer.built else "?",
        )
        for layer in layers
    ]


def _totals(layers: list[Layer]) -> list[tuple[str, str]]:
    weights = [p for layer in layers for p in layer.weights]
    learned = size(p for p in weights if p.trainable)
    counts = ["?"] * 3
    if all(layer.built for layer in layers):
        counts = [f"{count:,}" for count in (size(weights), learned, size(weights) - learned)]
    return list(zip(("Total params", "Trainable params", "Non-trainable params"), counts, strict=True))


def summary_lines(name: str, layers: list[Layer], line_length: int | None = None, explain: bool = False) -> list[str]:
    """One row a layer with output shape and parameters, then the totals.

    Args: line_length: characters a line, 65 by default, more where names or shapes need it; explain: a line below each
          layer that says how its number of parameters comes about.
    """
    rows = _rows(layers)
    widths = [max(COLUMNS[i], *(len(row[i]) + 1 for row in rows)) if rows else COLUMNS[i] for i in range(3)]
    spare = (line_length or LINE) - sum(widths)
    widths[0] += max(spare, 0)

    def line(row: tuple[str, ...]) -> str:
        return "".join(text.ljust(width) for text, width in zip(row, widths, strict=True))

    rule = "_" * sum(widths)
    lines = [f'Model: "{name}"', rule, line(HEADER), "=" * sum(widths)]
    for i, row in enumerate(rows):
        lines += [rule] if i else []
        lines.append(line(row))
        if explain and layers[i].built:
            lines += [f"    {text}" for text in explain_counts(layers[i])]
    lines.append("=" * sum(widths))
    remedy = []
    if not all(layer.built for layer in layers):
        remedy = ["Not built yet (?): give the first layer an input_shape, call build(input_shape), or fit."]
    return [*lines, *(f"{what}: {count}" for what, count in _totals(layers)), rule, *remedy]
