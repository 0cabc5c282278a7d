"""SimpleRNN, LSTM and GRU on the fused engine."""

from __future__ import annotations

from typing import Any

from unrolled.layers.recurrence import Pass, Recurrent, engine_activation
from unrolled.parameters import Array

__all__ = ["GRU", "LSTM", "Pass", "Recurrent", "SimpleRNN"]


class SimpleRNN(Recurrent):
    """Elman's recurrent network over a sequence.

    h' = activation(x W + h U + b)

    Args, input, output, errors: see `Recurrent`. Weights: kernel (D, H), recurrent_kernel (H, H), bias (H,).
    Source:  Elman 1990, "Finding structure in time".
    """

    cell = "simple_rnn"


class LSTM(Recurrent):
    """Long short-term memory over a sequence.

    i, f, o = recurrent_activation(x W + h U + b)     candidate = activation(x W + h U + b)
    c' = f*c + i*candidate                            h' = o*activation(c')

    Args:    unit_forget_bias: start the forget gate's bias at 1; others, input, output, errors: see `Recurrent`.
    Weights: kernel (D, 4H), recurrent_kernel (H, 4H), bias (4H,); gates in the order input, forget, candidate, output.
    Source:  Hochreiter & Schmidhuber 1997; forget gate, Gers et al. 2000.
    """

    cell = "lstm"

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        *,
        unit_forget_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, activation, **kwargs)
        self.recurrent_activation = engine_activation(self, "recurrent_activation", recurrent_activation)
        self.unit_forget_bias = bool(unit_forget_bias)

    def start_bias(self, bias: Array) -> None:
        """Start the forget gate at 1: it remembers until it learns to forget."""
        if self.unit_forget_bias:
            bias[self.units : 2 * self.units] = 1

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"recurrent_activation": self.recurrent_activation, "unit_forget_bias": self.unit_forget_bias}
        return super().get_config() | own


class GRU(Recurrent):
    """Gated recurrent unit over a sequence.

    z, r = recurrent_activation(x W + h U + b)        h' = z*h + (1 - z)*candidate
    candidate = activation(x W + b + r*(h U + b_r))   if reset_after (the default, as Keras and cuDNN), else
    candidate = activation(x W + b + (r*h) U)

    Args:    reset_after; others, input, output, errors: see `Recurrent`.
    Weights: kernel (D, 3H), recurrent_kernel (H, 3H), bias (2, 3H) if reset_after, else (3H,); gates in the order
             update z, reset r, candidate.
    Source:  Cho et al. 2014.
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        *,
        reset_after: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, activation, **kwargs)
        self.recurrent_activation = engine_activation(self, "recurrent_activation", recurrent_activation)
        self.reset_after = bool(reset_after)

    @property
    def cell(self) -> str:  # type: ignore[override]
        """Which of the two forms."""
        return "gru_reset_after" if self.reset_after else "gru_reset_before"

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {
            "recurrent_activation": self.recurrent_activation,
            "reset_after": self.reset_after,
        }
