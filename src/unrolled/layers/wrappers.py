"""Layers around layers: both directions, and the same layer at every step."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.batch import Sequence, Value, sum_rows
from unrolled.layers.base import Layer, deserialize, serialize
from unrolled.layers.values import positions
from unrolled.parameters import Array, Backprop, Gradients, Mode, Shape, no_backprop

MERGE_MODES = ("concat", "sum", "mul", "ave", None)


class _Wrapper(Layer):
    """A layer that holds another one."""

    input_rank: int | None = 3

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        if not isinstance(layer, Layer):
            raise TypeError(f"{type(self).__name__}: expected a layer, got {layer!r}.")
        kwargs.setdefault("dtype", layer.dtype)
        super().__init__(**kwargs)
        if self.batch_input_shape is None and layer.batch_input_shape is not None:
            self.batch_input_shape = self.outer_shape(layer.batch_input_shape)

    def outer_shape(self, inner: Shape) -> Shape:
        """Our input's shape if the inner layer was declared with `inner`."""
        return inner

    def settle(self) -> None:
        """Take in the inner layers once they exist: their paths, and our `trainable`."""
        for layer in self.sublayers:
            self.adopt(layer)
        if not self.trainable:
            self.trainable = False


class Bidirectional(_Wrapper):
    """A recurrent layer run in both directions.

    y = merge(forward(x), backward(x reversed in time, results turned back))

    The forward layer is a fresh copy of `layer` with its own weights; so is the backward one unless it is given.

    Args:
        layer: a recurrent layer.
        merge_mode: "concat" (default), "sum", "mul", "ave", or None for both outputs.
        backward_layer: another recurrent layer with go_backwards=True.
    Input:   (B, T, D). Output: (B, 2H) (H for the other merges), or (B, T, 2H) if return_sequences; zeros at masked
             steps, as in Keras.
    Raises:  ValueError if the two layers do not belong together.
    """

    def __init__(
        self, layer: Layer, merge_mode: str | None = "concat", backward_layer: Layer | None = None, **kwargs: Any
    ) -> None:
        super().__init__(layer, **kwargs)
        if merge_mode not in MERGE_MODES:
            raise ValueError(f"{self.label}: expected merge_mode concat, sum, mul, ave or None, got {merge_mode!r}.")
        for candidate in (layer, backward_layer or layer):
            if not all(hasattr(candidate, name) for name in ("go_backwards", "return_sequences", "return_state")):
                raise ValueError(f"{self.label}: expected a recurrent layer (SimpleRNN, LSTM, GRU), got {candidate!r}.")
        self.merge_mode = merge_mode
        name = layer.name.removeprefix("forward_").removeprefix("backward_")
        self.forward_layer: Any = _copy(layer, f"forward_{name}")
        self.backward_layer: Any = backward_layer or _copy(layer, f"backward_{name}", go_backwards=True)
        self._check_pair(own=backward_layer is not None)
        self._own_backward = backward_layer is not None
        self.return_sequences = bool(self.forward_layer.return_sequences)
        self.return_state = bool(self.forward_layer.return_state)
        self.settle()

    def _check_pair(self, own: bool) -> None:
        ahead, back = self.forward_layer, self.backward_layer
        if ahead.go_backwards and not own:
            raise ValueError(
                f"{self.label}: expected layer with go_backwards=False, got go_backwards=True. The layer for the other "
                "direction is made from it."
            )
        if ahead.go_backwards or not back.go_backwards:
            raise ValueError(
                f"{self.label}: expected layer with go_backwards=False and backward_layer with go_backwards=True, "
                f"got {ahead.go_backwards} and {back.go_backwards}."
            )
        for name in ("return_sequences", "return_state", "stateful"):
            one, two = getattr(ahead, name, False), getattr(back, name, False)
            if one != two:
                raise ValueError(f"{self.label}: expected the same {name} in both layers, got {one} and {two}.")
        if self.merge_mode in ("sum", "mul", "ave") and ahead.units != back.units:
            raise ValueError(
                f'{self.label}: merge_mode "{self.merge_mode}" needs the same units in both layers, '
                f'got {ahead.units} and {back.units}. Use "concat".'
            )

    @property
    def sublayers(self) -> list[Layer]:
        """Forward, then backward: Keras' order of weights."""
        return [self.forward_layer, self.backward_layer] if hasattr(self, "backward_layer") else []

    def build(self, input_shape: Shape) -> None:
        """Build both directions."""
        for layer in self.sublayers:
            layer.ensure_built(input_shape)
        super().build(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Any:
        """The forward layer's shape, merged; states after it with return_state."""
        ahead, back = (layer.compute_output_shape(input_shape) for layer in self.sublayers)
        states: tuple[Any, ...] = ()
        if self.return_state:
            states = (*ahead[1:], *back[1:])
            ahead, back = ahead[0], back[0]
        if self.merge_mode is None:
            return (ahead, back, *states)
        width = ahead[-1] + back[-1] if self.merge_mode == "concat" else ahead[-1]
        merged = (*ahead[:-1], width)
        return (merged, *states) if states else merged

    def forward(self, x: Value, mode: Mode, initial_state: Any = None) -> tuple[Any, Backprop]:
        """Run both directions and merge position by position.

        initial_state: the forward layer's states, then the backward one's; backprop then returns (d_x, [d_state]).
        """
        starts = self._split_states(initial_state)
        y_ahead, back_ahead = self.forward_layer.forward(x, mode, *starts[:1])
        y_back, back_back = self.backward_layer.forward(x, mode, *starts[1:])
        states: tuple[Any, ...] = ()
        if self.return_state:
            y_ahead, *states_ahead = y_ahead
            y_back, *states_back = y_back
            states = (*states_ahead, *states_back)
        mask = x.mask if isinstance(x, Sequence) else None
        ahead, back = _Steps(y_ahead, mask), _Steps(y_back, mask, reverse=True)
        one, two = ahead.values, back.values
        merged = _merge(self.merge_mode, one, two)
        outputs = tuple(ahead.place(values) for values in merged)

        def backprop(d_y: Any, gradients: Gradients) -> Any:
            d_parts = list(d_y) if isinstance(d_y, tuple | list) else [d_y]
            d_merged = [d.reshape(a.shape) for d, a in zip(d_parts, merged, strict=False)]
            d_one, d_two = _unmerge(self.merge_mode, one, two, d_merged)
            d_ahead: Any = ahead.collect(d_one)
            d_back: Any = back.collect(d_two)
            if self.return_state:
                d_states = d_parts[len(merged) :]
                half = len(d_states) // 2
                d_ahead, d_back = (d_ahead, *d_states[:half]), (d_back, *d_states[half:])
            d_x_ahead = back_ahead(d_ahead, gradients)
            d_x_back = back_back(d_back, gradients)
            d_starts: list[Array] = []
            if starts:
                d_x_ahead, d_x_back, d_starts = d_x_ahead[0], d_x_back[0], [*d_x_ahead[1], *d_x_back[1]]
            d_x = None if d_x_ahead is None or d_x_back is None else d_x_ahead + d_x_back
            return (d_x, d_starts) if starts else d_x

        result: Any = (*outputs, *states)
        return (result if len(result) > 1 else result[0]), backprop if mode.keep else no_backprop

    def _split_states(self, initial_state: Any) -> tuple[Any, ...]:
        if initial_state is None:
            return ()
        states = list(initial_state)
        if len(states) % 2:
            raise ValueError(
                f"{self.label}: expected initial_state with the states of both directions, got {len(states)} arrays."
            )
        return states[: len(states) // 2], states[len(states) // 2 :]

    def __call__(self, x: Any, training: bool = False, mask: Any = None, initial_state: Any = None) -> Any:
        """Run on an array and return arrays; builds the layer at the first call.

        Args: x (B, T, D); mask (B, T) bool, True = keep; initial_state: forward, then backward states (B, H).
        """
        return self._call(x, training, mask, initial_state=initial_state)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; layers as {"class_name", "config"}."""
        config = super().get_config() | {"layer": serialize(self.forward_layer), "merge_mode": self.merge_mode}
        if self._own_backward:
            config["backward_layer"] = serialize(self.backward_layer)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """The layer of what get_config returned."""
        inner = {k: deserialize(config[k]) for k in ("layer", "backward_layer") if config.get(k) is not None}
        return cls(**{**config, **inner})


def _copy(layer: Layer, name: str, **changes: Any) -> Any:
    config = {**layer.get_config(), "name": name, **changes}
    config.pop("batch_input_shape", None)
    return type(layer).from_config(config)


class _Steps:
    """A direction's output at the kept steps, in the order of time: what two directions are merged by.

    values (N, H), and a row of zeros behind them if there is a mask; (B, H) if the output has no steps.
    """

    def __init__(self, y: Value, mask: Array | None, reverse: bool = False) -> None:
        self.y, self.mask = y, mask
        if not isinstance(y, Sequence):
            self.values = y
            return
        index = y.index[:, ::-1] if reverse else y.index
        self.rows = np.ascontiguousarray(index).reshape(-1) if mask is None else index[mask]
        self.values = np.empty((len(self.rows) + (mask is not None), y.shape[2]), y.dtype)
        y.values.take(self.rows, axis=0, out=self.values[: len(self.rows)])
        self.values[len(self.rows) :] = 0

    def place(self, values: Array) -> Value:
        """Merged values at their steps, zeros at masked ones."""
        if not isinstance(self.y, Sequence):
            return values
        n, shape = len(self.rows), self.y.index.shape
        index = np.full(shape, n, np.int32)
        index[np.ones(shape, bool) if self.mask is None else self.mask] = np.arange(n)
        return Sequence(table=values, index=index, mask=self.mask)

    def collect(self, d_values: Array) -> Array:
        """The gradient of the direction's own output from that of `values`."""
        return sum_rows(d_values[: len(self.rows)], self.rows, self.y.n) if isinstance(self.y, Sequence) else d_values


def _merge(mode: str | None, one: Array, two: Array) -> list[Array]:
    if mode is None:
        return [one, two]
    if mode == "concat":
        return [np.concatenate([one, two], axis=-1)]
    if mode == "mul":
        return [one * two]
    return [one + two if mode == "sum" else (one + two) / 2]


def _unmerge(mode: str | None, one: Array, two: Array, d: list[Array]) -> tuple[Array, Array]:
    if mode is None:
        return d[0], d[1]
    if mode == "concat":
        units = one.shape[-1]
        return np.ascontiguousarray(d[0][..., :units]), np.ascontiguousarray(d[0][..., units:])
    if mode == "mul":
        return d[0] * two, d[0] * one
    half = d[0] if mode == "sum" else d[0] / 2
    return half, half


class TimeDistributed(_Wrapper):
    """The same layer at every step. Equal steps are computed once, unless the layer draws (dropout in training).

    Args:    layer: for example Dense(10).
    Input:   (B, T, ...). Output: (B, T, ...) with the layer applied to each step.
    """

    input_rank = None

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.layer = layer
        self.logits_activation = layer.logits_activation
        self.settle()

    def outer_shape(self, inner: Shape) -> Shape:
        """(None, F) inside is (None, None, F) outside."""
        return (inner[0], None, *inner[1:])

    @property
    def sublayers(self) -> list[Layer]:
        """The wrapped layer."""
        return [self.layer] if hasattr(self, "layer") else []

    @property
    def draws(self) -> bool:
        """Whether the wrapped layer draws."""
        return self.layer.draws

    def check_input(self, x: Any) -> Array:
        """At least three axes."""
        if np.ndim(x) < 3:
            self.require_rank(np.shape(x), 3)
        return super().check_input(x)

    def build(self, input_shape: Shape) -> None:
        """Build the layer for one step."""
        if len(input_shape) < 3:
            self.require_rank(input_shape, 3)
        self.layer.ensure_built((input_shape[0], *input_shape[2:]))
        super().build(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, T) before what the layer makes of one step."""
        step = self.layer.compute_output_shape((input_shape[0], *input_shape[2:]))
        return (*input_shape[:2], *step[1:])

    def forward(self, x: Value, mode: Mode) -> tuple[Value, Backprop]:
        """Apply the layer to every step."""
        return self._run(x, mode, self.layer.forward)

    def forward_logits(self, x: Value, mode: Mode) -> tuple[Value, Backprop]:
        """The same without the layer's last activation."""
        return self._run(x, mode, self.layer.forward_logits)

    def _run(self, x: Value, mode: Mode, run: Any) -> tuple[Value, Backprop]:
        if isinstance(x, Sequence) and len(self.output_shape) == 3 and not (mode.training and self.draws):
            values, back = run(x.values, mode)
            return x.with_values(values), back
        return self._run_positions(x, mode, run)

    def _run_positions(self, x: Value, mode: Mode, run: Any) -> tuple[Value, Backprop]:
        """Every position on its own, for layers that draw and for steps of more than one axis."""
        array = x.to_array() if isinstance(x, Sequence) else x
        steps = array.reshape(-1, *array.shape[2:])
        value, back = run(positions(steps) if steps.ndim == 3 else steps, mode)
        y = value.to_array() if isinstance(value, Sequence) else value
        y = y.reshape(*array.shape[:2], *y.shape[1:])

        def backprop(d_y: Array, gradients: Gradients) -> Any:
            d_value = d_y.reshape(-1, *y.shape[2:])
            d_steps = back(value.collect(d_value) if isinstance(value, Sequence) else d_value, gradients)
            if d_steps is None:
                return None
            if isinstance(x, Sequence):
                return sum_rows(d_steps.reshape(-1, x.shape[2]), x.index.reshape(-1), x.n)
            return d_steps.reshape(array.shape)

        mask = x.mask if isinstance(x, Sequence) else None
        return (positions(y, mask) if y.ndim == 3 else y), backprop if mode.keep else no_backprop

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; the layer as {"class_name", "config"}."""
        return super().get_config() | {"layer": serialize(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """The layer of what get_config returned."""
        return cls(**{**config, "layer": deserialize(config["layer"])})
