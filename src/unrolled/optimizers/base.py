"""What all optimizers share: state, clipping, decay, averages of the weights, and the native pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from unrolled import _native
from unrolled.errors import ShapeError, show_call
from unrolled.optimizers.averaging import WeightAverages
from unrolled.optimizers.pending import PendingSteps
from unrolled.parameters import Array, Gradient, Gradients, Parameter, RowGradient

State = dict[str, Any]
Change = tuple[Parameter, Gradient, list[Array], float]  # with its state, and what the gradient is multiplied by
_OLD_NAMES = {
    "lr": "Write learning_rate=...",
    "decay": "Lower learning_rate with callbacks.LearningRateScheduler or ReduceLROnPlateau.",
}
RULES = {name: number for number, (name, *_) in enumerate(_native.rules())}
WAITS = {number for number, (*_, waits) in enumerate(_native.rules()) if waits}


class Optimizer:
    """The base of all optimizers: subclass it, name `slots` and write `update` to add one.

    Order of work in one step: clip the gradients, decay the weights (p <- p - p decay rate), update, average.

    Args:    learning_rate: a number >= 0, may be changed between steps; weight_decay: None or a number >= 0;
             clipnorm: scale each gradient down to this norm; global_clipnorm: scale all of them together down to this
             norm; clipvalue: cut every entry to [-clipvalue, clipvalue]. At most one of the three.
             use_ema: keep a moving average of every weight, which fit puts in place of the weights at its end;
             ema_momentum: average <- ema_momentum average + (1 - ema_momentum) weight after each step, 0.99;
             ema_overwrite_frequency: also overwrite the weights by the averages every so many steps, None.
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
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
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
        self.use_ema, self.ema_momentum = bool(use_ema), self._number("ema_momentum", ema_momentum, 1)
        self.ema_overwrite_frequency = self._frequency(ema_overwrite_frequency)
        self.averages = WeightAverages(self.ema_momentum, self.ema_overwrite_frequency) if use_ema else None
        self.iterations = 0
        self._parameters: list[Parameter] = []
        self._dtypes: set[np.dtype[Any]] = set()
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
        self._know(parameters)
        self._state = [known.get(id(p)) or [np.zeros(p.shape, p.dtype) for _ in self.slots] for p in parameters]
        if self.averages is not None:
            self.averages.build(parameters)

    def _know(self, parameters: Sequence[Parameter]) -> None:
        self._parameters, self._dtypes = list(parameters), {p.dtype for p in parameters}

    def apply(self, gradients: Gradients, parameters: Sequence[Parameter], check: bool = False) -> Parameter | None:
        """One step: change every trainable parameter that has a gradient, in place.

        Other threads may go on with a table until somebody reads it, if the gradients are fleeting.

        Args:    gradients: from one backward pass; parameters: all of the model, in order; check: change nothing if a
                 gradient is not finite everywhere.
        Returns: the last parameter of which `check` found that; or None.
        """
        if list(parameters) != self._parameters:
            self.build(parameters)
        by_engine = self._checks_gradients and len(self._dtypes) <= 1
        if self._clips or not by_engine:
            gradients.finish()  # otherwise only the engine reads them
        found, rate = gradients.by_parameter, self._learning_rate
        todo = [
            (p, gradient, state, 1.0)
            for p, state in zip(self._parameters, self._state, strict=True)
            if p.trainable and (gradient := found.get(p)) is not None
        ]
        if check and not by_engine:
            bad, check = _last_not_finite([gradient for _, gradient, *_ in todo]), False
            if bad >= 0:
                return todo[bad][0]
        todo, decay = self._clip(todo), (self.weight_decay or 0.0) * rate
        for dtype in self._dtypes:
            work = [change for change in todo if change[0].dtype == dtype] if len(self._dtypes) > 1 else todo
            bad = self._change(work, self.step_size(rate, dtype), decay, check, gradients) if work else -1
            if bad >= 0:
                return work[bad][0]
        if self.averages is not None:
            self.averages.update(self.iterations)
        self.iterations += 1
        return None

    def get_state(self) -> State:
        """Everything that the next step depends on: "iterations", and arrays by "parameter path/slot", to be copied."""
        self._catch_up()
        paths = _unique(self._parameters)
        arrays = {
            f"{path}/{slot}": array
            for path, state in zip(paths, self._state, strict=True)
            for slot, array in zip(self.slots, state, strict=True)
        }
        state = {"iterations": self.iterations, "learning_rate": self.learning_rate, **arrays}
        if self.averages is not None:
            state["averages_in_model"] = self.averages.in_model
            state |= {f"{path}/average": a for path, a in zip(paths, self.averages.arrays, strict=True)}
        return state

    def set_state(self, state: State, parameters: Sequence[Parameter]) -> None:
        """Take over what `get_state` gave, for these parameters.

        Raises: ValueError if an array is missing, ShapeError if one has another shape.
        """
        self._catch_up()
        built = any("/" in key for key in state)  # without arrays: no step was taken yet
        new = [
            [self._array(state, path, slot, p) for slot in self.slots]
            if built
            else [np.zeros(p.shape, p.dtype) for _ in self.slots]
            for path, p in zip(_unique(parameters), parameters, strict=True)
        ]
        if self.averages is not None and built:
            averages = [
                self._array(state, path, "average", p) for path, p in zip(_unique(parameters), parameters, strict=True)
            ]
            self.averages.build(parameters, averages)
            self.averages.in_model = bool(state.get("averages_in_model", False))
        self._know(parameters)
        self._state = new
        self.iterations = int(state["iterations"])
        self.learning_rate = float(state.get("learning_rate", self.learning_rate))

    def __getstate__(self) -> dict[str, Any]:
        for parameter in self._parameters:
            parameter.finish()  # it changes the state, too
        return self.__dict__

    def _catch_up(self) -> None:
        for parameter in self._parameters:
            parameter.now()

    def _array(self, state: State, path: str, slot: str, parameter: Parameter) -> Array:
        key = f"{path}/{slot}"
        if key not in state:
            raise ValueError(f'{self.name}: the state has no "{key}"; it belongs to another model or optimizer.')
        array = np.array(state[key], parameter.dtype, order="C")
        if array.shape != parameter.shape:
            raise ShapeError(f'{self.name}: "{key}" expected shape {parameter.shape}, got {array.shape}.')
        return array

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this optimizer again."""
        return {
            "name": self.name,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "clipvalue": self.clipvalue,
            "global_clipnorm": self.global_clipnorm,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
        }

    def __repr__(self) -> str:
        return show_call(self)

    @property
    def _checks_gradients(self) -> bool:
        """Whether `_change` can check gradients itself."""
        return False

    def _change(self, work: list[Change], size: float, decay: float, check: bool, whole: Gradients) -> int:
        """Decay and update parameters of one float type, each with its gradient, one of `whole`, times its scale.

        Returns -1; or the last place in `work` whose gradient `check` found not to be finite, and nothing was changed.
        """
        for parameter, gradient, state, scale in work:
            value = parameter.now()
            if decay:
                np.subtract(value, value * value.dtype.type(decay), out=value)
            dense = gradient.to_dense(value.shape) if isinstance(gradient, RowGradient) else gradient
            dense = dense.astype(value.dtype, copy=False)
            self.update(value, dense if scale == 1 else dense * value.dtype.type(scale), state, size)
        return -1

    @property
    def _clips(self) -> bool:
        return self.clipvalue is not None or self.clipnorm is not None or self.global_clipnorm is not None

    def _clip(self, todo: list[Change]) -> list[Change]:
        """The gradients, cut or with the factor that scales them down."""
        if self.clipvalue is not None:
            return [(p, _cut(g, self.clipvalue), s, 1.0) for p, g, s, _ in todo]
        if self.clipnorm is not None:
            limit = self.clipnorm
            return [(p, g, s, limit / max(math.sqrt(_sum_of_squares(g)), limit)) for p, g, s, _ in todo]
        if self.global_clipnorm is not None:
            norm = math.sqrt(sum(_sum_of_squares(g) for _, g, *_ in todo))
            scale = self.global_clipnorm / max(norm, self.global_clipnorm)
            return [(p, g, s, scale) for p, g, s, _ in todo]
        return todo

    def _frequency(self, value: Any) -> int | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(
                f"{self.name}: expected ema_overwrite_frequency as a whole number of steps >= 1 or None, got {value!r}."
            )
        return int(value)

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
        parameter = Parameter(self.name, value)
        if parameter.value is not value:
            raise ValueError(f"{self.name}: expected value as a contiguous array, which can be changed in place.")
        self._pass([(parameter, gradient, state, 1.0)], size, 0.0, False, Gradients())

    @property
    def _checks_gradients(self) -> bool:
        return type(self).update is NativeOptimizer.update and self.clipvalue is None  # which hides infinity

    def _change(self, work: list[Change], size: float, decay: float, check: bool, whole: Gradients) -> int:
        if type(self).update is NativeOptimizer.update:
            return self._pass(work, size, decay, check, whole)
        return super()._change(work, size, decay, check, whole)  # somebody's subclass

    def _pass(self, work: list[Change], size: float, decay: float, check: bool, whole: Gradients) -> int:
        name, constants = self.rule()
        rule, may_wait = RULES[name], not decay and self.averages is None
        table = -1  # whose update may go on
        values: list[Array] = []
        entries: list[Array] = []
        rows: list[Array | None] = [None] * len(work)
        so_far: list[tuple[Array, Array, Array] | None] = [None] * len(work)
        dtype = work[0][0].dtype
        for i, (parameter, gradient, state, _) in enumerate(work):
            value = None
            if isinstance(gradient, RowGradient):
                rows[i], given = np.ascontiguousarray(gradient.rows, np.int32), gradient.values
                if given.dtype != dtype or given.strides[1] != given.itemsize:  # rows may stand apart
                    given = _packed(given, dtype, whole)
                if may_wait and not parameter.handed_out:
                    parameter.finish()
                    table = i if whole.fleeting else -1
                    if rule in WAITS:
                        pending = self._pending(parameter, state, rule, constants)
                        value, so_far[i] = pending.array, pending.so_far()
            else:
                given = _packed(gradient, dtype, whole)
            values.append(parameter.now() if value is None else value)
            entries.append(given)
        states, scales = [state for _, _, state, _ in work], [scale for _, _, _, scale in work]
        bad, later = _native.update(
            rule, values, states, entries, rows, size, decay, scales, constants, so_far, check, table, whole.later
        )
        if later is not None:
            work[table][0].later = later
        return bad

    def _pending(self, parameter: Parameter, state: list[Array], rule: int, constants: list[float]) -> PendingSteps:
        """Where the coming step is noted down for the rows that have no gradient."""
        pending = parameter.pending
        if not isinstance(pending, PendingSteps) or not pending.belongs(state, rule, constants):
            pending = parameter.pending = PendingSteps(parameter, state, rule, constants)
        return pending


def _packed(array: Array, dtype: np.dtype[Any], whole: Gradients) -> Array:
    """The array itself if the engine can read it, otherwise a copy, once it is there."""
    packed = np.ascontiguousarray(array, dtype)
    if packed is not array and whole.later is not None:
        whole.finish()
        packed = np.ascontiguousarray(array, dtype)
    return packed


def _entries(gradient: Gradient) -> Array:
    return gradient.values if isinstance(gradient, RowGradient) else gradient


def _last_not_finite(gradients: list[Gradient]) -> int:
    backwards = [np.ascontiguousarray(_entries(g)) for g in reversed(gradients)]
    found = _native.first_not_finite(backwards)
    return found if found < 0 else len(gradients) - 1 - found


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
