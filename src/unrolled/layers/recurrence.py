"""What SimpleRNN, LSTM and GRU share: a cell unrolled over a sequence on the fused engine."""

from __future__ import annotations

import difflib
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np

from unrolled import _native, engine, initializers
from unrolled.activations import Activation
from unrolled.batch import Sequence, sum_rows
from unrolled.errors import ShapeError
from unrolled.layers.base import Layer
from unrolled.layers.dropout import draw_scale
from unrolled.layers.gates import gate_columns
from unrolled.layers.recurrent_dropout import NONE, Factors, Values, values_of
from unrolled.layers.values import as_value, cast
from unrolled.layers.watch import report, watched
from unrolled.parameters import Array, Backprop, Gradients, Mode, Parameter, Shape, no_backprop

MaybeArray = Array | None
# of native forward: cell, activations, plan, z, recurrent kernel and bias, h0, c0, drop
Asked = tuple[int, int, int, _native.Plan, Array, Array, MaybeArray, MaybeArray, MaybeArray, MaybeArray]
# table, rows, kernel, drop, owner, and whether d_kernel, d_bias and d_x are wanted
OfInput = tuple[Array, MaybeArray, Array, MaybeArray, MaybeArray, bool, bool, bool]
_NUMBERS = {name: number for number, name in enumerate(engine.ACTIVATIONS)}


def engine_activation(layer: Layer, argument: str, value: Any) -> str:
    """The name of an activation that the engine has.

    Raises: ValueError naming the layer, the argument and the activations there are.
    """
    name = "linear" if value is None else value.name if isinstance(value, Activation) else value
    if name not in engine.ACTIVATIONS:
        near = difflib.get_close_matches(str(name), engine.ACTIVATIONS, n=1)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        raise ValueError(
            f'{layer.label}: expected {argument} to be one of {", ".join(engine.ACTIVATIONS)}, got "{name}".{hint}'
        )
    return str(name)


class Pass(NamedTuple):
    """What the engine computed in one pass over a batch; arrays as in native/kernels.h.

    h, c (state rows, Hp); stash (positions, slots*Hp); last, final_h, final_c (B, H); values: what was projected;
    factors: what dropout multiplied by.
    """

    plan: _native.Plan
    h: Array
    c: Array
    stash: Array
    last: Array
    final_h: Array
    final_c: Array
    values: Values
    factors: Factors = NONE


class Head(NamedTuple):
    """A dense map of the last outputs to logits, and their cross-entropy, which the engine runs row by row.

    kernel (H, K); bias (K,) or None; labels (B, K); softmax: or else a sigmoid of each logit; weights (B,): by how much
    each row's value counts in the loss, or one number for all; learns: whether the map's gradients are wanted.
    """

    kernel: Array
    bias: Array | None
    labels: Array
    softmax: bool
    weights: Array | float
    learns: bool


class HeadPass(NamedTuple):
    """What a head gave: the loss, logits (B, K), gradients (H, K) and (K,) of its map; d_x, see Recurrent.forward."""

    loss: float
    logits: Array
    d_kernel: Array
    d_bias: Array
    d_x: Array | None


class Recurrent(Layer):
    """What SimpleRNN, LSTM and GRU share: a cell unrolled over a sequence.

    Args:
        units: H, an integer > 0.
        activation: of the candidate and the output; recurrent_activation (LSTM, GRU): of the gates. Any of
            tanh, sigmoid, relu, linear, hard_sigmoid, softsign.
        use_bias; kernel_initializer, recurrent_initializer, bias_initializer: names or initializers.
        dropout: in training, zero features of the input with this probability, the same ones at all steps, and scale
            the others by 1 / (1 - dropout). recurrent_dropout: the same for the state before each step, where it meets
            the recurrent kernel; each gate draws its own, and then each gate also draws its own of the input.
        return_sequences: (B, T, H) instead of (B, H). return_state: also the final states (B, H).
        go_backwards: run from the last step to the first; sequences come back in running order.
        stateful: start each batch from the final states of the one before, row by row.
        unroll: accepted; the result is the same.
    Input:   x (B, T, D) float32 or float64, or the output of Embedding; mask (B, T) bool, True = keep.
    Output:  (B, H), or (B, T, H) if return_sequences; a masked step repeats the output before it (zeros at first).
    Raises:  ShapeError if the last axis of x is not the D seen at build.
    """

    input_rank = 3
    cell: ClassVar[str]
    elsewhere = (
        *Layer.elsewhere,
        ("time_major", (False,), "Give x as (batch, time, features): x.swapaxes(0, 1)."),
        ("implementation|use_cudnn|seed", (), ""),
    )

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        *,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = self.positive_integer("units", units)
        self.activation = engine_activation(self, "activation", activation)
        self.recurrent_activation = "sigmoid"
        self.use_bias = bool(use_bias)
        self.kernel_initializer = self.named("kernel_initializer", initializers.get, kernel_initializer)
        self.recurrent_initializer = self.named("recurrent_initializer", initializers.get, recurrent_initializer)
        self.bias_initializer = self.named("bias_initializer", initializers.get, bias_initializer)
        self.dropout = self.fraction("dropout", dropout or 0.0)
        self.recurrent_dropout = self.fraction("recurrent_dropout", recurrent_dropout or 0.0)
        self.return_sequences = bool(return_sequences)
        self.return_state = bool(return_state)
        self.go_backwards = bool(go_backwards)
        self.stateful = bool(stateful)
        self.unroll = bool(unroll)
        self.states: list[Array] | None = None

    # ---- weights

    @property
    def kind(self) -> engine.CellKind:
        """The cell as the engine knows it."""
        return engine.CELLS[self.cell]

    def build(self, input_shape: Shape) -> None:
        """Make kernel (D, G*H), recurrent_kernel (H, G*H) and bias."""
        features, width = self.known_features(input_shape), self.kind.gates * self.units
        self.kernel = self.add_weight("kernel", (features, width), self.kernel_initializer)
        self.recurrent_kernel = self.add_weight("recurrent_kernel", (self.units, width), self.recurrent_initializer)
        self.bias: Parameter | None = None
        if self.use_bias:
            shape = (2, width) if self.kind.biases == 2 else (width,)
            self.bias = self.add_weight("bias", shape, self.bias_initializer)
            if not self.built:
                self.start_bias(self.bias.value)
        for parameter in self._parameters:
            parameter.gate_columns = partial(gate_columns, self.cell, self.units, parameter.path)
        super().build(input_shape)

    def start_bias(self, bias: Array) -> None:
        """Change a fresh bias where the cell wants it so."""

    def compute_output_shape(self, input_shape: Shape) -> Any:
        """(B, H) or (B, T, H); with return_state a list, the states (B, H) after it."""
        batch, steps = input_shape[:2]
        shape = (batch, steps, self.units) if self.return_sequences else (batch, self.units)
        return [shape] + [(batch, self.units)] * self.kind.states if self.return_state else shape

    # ---- passes

    def forward(
        self, x: Any, mode: Mode, initial_state: list[Array] | tuple[Array, ...] | None = None
    ) -> tuple[Any, Backprop]:
        """Run over a batch.

        Args:    x: array (B, T, D) or Sequence; initial_state: [h (B, H)], for LSTM [h, c].
        Returns: y and backprop(d_y, gradients). y is (B, H) or a Sequence; with return_state the tuple
                 (y, h) or (y, h, c). backprop takes the gradients in the same form, d_y with respect to a Sequence's
                 values, None for zeros, and returns d_x, or (d_x, [d_h, d_c]) if initial_state was given.
        """
        given = initial_state is not None
        sequence, states, factors = self._begin(x, mode, initial_state)
        ran = self.run(sequence, mode.keep, states, factors)
        report("pass", self, x=sequence, ran=ran)
        if self.stateful:
            self.states = [ran.final_h, ran.final_c][: self.kind.states]
        y = self._output(sequence, ran)
        if not mode.keep:
            return y, no_backprop

        used = False

        def backprop(d_y: Any, gradients: Gradients) -> Any:
            nonlocal used
            if used:
                raise RuntimeError(f"{self.label}: backprop runs once, for it overwrites the stash. Run forward again.")
            used = True
            d_x, d_states = self._backward(sequence, ran, d_y, gradients, mode)
            if d_x is not None and not isinstance(x, Sequence):
                d_x = d_x[sequence.index]
            return (d_x, d_states) if given else d_x

        return y, backprop

    def forward_to(self, head: Head, x: Any, mode: Mode, gradients: Gradients, later: bool = False) -> HeadPass:
        """Run over a batch, through `head`, and back through time: some rows after others, what they keep stays near.

        The same bits as `forward`, a Dense layer, its loss, and their backprops one after the other; only without
        return_sequences and return_state.

        Args: x, mode: as forward; gradients: to which this layer's are added; later: d_x and what is added may still be
              computed until gradients.finish().
        """
        sequence, states, factors = self._begin(x, mode, None)
        _, values, asked = self._asked(sequence, states, factors)
        weights, weight = (head.weights, 0.0) if isinstance(head.weights, np.ndarray) else (None, head.weights)
        loss, logits, ended, d_top, d_top_bias, d_recurrent, *of_input = _native.forward_and_back(
            *asked, head.kernel, head.bias, head.labels, head.softmax, weights, weight, head.learns, self.stateful,
            *self._of_input(sequence, values, factors, mode), later and values.distinct is None,  # or it is summed here
        )  # fmt: skip
        if ended is not None:
            self.states = list(ended[: self.kind.states])
        d_x = self._add(gradients, d_recurrent, of_input, sequence, values, mode)
        return HeadPass(loss, logits, d_top, d_top_bias, d_x)

    def _begin(self, x: Any, mode: Mode, initial_state: Any) -> tuple[Sequence, list[Array] | None, Factors]:
        """What a pass runs on: the input as a Sequence, the states to start from, what dropout multiplies by."""
        wants_x = mode.keep and mode.input_gradient  # then every position of an array needs a row of its own
        sequence = cast(x if isinstance(x, Sequence) else as_value(x, share=not wants_x), self.dtype)
        self.require_features(sequence, self.kernel.shape[0])
        given = initial_state is not None
        states = self._initial_states(len(sequence.index), initial_state) if given or self.stateful else None
        return sequence, states, self.draw_factors(len(sequence.index), mode) if mode.training else NONE

    @property
    def draws(self) -> bool:
        """Equal rows may come out differently in training."""
        return self.dropout > 0 or self.recurrent_dropout > 0

    def draw_factors(self, batch: int, mode: Mode) -> Factors:
        """What a training pass over `batch` rows multiplies by: Keras' masks, drawn anew for each batch."""
        if not self.draws:
            return NONE
        gates, features = self.kind.gates, self.kernel.shape[0]
        of_input = of_state = None
        if self.dropout > 0:
            masks = gates if self.recurrent_dropout > 0 else 1
            of_input = draw_scale((batch, masks, features), self.dropout, self.dtype, mode)
        if self.recurrent_dropout > 0:
            of_state = draw_scale((batch, gates, self.units), self.recurrent_dropout, self.dtype, mode)
        return Factors(of_input, of_state)

    def run(self, x: Sequence, keep: bool, states: list[Array] | None = None, factors: Factors = NONE) -> Pass:
        """One pass of the engine; with keep everything that backward and inspection need stays."""
        plan, values, asked = self._asked(x, states, factors)
        return Pass(plan, *_native.forward(*asked, keep, self.return_sequences), values, factors)

    def _asked(self, x: Sequence, states: list[Array] | None, factors: Factors) -> tuple[_native.Plan, Values, Asked]:
        """The plan of a pass, what it projects, and what the engine is given to run it."""
        kind, lead, values = self.kind, x.trail if self.go_backwards else x.lead, values_of(x, factors)
        if factors.any:  # rows that lose other features run on trajectories of their own
            lead = np.zeros_like(lead)
        bias = None if self.bias is None else self.bias.now().reshape(-1, kind.gates * self.units)
        z, later = _native.project(
            kind.number, self.units, x.table, values.rows, self.kernel.value, None if bias is None else bias[0],
            factors.input, values.owner, True,
        )  # fmt: skip
        plan = _native.plan(values.index, x.mask, lead, values.n, self.go_backwards, states is not None)
        if later is not None:
            later.finish()
        engine.report_row_steps(self.name, plan.row_steps)
        h0, c0 = (*(states or []), None, None)[:2]
        bias_of_states = bias[1] if bias is not None and kind.biases == 2 else None
        kernel = self.recurrent_kernel.value
        return plan, values, (kind.number, *self._activations, plan, z, kernel, bias_of_states, h0, c0, factors.state)

    @property
    def _activations(self) -> tuple[int, int]:
        return _NUMBERS[self.activation], _NUMBERS[self.recurrent_activation]

    def _output(self, x: Sequence, ran: Pass) -> Any:
        y: Any = ran.last
        if self.return_sequences:
            shown = 1 + ran.plan.row_steps
            y = Sequence(
                table=ran.h[:shown, : self.units], index=ran.plan.out_index(), mask=x.mask, lead=ran.plan.shared()
            )
        return (y, ran.final_h, ran.final_c)[: 1 + self.kind.states] if self.return_state else y

    def _backward(
        self, x: Sequence, ran: Pass, d_y: Any, gradients: Gradients, mode: Mode
    ) -> tuple[Array | None, list[Array]]:
        kind = self.kind
        d_out, d_h, d_c = (*(d_y if self.return_state else (d_y,)), None, None)[:3]
        if not self.return_sequences or d_out is None or d_out.strides[-1] != d_out.itemsize:
            d_out = _ready(d_out, self.dtype)
        else:  # rows may stand apart
            d_out = d_out.astype(self.dtype, copy=False)
        d_h, d_c = _ready(d_h, self.dtype), _ready(d_c, self.dtype)
        stash = ran.stash  # becomes the gradients of the pre-activations: backprop runs once
        *of_states, d_h0, d_c0, d_h_all, d_c_all = _native.backward(
            kind.number, *self._activations, ran.plan, self.recurrent_kernel.value, ran.factors.state, ran.h, ran.c,
            stash, d_out if self.return_sequences else None, None if self.return_sequences else d_out, d_h, d_c,
            watched(),
        )  # fmt: skip
        report("back", self, x=x, ran=ran, d_h=d_h_all, d_c=d_c_all, d_out=d_out)
        d_recurrent, d_recurrent_bias, frequent = of_states
        table, rows, kernel, drop, owner, *wanted = self._of_input(x, ran.values, ran.factors, mode)
        of_input = _native.project_backward(
            kind.number, ran.plan, table, rows, kernel, drop, owner, stash, frequent, d_recurrent_bias, *wanted
        )
        return self._add(gradients, d_recurrent, of_input, x, ran.values, mode), [d_h0, d_c0][: kind.states]

    def _of_input(self, x: Sequence, values: Values, factors: Factors, mode: Mode) -> OfInput:
        """What the way back through the kernel needs of the layer's input, and what is wanted of it."""
        learns = self.kernel.trainable
        return (
            x.table, values.rows, self.kernel.value, factors.input, values.owner,
            learns, learns and self.bias is not None, mode.input_gradient,
        )  # fmt: skip

    def _add(
        self, gradients: Gradients, d_recurrent: Array, of_input: Any, x: Sequence, values: Values, mode: Mode
    ) -> Array | None:
        """Add all gradients of the layer; returns d_x. of_input: d_kernel, d_bias, d_x, and what computes them."""
        d_kernel, d_bias, d_x, later = of_input
        gradients.follow(later)
        if mode.input_gradient and values.distinct is not None:
            d_x = sum_rows(d_x, values.distinct, x.n)
        if self.kernel.trainable:
            gradients.add(self.kernel, d_kernel)
            gradients.add(self.recurrent_kernel, d_recurrent)
            if self.bias is not None:
                gradients.add(self.bias, d_bias if self.kind.biases == 2 else d_bias[0])
        return d_x if mode.input_gradient else None

    # ---- states

    def _initial_states(self, batch: int, given: Any) -> list[Array] | None:
        if given is None:
            if not self.stateful or self.states is None:
                return None
            if self.states[0].shape[0] != batch:
                raise ShapeError(
                    f"{self.label}: it is stateful and the batch before had {self.states[0].shape[0]} rows, this one "
                    f"has {batch}. Use batches of one size, or reset_states() between them."
                )
            return self.states
        names = ("h", "c")[: self.kind.states]
        arrays = list(given) if isinstance(given, list | tuple) else [given]
        if len(arrays) != len(names):
            raise ValueError(f"{self.label}: expected initial_state [{', '.join(names)}], got {len(arrays)} arrays.")
        for name, array in zip(names, arrays, strict=True):
            if np.shape(array) != (batch, self.units):
                raise ShapeError(
                    f"{self.label}: expected initial_state {name} of shape {(batch, self.units)}, "
                    f"got {np.shape(array)}."
                )
        return [np.ascontiguousarray(array, self.dtype) for array in arrays]

    def reset_states(self) -> None:
        """Forget the states that a stateful layer carries from batch to batch."""
        self.states = None

    def __call__(self, x: Any, training: bool = False, mask: Any = None, initial_state: Any = None) -> Any:
        """Run on an array and return arrays; builds the layer at the first call.

        Args: x (B, T, D); training: True switches dropout on; mask (B, T) bool, True = keep; initial_state: [h (B, H)],
              for LSTM [h, c].
        """
        return self._call(x, training, mask, initial_state=initial_state)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {
            "units": self.units,
            "activation": self.activation,
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "recurrent_initializer": initializers.serialize(self.recurrent_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
        }


def _ready(array: Array | None, dtype: np.dtype[Any]) -> Array | None:
    return None if array is None else np.ascontiguousarray(array, dtype)
