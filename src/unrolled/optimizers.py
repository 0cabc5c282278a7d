"""Optimizers with Keras' names, defaults and formulas.

Every optimizer is dense: an Embedding's row without a gradient has gradient 0, so Adam moves it and RMSprop decays its
average, as in Keras. Source of the formulas: Keras 3 (RMSprop divides by sqrt(v + epsilon), Adam by sqrt(v) + epsilon).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from unrolled import _native
from unrolled.errors import ShapeError, closest, show_call
from unrolled.parameters import Array, Gradient, Gradients, Parameter, RowGradient

State = dict[str, Any]
Work = tuple[Parameter, Gradient, list[Array]]
_OLD_NAMES = {
    "lr": "Write learning_rate=...",
    "decay": "Lower learning_rate with callbacks.LearningRateScheduler or ReduceLROnPlateau.",
}
RULES = {name: number for number, (name, _) in enumerate(_native.rules())}


class Optimizer:
    """The base of all optimizers: subclass it, name `slots` and write `update` to add one.

    Order of work in one step: clip the gradients, decay the weights (p <- p - p decay rate), update.

    Args:    learning_rate: a number >= 0, may be changed between steps; weight_decay: None or a number >= 0;
             clipnorm: scale each gradient down to this norm; global_clipnorm: scale all of them together down to this
             norm; clipvalue: cut every entry to [-clipvalue, clipvalue]. At most one of the three.
    Raises:  TypeError or ValueError for arguments out of range.
    """

    default_name: ClassVar[str] = "optimizer"

    def __init__(
        self,
        learning_rate: float = 0.001,
        *,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        self.name = name or self.default_name
        for argument in unknown:
            remedy = _OLD_NAMES.get(argument, "Leave it out.")
            raise TypeError(f'{self.name}: there is no argument "{argument}". {remedy}')
        self.learning_rate = learning_rate
        self.weight_decay = None if weight_decay is None else self._number("weight_decay", weight_decay)
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        given = {key: value for key, value in clips.items() if value is not None}
        if len(given) > 1:
            raise ValueError(f"{self.name}: expected one of clipnorm, clipvalue and global_clipnorm, got {given}.")
        for key, value in given.items():
            if self._number(key, value) == 0:
                raise ValueError(f"{self.name}: expected {key} > 0, got {value!r}. Leave it out to clip nothing.")
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.iterations = 0
        self._parameters: list[Parameter] = []
        self._state: list[list[Array]] = []

    @property
    def learning_rate(self) -> float:
        """The step size."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = self._number("learning_rate", value)

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the arrays kept beside each parameter."""
        return ()

    def step_size(self, rate: float, dtype: np.dtype[Any]) -> float:
        """What `update` gets as size in the coming step; the learning rate unless overridden."""
        return rate

    def update(self, value: Array, gradient: Array, state: list[Array], size: float) -> None:
        """Change one parameter (any shape) and its state in place.

        Args: value, gradient: of one shape and type; state: one array per slot; size: the learning rate, see step_size.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update(value, gradient, state, size)")

    def build(self, parameters: Sequence[Parameter]) -> None:
        """Make the state of these parameters (zeros); those known already keep theirs."""
        known = {id(p): s for p, s in zip(self._parameters, self._state, strict=True)}
        self._parameters = list(parameters)
        self._state = [known.get(id(p)) or [np.zeros_like(p.value) for _ in self.slots] for p in parameters]

    def apply(self, gradients: Gradients, parameters: Sequence[Parameter]) -> None:
        """One step: change every trainable parameter that has a gradient, in place.

        Args: gradients: from one backward pass; parameters: all of the model, in order.
        """
        if len(parameters) != len(self._parameters) or any(
            p is not q for p, q in zip(parameters, self._parameters, strict=True)
        ):
            self.build(parameters)
        todo = [
            (p, gradients[p], state)
            for p, state in zip(self._parameters, self._state, strict=True)
            if p.trainable and p in gradients
        ]
        rate = self._learning_rate
        sizes = {dtype: self.step_size(rate, dtype) for dtype in {p.dtype for p, _, _ in todo}}
        for parameter, gradient, state, scale in self._clip(todo):
            value = parameter.value
            self._change(value, gradient, state, sizes[value.dtype], (self.weight_decay or 0.0) * rate, scale)
        self.iterations += 1

    def get_state(self) -> State:
        """Everything that the next step depends on: "iterations", and arrays by "parameter path/slot"."""
        arrays = {
            f"{path}/{slot}": array
            for path, state in zip(_unique(self._parameters), self._state, strict=True)
            for slot, array in zip(self.slots, state, strict=True)
        }
        return {"iterations": self.iterations, "learning_rate": self.learning_rate, **arrays}

    def set_state(self, state: State, parameters: Sequence[Parameter]) -> None:
        """Take over what `get_state` gave, for these parameters.

        Raises: ValueError if an array is missing, ShapeError if one has another shape.
        """
        new: list[list[Array]] = []
        for path, parameter in zip(_unique(parameters), parameters, strict=True):
            arrays = []
            for slot in self.slots if len(state) > 2 else ():
                key = f"{path}/{slot}"
                if key not in state:
                    raise ValueError(
                        f'{self.name}: the state has no "{key}"; it belongs to another model or optimizer.'
                    )
                array = np.array(state[key], parameter.dtype, order="C")
                if array.shape != parameter.shape:
                    raise ShapeError(f'{self.name}: "{key}" expected shape {parameter.shape}, got {array.shape}.')
                arrays.append(array)
            new.append(arrays or [np.zeros_like(parameter.value) for _ in self.slots])
        self._parameters, self._state = list(parameters), new
        self.iterations = int(state["iterations"])
        self.learning_rate = float(state.get("learning_rate", self.learning_rate))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this optimizer again."""
        return {
            "name": self.name,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "clipvalue": self.clipvalue,
            "global_clipnorm": self.global_clipnorm,
        }

    def __repr__(self) -> str:
        return show_call(self)

    def _change(
        self, value: Array, gradient: Gradient, state: list[Array], size: float, decay: float, scale: float
    ) -> None:
        """Decay and update one parameter with the gradient times scale."""
        if decay:
            value -= value * value.dtype.type(decay)
        dense = gradient.to_dense(value.shape) if isinstance(gradient, RowGradient) else gradient
        dense = dense.astype(value.dtype, copy=False)
        self.update(value, dense if scale == 1 else dense * value.dtype.type(scale), state, size)

    def _clip(self, todo: list[Work]) -> list[tuple[Parameter, Gradient, list[Array], float]]:
        """The gradients, cut or with the factor that scales them down."""
        if self.clipvalue is not None:
            return [(p, _cut(g, self.clipvalue), s, 1.0) for p, g, s in todo]
        if self.clipnorm is not None:
            limit = self.clipnorm
            return [(p, g, s, limit / max(math.sqrt(_sum_of_squares(g)), limit)) for p, g, s in todo]
        scale = 1.0
        if self.global_clipnorm is not None:
            norm = math.sqrt(sum(_sum_of_squares(g) for _, g, _ in todo))
            scale = self.global_clipnorm / max(norm, self.global_clipnorm)
        return [(p, g, s, scale) for p, g, s in todo]

    def _number(self, argument: str, value: Any, most: float = math.inf) -> float:
        bound = f"between 0 and {most:g}" if most < math.inf else ">= 0"
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise TypeError(f"{self.name}: expected {argument} as a number {bound}, got {value!r}.")
        if not 0 <= value <= most or not math.isfinite(value):
            raise ValueError(f"{self.name}: expected {argument} as a number {bound}, got {value!r}.")
        return float(value)


class NativeOptimizer(Optimizer):
    """An optimizer whose step is one native pass over a parameter and its state.

    Tables of which only some rows have a gradient (an Embedding) are not filled up with zeros; the result is the same.
    """

    def rule(self) -> tuple[str, list[float]]:
        """Name of the rule and its constants, as native/optimizer.h lists them."""
        raise NotImplementedError

    def update(self, value: Array, gradient: Array, state: list[Array], size: float) -> None:
        """See Optimizer.update."""
        rule, constants = self.rule()
        gradient = np.ascontiguousarray(gradient, value.dtype)
        _native.update(RULES[rule], value, state, gradient, None, size, 0.0, 1.0, constants)

    def _change(
        self, value: Array, gradient: Gradient, state: list[Array], size: float, decay: float, scale: float
    ) -> None:
        if type(self).update is not NativeOptimizer.update:  # somebody's subclass
            return super()._change(value, gradient, state, size, decay, scale)
        rule, constants = self.rule()
        rows = None
        if isinstance(gradient, RowGradient):
            rows, entries = np.ascontiguousarray(gradient.rows, np.int32), gradient.values
            if entries.dtype != value.dtype or entries.strides[1] != entries.itemsize:
                entries = np.ascontiguousarray(entries, value.dtype)
        else:
            entries = np.ascontiguousarray(gradient, value.dtype)
        _native.update(RULES[rule], value, state, entries, rows, size, decay, scale, constants)
        return None


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
        power_1, power_2 = (np.power(number(beta), number(n)) for beta in (self.beta_1, self.beta_2))
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


def _entries(gradient: Gradient) -> Array:
    return gradient.values if isinstance(gradient, RowGradient) else gradient


def _cut(gradient: Gradient, limit: float) -> Gradient:
    entries = np.clip(_entries(gradient), -limit, limit)
    return RowGradient(gradient.rows, entries) if isinstance(gradient, RowGradient) else entries


def _sum_of_squares(gradient: Gradient) -> float:
    entries = _entries(gradient)
    return float(np.square(entries).sum(dtype=np.float64))  # pairwise, not BLAS: the same bits at any thread count


def _unique(parameters: Sequence[Parameter]) -> list[str]:
    """Paths of the parameters; a repeated one gets its position in front."""
    paths = [p.path for p in parameters]
    return [path if paths.count(path) == 1 else f"{i}/{path}" for i, path in enumerate(paths)]


_CLASSES: dict[str, type[Optimizer]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam, "adamw": AdamW}


def get(optimizer: Any) -> Optimizer:
    """The optimizer of a name, class or configuration.

    Raises:  ValueError for an unknown name (it lists the known ones), TypeError for anything else.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        return optimizer()
    if isinstance(optimizer, dict):
        return _by_name(str(optimizer.get("class_name")))(**optimizer.get("config", {}))
    if isinstance(optimizer, str):
        return _by_name(optimizer)()
    raise TypeError(f"optimizer: expected a name such as 'rmsprop' or an optimizers.Optimizer, got {optimizer!r}.")


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """Class name and arguments, for `get`."""
    return {"class_name": type(optimizer).__name__, "config": optimizer.get_config()}


def _by_name(name: str) -> type[Optimizer]:
    found = _CLASSES.get(name.lower())
    if found is None:
        raise ValueError(f"unknown optimizer {name!r}{closest(name, _CLASSES)} Known: {', '.join(_CLASSES)}.")
    return found
