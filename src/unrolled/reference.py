"""SimpleRNN, LSTM and GRU from the papers' equations, in plain NumPy: to read, and to check the engine with.

Read it in this order: the activations; one cell (its step, and the step backwards beside it); then `forward`
and `backward`, the loop over time that all cells share. Nothing here is shared with the engine, on purpose:
where the two agree, both are right.

Sizes: B sequences, T steps, D features in, H units. `*` is entry by entry, `@` the matrix product.
Weights are laid out as Keras does: the gates of a cell side by side in one array,
    kernel (D, G*H)    recurrent_kernel (H, G*H)    bias (G*H,) or None
with G = 1 for SimpleRNN; LSTM G = 4: input, forget, candidate, output; GRU G = 3: update, reset, candidate,
and bias (2, 3H), one row for each matrix product, if reset_after. A gradient of `a` is called `d_a`; it has
a's shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.errors import ShapeError

Array = NDArray[Any]
State = tuple[Array, ...]  # (h,), or (h, c) for the LSTM
Saved = dict[str, Array]  # what a step keeps for its way back

# --- activations ---


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), written so that exp never overflows."""
    e = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1 / (1 + e), e / (1 + e)))


def hard_sigmoid(z: Array) -> Array:
    """The straight line z/6 + 1/2, cut at 0 and 1 (Keras 3: relu6(z + 3) / 6)."""
    return np.asarray(np.clip(z + 3, 0, 6) / 6)


class Activation(NamedTuple):
    """y = function(z), and dy/dz = slope(y): here every slope can be read off the value."""

    function: Callable[[Array], Array]
    slope: Callable[[Array], Array]


ACTIVATIONS = {
    "tanh": Activation(np.tanh, lambda y: 1 - y * y),
    "sigmoid": Activation(sigmoid, lambda y: y * (1 - y)),
    "relu": Activation(lambda z: np.maximum(z, 0), lambda y: (y > 0).astype(y.dtype)),
    "linear": Activation(lambda z: z, np.ones_like),
    "hard_sigmoid": Activation(hard_sigmoid, lambda y: ((y > 0) & (y < 1)).astype(y.dtype) / 6),
    "softsign": Activation(lambda z: z / (1 + np.abs(z)), lambda y: (1 - np.abs(y)) ** 2),
}


def softmax(z: Array) -> Array:
    """exp(z) / sum(exp(z)) along the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


# --- cells ---


class Weights(NamedTuple):
    """The three arrays of a recurrent layer, in Keras' order and layout."""

    kernel: Array
    recurrent_kernel: Array
    bias: Array | None = None


Stepped = tuple[State, Saved]  # new state, saved
SteppedBack = tuple[Array, State, Weights]  # d_x, d_state before, gradients of the weights


@dataclass(frozen=True)
class Cell:
    """One recurrent cell: its sizes and names, the step, and the step backwards.

    step(x (B, D), state, weights, f, g)            -> new state, saved
    step_backward(saved, d_state, weights, f, g)    -> d_x, d_state before, gradients of the weights
    with f = activation and g = recurrent_activation.
    """

    gates: tuple[str, ...]
    states: tuple[str, ...]
    bias_rows: int
    step: Callable[[Array, State, Weights, Activation, Activation], Stepped]
    step_backward: Callable[[Saved, State, Weights, Activation, Activation], SteppedBack]


def simple_rnn_step(x: Array, state: State, w: Weights, f: Activation, g: Activation) -> Stepped:
    """h' = f(x W + h U + b).

    Source: Elman 1990, "Finding structure in time".
    """
    (h,) = state
    z = x @ w.kernel + h @ w.recurrent_kernel
    new_h = f.function(z if w.bias is None else z + w.bias)
    return (new_h,), {"x": x, "h": h, "hidden": new_h}


def simple_rnn_step_backward(s: Saved, d_state: State, w: Weights, f: Activation, g: Activation) -> SteppedBack:
    """d_z = d_h' * f'(z), and from there to everything that z was made of."""
    d_z = d_state[0] * f.slope(s["hidden"])
    d_weights = Weights(s["x"].T @ d_z, s["h"].T @ d_z, d_z.sum(axis=0))
    return d_z @ w.kernel.T, (d_z @ w.recurrent_kernel.T,), d_weights


def lstm_step(x: Array, state: State, w: Weights, f: Activation, g: Activation) -> Stepped:
    """One step of long short-term memory.

    input, forget, output = g(x W + h U + b)      candidate = f(x W + h U + b)      each with its own W, U, b
    c' = forget * c + input * candidate           h' = output * f(c')

    Source: Hochreiter & Schmidhuber 1997, "Long short-term memory"; the forget gate: Gers, Schmidhuber &
    Cummins 2000, "Learning to forget".
    """
    h, c = state
    z = x @ w.kernel + h @ w.recurrent_kernel
    z_input, z_forget, z_candidate, z_output = np.split(z if w.bias is None else z + w.bias, 4, axis=1)
    i, forget, o = g.function(z_input), g.function(z_forget), g.function(z_output)
    candidate = f.function(z_candidate)
    new_c = forget * c + i * candidate
    seen_c = f.function(new_c)
    new_h = o * seen_c
    saved = {"x": x, "h": h, "c": c, "input": i, "forget": forget, "candidate": candidate, "output": o}
    return (new_h, new_c), saved | {"seen_c": seen_c}


def lstm_step_backward(s: Saved, d_state: State, w: Weights, f: Activation, g: Activation) -> SteppedBack:
    """The equations of `lstm_step` from last to first; c' receives from h' and from the step after it."""
    d_h, d_c = d_state
    d_c = d_c + d_h * s["output"] * f.slope(s["seen_c"])
    d_input = d_c * s["candidate"] * g.slope(s["input"])
    d_forget = d_c * s["c"] * g.slope(s["forget"])
    d_candidate = d_c * s["input"] * f.slope(s["candidate"])
    d_output = d_h * s["seen_c"] * g.slope(s["output"])
    d_z = np.concatenate([d_input, d_forget, d_candidate, d_output], axis=1)
    d_weights = Weights(s["x"].T @ d_z, s["h"].T @ d_z, d_z.sum(axis=0))
    return d_z @ w.kernel.T, (d_z @ w.recurrent_kernel.T, d_c * s["forget"]), d_weights


def gru_reset_before_step(x: Array, state: State, w: Weights, f: Activation, g: Activation) -> Stepped:
    """One step of a gated recurrent unit; the reset gate acts on the state (reset_after=False).

    update, reset = g(x W + h U + b)              candidate = f(x W + (reset * h) U + b)
    h' = update * h + (1 - update) * candidate

    Source: Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder" (version 3).
    """
    (h,) = state
    units = h.shape[1]
    z = x @ w.kernel if w.bias is None else x @ w.kernel + w.bias
    gates = g.function(z[:, : 2 * units] + h @ w.recurrent_kernel[:, : 2 * units])
    update, reset = gates[:, :units], gates[:, units:]
    candidate = f.function(z[:, 2 * units :] + (reset * h) @ w.recurrent_kernel[:, 2 * units :])
    new_h = update * h + (1 - update) * candidate
    return (new_h,), {"x": x, "h": h, "update": update, "reset": reset, "candidate": candidate}


def gru_reset_before_step_backward(s: Saved, d_state: State, w: Weights, f: Activation, g: Activation) -> SteppedBack:
    """The equations of `gru_reset_before_step` from last to first."""
    (d_new_h,) = d_state
    h, units = s["h"], s["h"].shape[1]
    for_gates, for_candidate = w.recurrent_kernel[:, : 2 * units], w.recurrent_kernel[:, 2 * units :]
    d_update = d_new_h * (h - s["candidate"]) * g.slope(s["update"])
    d_candidate = d_new_h * (1 - s["update"]) * f.slope(s["candidate"])
    d_reset_h = d_candidate @ for_candidate.T
    d_reset = d_reset_h * h * g.slope(s["reset"])
    d_gates = np.concatenate([d_update, d_reset], axis=1)
    d_h = d_new_h * s["update"] + d_reset_h * s["reset"] + d_gates @ for_gates.T
    d_recurrent = np.concatenate([h.T @ d_gates, (s["reset"] * h).T @ d_candidate], axis=1)
    d_z = np.concatenate([d_gates, d_candidate], axis=1)
    return d_z @ w.kernel.T, (d_h,), Weights(s["x"].T @ d_z, d_recurrent, d_z.sum(axis=0))


def gru_reset_after_step(x: Array, state: State, w: Weights, f: Activation, g: Activation) -> Stepped:
    """One step of a gated recurrent unit; the reset gate acts after the product (reset_after=True).

    update, reset = g(x W + b + h U + b_r)        candidate = f(x W + b + reset * (h U + b_r))
    h' = update * h + (1 - update) * candidate    bias = [b, b_r]

    Source: Cho et al. 2014 (version 1 of the paper; the form that cuDNN computes).
    """
    (h,) = state
    from_x, from_h = x @ w.kernel, h @ w.recurrent_kernel
    if w.bias is not None:
        from_x, from_h = from_x + w.bias[0], from_h + w.bias[1]
    x_update, x_reset, x_candidate = np.split(from_x, 3, axis=1)
    h_update, h_reset, h_candidate = np.split(from_h, 3, axis=1)
    update, reset = g.function(x_update + h_update), g.function(x_reset + h_reset)
    candidate = f.function(x_candidate + reset * h_candidate)
    new_h = update * h + (1 - update) * candidate
    saved = {"x": x, "h": h, "update": update, "reset": reset, "candidate": candidate}
    return (new_h,), saved | {"h_candidate": h_candidate}


def gru_reset_after_step_backward(s: Saved, d_state: State, w: Weights, f: Activation, g: Activation) -> SteppedBack:
    """The equations of `gru_reset_after_step` from last to first."""
    (d_new_h,) = d_state
    d_update = d_new_h * (s["h"] - s["candidate"]) * g.slope(s["update"])
    d_candidate = d_new_h * (1 - s["update"]) * f.slope(s["candidate"])
    d_reset = d_candidate * s["h_candidate"] * g.slope(s["reset"])
    d_from_x = np.concatenate([d_update, d_reset, d_candidate], axis=1)
    d_from_h = np.concatenate([d_update, d_reset, d_candidate * s["reset"]], axis=1)
    d_h = d_new_h * s["update"] + d_from_h @ w.recurrent_kernel.T
    d_bias = np.stack([d_from_x.sum(axis=0), d_from_h.sum(axis=0)])
    return d_from_x @ w.kernel.T, (d_h,), Weights(s["x"].T @ d_from_x, s["h"].T @ d_from_h, d_bias)


GRU_GATES = ("update", "reset", "candidate")
LSTM_GATES = ("input", "forget", "candidate", "output")
CELLS = {
    "simple_rnn": Cell(("hidden",), ("h",), 1, simple_rnn_step, simple_rnn_step_backward),
    "lstm": Cell(LSTM_GATES, ("h", "c"), 1, lstm_step, lstm_step_backward),
    "gru_reset_before": Cell(GRU_GATES, ("h",), 1, gru_reset_before_step, gru_reset_before_step_backward),
    "gru_reset_after": Cell(GRU_GATES, ("h",), 2, gru_reset_after_step, gru_reset_after_step_backward),
}


def thinned(
    w: Weights, gates: int, input_mask: ArrayLike | None = None, state_mask: ArrayLike | None = None
) -> Weights:
    """The weights that one row of a batch meets under dropout that is constant over time.

    Dropping a feature before the product is dropping a row of the matrix: (x * m) W = x (m W), gate by gate. So each
    row of the batch runs through a network of its own, and the gradient of W is the sum over the rows of m * theirs.

    Args:    gates: G; input_mask: (1, D) for all gates or (G, D); state_mask: (G, H); entries 0 or 1 / (1 - rate);
             None: all kept.
    Source:  Gal & Ghahramani 2016, "A theoretically grounded application of dropout in recurrent neural networks".
    """

    def rows(matrix: Array, mask: ArrayLike | None) -> Array:
        if mask is None:
            return matrix
        by_gate = np.broadcast_to(np.asarray(mask, matrix.dtype), (gates, matrix.shape[0]))
        thin: Array = matrix * np.repeat(by_gate.T, matrix.shape[1] // gates, axis=1)
        return thin

    return Weights(rows(w.kernel, input_mask), rows(w.recurrent_kernel, state_mask), w.bias)


# --- the loop over time ---


@dataclass(frozen=True)
class Run:
    """What a pass over a batch computed. Steps stand in running order: last step first if go_backwards.

    outputs (B, T, H); last (B, H) = outputs[:, -1]; h, c (B, H) final states (c None but for the LSTM);
    states name -> (B, T, H), each state after each step; gates name -> (B, T, H), NaN where a masked step
    did not run; row_steps: how many steps of rows ran.
    """

    outputs: Array
    states: dict[str, Array]
    gates: dict[str, Array]
    h: Array
    c: Array | None
    mask: Array  # (B, T) in running order
    row_steps: int
    cell: Cell
    weights: Weights
    activation: Activation
    recurrent_activation: Activation
    go_backwards: bool
    saved: list[Saved]

    @property
    def last(self) -> Array:
        """The output of the last step; zeros in a row without any step that ran."""
        return self.outputs[:, -1] if self.outputs.shape[1] else np.zeros_like(self.h)


def forward(
    cell: str,
    x: ArrayLike,
    weights: Sequence[Any],
    *,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    activation: str = "tanh",
    recurrent_activation: str = "sigmoid",
    go_backwards: bool = False,
) -> Run:
    """Run a cell over a batch of sequences: state' = step(x[:, t], state), one t after the other.

    A masked step is not run: the state stays, and the output repeats the one before it (zeros before the
    first step that runs, whatever the initial state).

    Args:    cell: "simple_rnn", "lstm", "gru_reset_before" or "gru_reset_after"; x (B, T, D);
             weights: kernel, recurrent_kernel, bias (None or left out: no bias), as in the head of this file;
             h0, c0 (B, H): initial states, zeros by default; mask (B, T), True = keep, all by default;
             activation, recurrent_activation: see ACTIVATIONS; go_backwards: run from last to first step.
    Returns: a `Run`. Arrays have x's float type (float64 if x is not a float array).
    Raises:  ValueError for an unknown name; ShapeError (a ValueError) for an array that does not fit.
    """
    kind = _lookup(CELLS, cell, "cell")
    f = _lookup(ACTIVATIONS, activation, "activation")
    g = _lookup(ACTIVATIONS, recurrent_activation, "recurrent_activation")
    x = np.asarray(x)
    x = x if np.issubdtype(x.dtype, np.floating) else x.astype(np.float64)
    if x.ndim != 3:
        raise ShapeError(f"{cell}: expected x with 3 axes (batch, time, features), got shape {x.shape}.")
    batch, steps, _ = x.shape
    w = _check_weights(cell, kind, weights, x)
    units = w.recurrent_kernel.shape[0]
    given = dict(zip(("h", "c"), (h0, c0), strict=True))
    state = tuple(_initial(f"{name}0", given[name], (batch, units), x) for name in kind.states)
    if c0 is not None and "c" not in kind.states:
        raise ValueError(f"{cell}: got c0, but only the LSTM has a cell state.")
    keep = np.ones((batch, steps), bool) if mask is None else np.asarray(mask).astype(bool)
    if keep.shape != (batch, steps):
        raise ShapeError(f"{cell}: expected mask with shape {(batch, steps)}, got {keep.shape}.")
    if go_backwards:
        x, keep = x[:, ::-1], keep[:, ::-1]

    outputs = np.zeros((batch, steps, units), x.dtype)
    states = {name: np.zeros_like(outputs) for name in kind.states}
    gates = {name: np.full_like(outputs, np.nan) for name in kind.gates}
    saved = []
    for t in range(steps):
        rows = np.flatnonzero(keep[:, t])
        new, kept = kind.step(x[rows, t], tuple(s[rows] for s in state), w, f, g)
        state = tuple(_replace_rows(old, rows, part) for old, part in zip(state, new, strict=True))
        outputs[:, t] = outputs[:, t - 1] if t > 0 else 0
        outputs[rows, t] = new[0]
        for name, part in zip(kind.states, state, strict=True):
            states[name][:, t] = part
        for name in kind.gates:
            gates[name][rows, t] = kept[name]
        saved.append(kept)
    c = state[1] if len(state) == 2 else None
    return Run(outputs, states, gates, state[0], c, keep, int(keep.sum()), kind, w, f, g, go_backwards, saved)


def backward(
    run: Run,
    d_outputs: ArrayLike | None = None,
    *,
    d_last: ArrayLike | None = None,
    d_h: ArrayLike | None = None,
    d_c: ArrayLike | None = None,
) -> dict[str, Array]:
    """Gradients of a loss L, given those with respect to what `forward` returned (back-propagation in time).

    Args:    run: what `forward` returned; d_outputs (B, T, H): dL/d outputs, steps in running order;
             d_last (B, H): dL/d last output; d_h, d_c (B, H): dL/d final states. What is left out is zero.
    Returns: d_x (B, T, D), steps as in x; d_kernel, d_recurrent_kernel, d_bias (if there is a bias); d_h0,
             and d_c0 for the LSTM.
    Raises:  ShapeError (a ValueError) for an array that does not fit.
    Source:  Werbos 1990, "Backpropagation through time: what it does and how to do it".
    """
    w, (batch, steps, _) = run.weights, run.outputs.shape
    if d_c is not None and run.c is None:
        raise ValueError("backward: got d_c, but only the LSTM has a cell state.")
    given = dict(zip(("d_h", "d_c"), (d_h, d_c), strict=True))
    d_state = tuple(_initial(f"d_{name}", given[f"d_{name}"], run.h.shape, run.h) for name in run.cell.states)
    d_out = _initial("d_last", d_last, run.h.shape, run.h)  # flows back through outputs that repeat
    d_all = _initial("d_outputs", d_outputs, run.outputs.shape, run.outputs)
    d_x = np.zeros((batch, steps, w.kernel.shape[0]), run.h.dtype)
    d_weights = [np.zeros_like(a) for a in w if a is not None]
    for t in reversed(range(steps)):
        rows = np.flatnonzero(run.mask[:, t])
        d_out = d_out + d_all[:, t]
        d_new = (d_state[0][rows] + d_out[rows], *(d[rows] for d in d_state[1:]))
        d_out = _replace_rows(d_out, rows, 0)
        d_x[rows, t], d_old, d_w = run.cell.step_backward(
            run.saved[t], d_new, w, run.activation, run.recurrent_activation
        )
        d_state = tuple(_replace_rows(d, rows, part) for d, part in zip(d_state, d_old, strict=True))
        d_weights = [a + part for a, part in zip(d_weights, d_w, strict=False)]  # no bias: none in the sum
    result = {"d_x": d_x[:, ::-1] if run.go_backwards else d_x}
    result |= dict(zip(("d_kernel", "d_recurrent_kernel", "d_bias"), d_weights, strict=False))
    return result | {f"d_{name}0": d for name, d in zip(run.cell.states, d_state, strict=True)}


def _replace_rows(a: Array, rows: Array, values: Array | int) -> Array:
    """A copy of `a` with other values in `rows`."""
    new = a.copy()
    new[rows] = values
    return new


def _lookup(table: dict[str, Any], name: str, what: str) -> Any:
    """table[name], or an error that lists the names."""
    if name not in table:
        raise ValueError(f"{what}: expected one of {', '.join(table)}, got {name!r}.")
    return table[name]


def _initial(name: str, value: ArrayLike | None, shape: tuple[int, ...], like: Array) -> Array:
    """The given array in the float type of `like`, or zeros; checked for its shape."""
    array = np.zeros(shape, like.dtype) if value is None else np.asarray(value, like.dtype)
    if array.shape != shape:
        raise ShapeError(f"{name}: expected shape {shape}, got {array.shape}.")
    return array


def _check_weights(cell: str, kind: Cell, weights: Sequence[Any], x: Array) -> Weights:
    """The weights in x's float type, each checked for its shape."""
    kernel, recurrent_kernel, bias = (*weights, None)[:3]
    w = Weights(
        np.asarray(kernel, x.dtype),
        np.asarray(recurrent_kernel, x.dtype),
        None if bias is None else np.asarray(bias, x.dtype),
    )
    units, width = w.recurrent_kernel.shape[0], w.recurrent_kernel.shape[0] * len(kind.gates)
    bias_shape = (width,) if kind.bias_rows == 1 else (kind.bias_rows, width)
    shapes = ((x.shape[2], width), (units, width), bias_shape)
    for name, array, shape in zip(w._fields, w, shapes, strict=True):
        if array is not None and array.shape != shape:
            raise ShapeError(f"{cell}: expected {name} with shape {shape}, got {array.shape}.")
    return w
