"""SGD, RMSprop, Adam and AdamW: Keras 3's names, defaults and formulas."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.optimizers.base import NativeOptimizer


class SGD(NativeOptimizer):
    """Gradient descent, with momentum if asked for.

    p <- p - rate g;  with momentum u: m <- u m - rate g,  p <- p + m;  nesterov: p <- p + u m - rate g

    Args:    learning_rate: 0.01; momentum: u in [0, 1], 0; nesterov: False; others as Optimizer.
    Source:  Keras 3; Sutskever et al. 2013.
    """

    default_name = "sgd"

    def __init__(
        self, learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False, **others: Any
    ) -> None:
        super().__init__(learning_rate, **others)
        self.momentum = self._number("momentum", momentum, 1)
        self.nesterov = bool(nesterov)

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the arrays kept beside each parameter."""
        return ("momentum",) if self.momentum else ()

    def rule(self) -> tuple[str, list[float]]:
        """See NativeOptimizer.rule."""
        return (("sgd_nesterov" if self.nesterov else "sgd_momentum") if self.momentum else "sgd"), [self.momentum]

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this optimizer again."""
        return super().get_config() | {"momentum": self.momentum, "nesterov": self.nesterov}


class RMSprop(NativeOptimizer):
    """Gradient divided by the root of its running mean square.

    v <- rho v + (1 - rho) g^2;  p <- p - rate g / sqrt(v + epsilon)
    centered: a <- rho a + (1 - rho) g, and v - a^2 + epsilon under the root
    momentum u: m <- u m + rate g / sqrt(...),  p <- p - m

    Args:    learning_rate: 0.001; rho: 0.9; momentum: 0; epsilon: 1e-7; centered: False; others as Optimizer.
    Source:  Keras 3; Tieleman & Hinton 2012.
    """

    default_name = "rmsprop"

    def __init__(
        self,
        learning_rate: float = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **others: Any,
    ) -> None:
        super().__init__(learning_rate, **others)
        self.rho = self._number("rho", rho, 1)
        self.momentum = self._number("momentum", momentum, 1)
        self.epsilon = self._number("epsilon", epsilon)
        self.centered = bool(centered)

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the arrays kept beside each parameter."""
        return ("velocity", *(["momentum"] if self.momentum else []), *(["average_gradient"] if self.centered else []))

    def rule(self) -> tuple[str, list[float]]:
        """See NativeOptimizer.rule."""
        name = "rmsprop" + "_centered" * self.centered + "_momentum" * (self.momentum > 0)
        return name, [self.rho, 1 - self.rho, self.epsilon, self.momentum]

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this optimizer again."""
        return super().get_config() | {
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }


class Adam(NativeOptimizer):
    """Running means of the gradient and of its square, corrected for their start at zero.

    m <- m + (1 - beta_1)(g - m);  v <- v + (1 - beta_2)(g^2 - v)
    alpha = rate sqrt(1 - beta_2^n) / (1 - beta_1^n), n = 1, 2, ...;  p <- p - alpha m / (sqrt(v) + epsilon)
    amsgrad: the largest v so far in place of v

    alpha is computed in the parameters' float type, as Keras does.

    Args:    learning_rate: 0.001; beta_1: 0.9; beta_2: 0.999; epsilon: 1e-7; amsgrad: False; others as Optimizer.
    Source:  Keras 3; Kingma & Ba 2015; Reddi et al. 2018.
    """

    default_name = "adam"

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **others: Any,
    ) -> None:
        super().__init__(learning_rate, **others)
        for key, value in (("beta_1", beta_1), ("beta_2", beta_2)):
            if self._number(key, value, 1) == 1:
                raise ValueError(f"{self.name}: expected {key} < 1, got {value!r}.")
        self.beta_1, self.beta_2 = float(beta_1), float(beta_2)
        self.epsilon = self._number("epsilon", epsilon)
        self.amsgrad = bool(amsgrad)

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the arrays kept beside each parameter."""
        return ("momentum", "velocity", *(["velocity_hat"] if self.amsgrad else []))

    def rule(self) -> tuple[str, list[float]]:
        """See NativeOptimizer.rule."""
        return "adam_amsgrad" if self.amsgrad else "adam", [1 - self.beta_1, 1 - self.beta_2, self.epsilon]

    def step_size(self, rate: float, dtype: np.dtype[Any]) -> float:
        """Alpha, the rate corrected for the start at zero, for the coming step."""
        number, n = dtype.type, self.iterations + 1
        power_1, power_2 = np.power(number(self.beta_1), number(n)), np.power(number(self.beta_2), number(n))
        return float(number(rate) * np.sqrt(number(1) - power_2) / (number(1) - power_1))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this optimizer again."""
        return super().get_config() | {
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }


class AdamW(Adam):
    """Adam with decay of the weights apart from the gradient: before each update p <- p - p weight_decay rate.

    Args:    learning_rate: 0.001; weight_decay: 0.004; others as Adam.
    Source:  Keras 3; Loshchilov & Hutter 2019.
    """

    default_name = "adamw"

    def __init__(self, learning_rate: float = 0.001, weight_decay: float = 0.004, *args: Any, **others: Any) -> None:
        super().__init__(learning_rate, *args, weight_decay=weight_decay, **others)
        if weight_decay is None:
            raise TypeError("adamw: expected weight_decay as a number >= 0, got None. Adam has no decay.")
