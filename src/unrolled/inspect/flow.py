"""How far gradients flow back in time, and why: their norms step by step, and the powers of U.

Without biases and activations h_5 = W x_5 + U W x_4 + U^2 W x_3 + U^3 W x_2 + U^4 W x_1: what a word k steps ago still
does is multiplied by U^k. Its growth is ruled by the spectral radius of U, the largest |eigenvalue|: below 1 it
vanishes, above 1 it explodes.
Source: Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled.errors import UnknownNameError, require_extra
from unrolled.inspect.trace import Trace
from unrolled.inspect.traces import Traces, trace
from unrolled.layers.gates import gate_name
from unrolled.layers.recurrent import Recurrent
from unrolled.parameters import Array
from unrolled.printing import Shown, Table, show_number

COLOURS = ("#c2571a", "#1f4e9c", "#2f7d4f", "#7a4fa0", "#8a6d1f")


@dataclass(frozen=True)
class Flow(Shown):
    """Norms of dL/dh_t (and dL/dc_t) of one recurrent layer, by how many steps before the last one.

    h, c (lags,): median over the rows, lag 0 is the last step that ran; c is None but for the LSTM; low, high: the
    quartiles of h; rows (lags,): how many rows have so many steps. share (lags,): median of |dL/dh_t| / |dL/dh_last|.
    """

    name: str
    target: str
    h: Array
    c: Array | None
    low: Array
    high: Array
    share: Array
    rows: Array

    def half_life(self) -> int | None:
        """The first lag at which half of the gradient or less is left; None if there is none."""
        below = np.flatnonzero(self.share <= 0.5)
        return int(below[0]) if len(below) else None

    def table(self) -> Table:
        """A row a lag: 0, 1, 2, 5, 10, 20, 50 ..."""
        lags = [k for k in (0, 1, 2, 5, 10, 20, 50, 100, 200, 400) if k < len(self.h)]
        lags += [] if lags and lags[-1] == len(self.h) - 1 else [len(self.h) - 1]
        header = ["steps before the last", "|dL/dh|", *([] if self.c is None else ["|dL/dc|"]), "share", "rows"]
        rows = []
        for k in lags:
            row = [str(k), show_number(self.h[k])] + ([] if self.c is None else [show_number(self.c[k])])
            rows.append([*row, show_number(self.share[k]), str(self.rows[k])])
        return Table(f"gradient flow in {self.name}: L is {self.target}; medians", header, rows)


def gradient_flow(model: Any, x: Any, y: Any = None, layer: str | None = None, target: Any = None) -> Flow:
    """The norms of dL/dh_t and dL/dc_t over time, for one input or the median of a batch.

    Args:    model: a Sequential, or a Trace or Traces instead of model and x; y: labels, one a row: L is the compiled
             loss; without, the logit of `target` (the predicted one); layer: name, the last recurrent one by default.
    Returns: a Flow. Steps are counted back from the last step that ran of each row; padding in front is left out.
    """
    traces = [found] if isinstance(found := _traced(model, x), Trace) else found
    h, c, name, what = [], [], "", ""
    for number, one in enumerate(traces):
        back = one.backward(target, None if y is None else np.asarray(y)[number : number + 1])
        path = one.last.path if layer is None else one[layer].path
        traced, gradient = one.recurrent[path], back.layers[path]
        times = traced.times[::-1]  # last step first
        times = times[~one.padding[times]] if len(traced) == len(one) else times
        h.append(np.linalg.norm(gradient.d_h[times].astype(np.float64), axis=1))
        if gradient.d_c is not None:
            c.append(np.linalg.norm(gradient.d_c[times].astype(np.float64), axis=1))
        name, what = path, back.target if y is None else "the loss"
    table = _by_lag(h)
    share = table / np.where(table[:, :1] > 0, table[:, :1], np.nan)
    return Flow(
        name, what, np.nanmedian(table, axis=0), np.nanmedian(_by_lag(c), axis=0) if c else None,
        np.nanquantile(table, 0.25, axis=0), np.nanquantile(table, 0.75, axis=0), np.nanmedian(share, axis=0),
        np.isfinite(table).sum(axis=0),
    )  # fmt: skip


def _traced(model: Any, x: Any) -> Trace | Traces:
    return model if isinstance(model, Trace | Traces) else trace(model, x)


def _by_lag(rows: list[Array]) -> Array:
    table = np.full((len(rows), max(map(len, rows))), np.nan)
    for k, row in enumerate(rows):
        table[k, : len(row)] = row
    return table


@dataclass(frozen=True)
class Powers(Shown):
    """Powers of a recurrent matrix U (H, H).

    radius: the largest |eigenvalue|; eigenvalues; largest_singular: |U| as a map; norms (n+1,): |U^k|, k = 0 .. n.
    """

    name: str
    radius: float
    eigenvalues: Array
    largest_singular: float
    norms: Array

    def table(self) -> Table:
        """A row a power."""
        powers = [k for k in (0, 1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 500) if k < len(self.norms)]
        rows = [[f"U^{k}", show_number(self.norms[k]), show_number(self.radius**k)] for k in powers]
        kind = "vanish" if self.radius < 1 else "explode" if self.radius > 1 else "stay"
        return Table(
            f"{self.name}: spectral radius {self.radius:.4f}, largest singular value {self.largest_singular:.4f}",
            ["power", "largest singular value", "radius^k"], rows,
            notes=[f"Without activations what is k steps back is multiplied by U^k: such products {kind}."],
        )  # fmt: skip


def recurrent_powers(layer: Any, n: int = 100, gate: str | None = None) -> Powers:
    """Spectral radius and powers of a layer's U.

    Args:    layer: a SimpleRNN, LSTM or GRU, built, or a square matrix; n: the highest power; gate: of an LSTM or GRU
             the gate whose U it is, "candidate" by default.
    Raises:  ShapeError or TypeError for something else.
    """
    if isinstance(layer, Recurrent):
        word = gate_name(layer.cell, gate or ("hidden" if layer.cell == "simple_rnn" else "candidate"), layer.label)
        matrix, name = layer.recurrent_kernel[word].astype(np.float64), f'U of "{layer.path}", {word}'
    else:
        matrix, name = np.asarray(layer, np.float64), "U"
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"recurrent_powers: expected a recurrent layer or a square matrix, got {matrix.shape}.")
    eigenvalues = np.linalg.eigvals(matrix)
    power, norms = np.eye(len(matrix)), []
    for _ in range(n + 1):
        norms.append(float(np.linalg.norm(power, 2)))
        power = power @ matrix
    radius = float(np.abs(eigenvalues).max())
    return Powers(name, radius, eigenvalues, float(np.linalg.norm(matrix, 2)), np.array(norms))


def unrolled_terms(layer: Any, x: Any) -> Table:
    """The chapter's h_T = W x_T + U W x_{T-1} + U^2 W x_{T-2} + ... as numbers: the norm of every term.

    Args: layer: a SimpleRNN, built; x (T, D): one input. Without bias and activation, as in the formula.
    """
    if not isinstance(layer, Recurrent) or layer.cell != "simple_rnn":
        raise UnknownNameError(f"unrolled_terms: expected a SimpleRNN, got {layer!r}.")
    w, u = layer.kernel.value.astype(np.float64), layer.recurrent_kernel.value.astype(np.float64)
    rows, power, total = [], np.eye(layer.units), np.zeros(layer.units)
    x = np.asarray(x, np.float64)
    for k, step in enumerate(x[::-1]):
        term = step @ w @ power
        total += term
        name = {0: "W", 1: "U W"}.get(k, f"U^{k} W")
        rows.append([f"{name} x_{len(x) - k}", show_number(np.linalg.norm(term))])
        power = power @ u
    notes = [f"norm of the sum {show_number(np.linalg.norm(total))}"]
    return Table(f"h_{len(x)} as a sum of its terms", ["term", "norm"], rows, notes=notes)


def plot_flow(
    flows: Mapping[str, Flow], path: str | os.PathLike[str] | None = None, title: str | None = None, share: bool = True
) -> Any:
    """Lines of |dL/dh| over the steps before the last, one a flow, on a logarithmic scale, with the quartiles.

    Args:    flows {label: Flow}; path of a picture; share: as a part of the gradient at the last step.
    Returns: the matplotlib Figure.
    Raises:  MissingExtraError if matplotlib is not installed.
    """
    figure = require_extra("matplotlib.figure", "plot", "plotting").Figure(
        figsize=(7.2, 4.2), dpi=144, layout="constrained"
    )
    axes = figure.subplots()
    draw_flow(axes, flows, share)
    if title:
        axes.set_title(title)
    if path is not None:
        figure.savefig(path)
    return figure


def draw_flow(axes: Any, flows: Mapping[str, Flow], share: bool = True) -> None:
    """The same on axes that are there already."""
    for colour, (label, flow) in zip(COLOURS * 9, flows.items(), strict=False):
        lags = np.arange(len(flow.h))
        axes.plot(lags, flow.share if share else flow.h, color=colour, linewidth=2, label=label)
        if not share:
            axes.fill_between(lags, flow.low, flow.high, color=colour, alpha=0.15, linewidth=0)
    axes.set_yscale("log")
    axes.set_xlabel("Steps before the last")
    axes.set_ylabel("|dL/dh| / |dL/dh at the last step|" if share else "|dL/dh|")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
