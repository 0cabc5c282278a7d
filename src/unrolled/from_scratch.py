"""What the chapter "Understanding recurrent neural networks" builds by hand, made to run.

Two things: the forward pass of a recurrent layer in NumPy, and the LSTM told as a dense cell with a carry
track. One sequence at a time, as in the text: inputs (T, D), state (H,). The cells of layers: `reference`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.errors import ShapeError
from unrolled.reference import ACTIVATIONS

Array = NDArray[Any]


class ForwardPassExample(NamedTuple):
    """Numbers to try the forward pass with: inputs (T, D), W (H, D), U (H, H), b (H,)."""

    inputs: Array
    W: Array
    U: Array
    b: Array


def forward_pass_example(
    timesteps: int = 100, input_features: int = 32, output_features: int = 64, seed: int | None = None
) -> ForwardPassExample:
    """The chapter's example: 100 steps of 32 features and a layer of 64 units, all uniform in [0, 1).

    Args:    timesteps, input_features, output_features: T, D, H; seed: for the same numbers again.
    Returns: inputs, W, U, b, in the order that `simple_rnn_forward_pass` takes.
    """
    random = np.random.default_rng(seed)
    return ForwardPassExample(
        random.random((timesteps, input_features)),
        random.random((output_features, input_features)),
        random.random((output_features, output_features)),
        random.random((output_features,)),
    )


def simple_rnn_forward_pass(
    inputs: ArrayLike, W: ArrayLike, U: ArrayLike, b: ArrayLike, *, concatenate: bool = False
) -> Array:
    """The forward pass of a simple recurrent layer over one sequence.

    output_t = tanh(W @ input_t + U @ state_t + b)      state_{t+1} = output_t      state_0 = zeros

    W and U stand to the left of column vectors, as on a blackboard; a layer keeps them transposed:
    kernel = W.T, recurrent_kernel = U.T.

    Args:    inputs (T, D); W (H, D); U (H, H); b (H,);
             concatenate: join the outputs end to end, as two versions of the chapter do; by default stack them.
    Returns: (T, H), one output a step; (T*H,) if concatenate. Only the last has seen the whole sequence.
    Raises:  ShapeError (a ValueError) if the shapes do not fit together.
    """
    inputs, W, U, b = (np.asarray(a) for a in (inputs, W, U, b))
    if inputs.ndim != 2:
        raise ShapeError(f"inputs: expected 2 axes (steps, features), got shape {inputs.shape}.")
    units = b.shape[0] if b.ndim == 1 else -1
    if W.shape != (units, inputs.shape[1]) or U.shape != (units, units):
        raise ShapeError(
            f"expected W (H, {inputs.shape[1]}), U (H, H) and b (H,) with one H, "
            f"got {W.shape}, {U.shape} and {b.shape}."
        )
    state = np.zeros(units)
    outputs = np.zeros((len(inputs), units))
    for t, input_t in enumerate(inputs):
        outputs[t] = np.tanh(W @ input_t + U @ state + b)
        state = outputs[t]
    return outputs.reshape(-1) if concatenate else outputs


@dataclass(frozen=True)
class CarryTrackWeights:
    """Weights of the carry-track cell: W* (D, H), U* and Vo (H, H), b* (H,)."""

    Wo: Array
    Uo: Array
    Vo: Array
    bo: Array
    Wi: Array
    Ui: Array
    bi: Array
    Wf: Array
    Uf: Array
    bf: Array
    Wk: Array
    Uk: Array
    bk: Array

    @classmethod
    def draw(cls, features: int, units: int, seed: int | None = None) -> CarryTrackWeights:
        """Weights for D features and H units, normal with standard deviation 1/sqrt(rows), biases zero."""
        random = np.random.default_rng(seed)
        rows = {"W": features, "U": units, "V": units}
        return cls(
            **{
                f.name: np.zeros(units)
                if f.name[0] == "b"
                else random.normal(size=(rows[f.name[0]], units)) / np.sqrt(rows[f.name[0]])
                for f in fields(cls)
            }
        )


def carry_track_step(
    input_t: Array, state_t: Array, c_t: Array, w: CarryTrackWeights, activation: str = "tanh"
) -> tuple[Array, Array]:
    """One step of the chapter's picture of the LSTM: a dense recurrent cell, and a carry that runs beside it.

    output_t = activation(state_t @ Uo + input_t @ Wo + c_t @ Vo + bo)
    i_t = activation(state_t @ Ui + input_t @ Wi + bi)      f_t, k_t: the same with their own U, W, b
    c_{t+1} = i_t * k_t + c_t * f_t                         state_{t+1} = output_t

    How this differs from the LSTM that Keras (and `reference.lstm_step`) computes. (1) The output reads the
    carry through one more dense map, Vo, inside the activation; in the LSTM an output gate lets it through entry
    by entry: output = o * tanh(c), with o itself blind to the carry. (2) It reads the *old* carry c_t; the
    LSTM's output reads the new one, so what arrives now can be seen now. (3) i, f and k share one activation.
    In the LSTM the gates i and f are sigmoids, between 0 (forget) and 1 (keep), and only the candidate k is a
    tanh: here, with tanh, a "forget gate" may turn the carry's sign, and with sigmoid the carry is never
    negative. No choice of activation makes the two equal; the picture shows where information may travel. The
    additive carry, which keeps gradients alive over many steps, is the same in both.

    Args:    input_t (D,); state_t, c_t (H,); w: the weights; activation: a name in `reference.ACTIVATIONS`.
    Returns: output_t (H,), which is also the next state, and c_{t+1} (H,).
    """
    act = ACTIVATIONS[activation].function
    output_t = act(state_t @ w.Uo + input_t @ w.Wo + c_t @ w.Vo + w.bo)
    i_t = act(state_t @ w.Ui + input_t @ w.Wi + w.bi)
    f_t = act(state_t @ w.Uf + input_t @ w.Wf + w.bf)
    k_t = act(state_t @ w.Uk + input_t @ w.Wk + w.bk)
    return output_t, i_t * k_t + c_t * f_t


def carry_track_forward_pass(inputs: ArrayLike, w: CarryTrackWeights, activation: str = "tanh") -> tuple[Array, Array]:
    """`carry_track_step` over one sequence, from a state and a carry of zeros.

    Args:    inputs (T, D); w: the weights; activation: a name in `reference.ACTIVATIONS`.
    Returns: outputs (T, H) and carries (T, H), each carry as it stands after its step.
    """
    inputs = np.asarray(inputs)
    state = carry = np.zeros(w.bo.shape[0])
    outputs, carries = np.zeros((2, len(inputs), w.bo.shape[0]))
    for t, input_t in enumerate(inputs):
        state, carry = carry_track_step(input_t, state, carry, w, activation)
        outputs[t], carries[t] = state, carry
    return outputs, carries
