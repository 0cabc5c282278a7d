"""The contract of a layer (see docs/architecture.md)."""

from __future__ import annotations

import difflib
import inspect
import itertools
import re
from collections.abc import Iterable
from threading import Lock
from typing import Any, ClassVar

import numpy as np

from unrolled import initializers
from unrolled import random as streams
from unrolled.errors import NotBuiltError, ShapeError
from unrolled.layers.checks import Checks
from unrolled.layers.values import as_array, as_value, check_mask
from unrolled.layers.weights import Weighted, assign_all
from unrolled.parameters import Backprop, Mode, Parameter, Shape

_counters: dict[str, itertools.count[int]] = {}
_counters_lock = Lock()


def automatic_name(class_name: str) -> str:
    """Keras' names: simple_rnn, simple_rnn_1, ... counted for the whole process."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])", "_", class_name).lower()
    with _counters_lock:
        number = next(_counters.setdefault(snake, itertools.count()))
    return f"{snake}_{number}" if number else snake


def whole_signature(cls: type) -> inspect.Signature:
    """All arguments of a class: **kwargs of its __init__ stands for the keywords of the classes it derives from."""
    found: dict[str, inspect.Parameter] = {}
    for base in (base for base in cls.__mro__ if "__init__" in vars(base)):
        own = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        first = not found
        for p in own:
            if p.kind == p.KEYWORD_ONLY or (first and p.kind == p.POSITIONAL_OR_KEYWORD):
                found.setdefault(p.name, p)
        if not any(p.kind == p.VAR_KEYWORD for p in own):
            break
    return inspect.Signature(sorted(found.values(), key=lambda p: p.kind))


def forget_names() -> None:
    """Start all automatic names afresh."""
    with _counters_lock:
        _counters.clear()


class Layer(Checks, Weighted):
    """A step of a model: owns parameters, maps a batch to a batch, and maps gradients back.

    Subclasses set `input_rank` (axes of x with the batch axis; None takes any), make their parameters in `build` with
    `add_weight` and end it with `super().build(input_shape)`, and define `forward` and `compute_output_shape`.

    Args:
        name: "simple_rnn", "simple_rnn_1", ... by default.
        trainable: False keeps the weights as they are in training.
        dtype: "float32" (default) or "float64".
        input_shape: shape of one sample, e.g. (T or None, D); batch_input_shape: the same with the batch axis.
        input_dim, input_length: Keras' older way to say input_shape=(input_length, input_dim).
        weights: list of arrays to start from instead of the initializers.
    """

    logits_activation: str | None = None
    registry: ClassVar[dict[str, type[Layer]]] = {}
    # Keras' arguments that ours lack: names (a pattern), values that are taken and ignored (none named: any), remedy
    elsewhere: ClassVar[tuple[tuple[str, tuple[Any, ...], str], ...]] = (
        (".*_regularizer", (None,), "Leave it out; optimizers.AdamW(weight_decay=...) keeps weights small."),
        (".*_constraint", (None,), "Leave it out; optimizers take clipnorm=... to keep steps small."),
        ("autocast", (), ""),
    )
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Layer.registry[cls.__name__] = cls
        cls.__signature__ = whole_signature(cls)

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = "float32",
        input_shape: Iterable[int | None] | None = None,
        batch_input_shape: Iterable[int | None] | None = None,
        input_dim: int | None = None,
        input_length: int | None = None,
        weights: Iterable[Any] | None = None,
        **unknown: Any,
    ) -> None:
        if name is not None and not (isinstance(name, str) and name):
            raise TypeError(f"{type(self).__name__}: expected name to be a non-empty text, got {name!r}.")
        self.name = name or automatic_name(type(self).__name__)
        self._refuse(unknown)
        self.dtype = self._float_type(dtype)
        self.built = False
        self.input_shape: Shape | None = None
        self.output_shape: Any = None
        self.batch_input_shape = self._declared_shape(input_shape, batch_input_shape, input_dim, input_length)
        self._trainable = bool(trainable)
        self._parameters: list[Parameter] = []
        self._parent_path = ""
        self._start_weights = None if weights is None else list(weights)

    # ---- arguments

    @property
    def path(self) -> str:
        """Name with those of the layers around it, e.g. "bidirectional/forward_lstm"."""
        return self._parent_path + self.name

    def _refuse(self, unknown: dict[str, Any]) -> None:
        for argument, value in unknown.items():
            entry = next((e for e in self.elsewhere if re.fullmatch(e[0], argument)), None)
            if entry is None:
                known = inspect.signature(type(self)).parameters
                near = difflib.get_close_matches(argument, known, n=1)
                hint = f' Did you mean "{near[0]}"?' if near else f" Known arguments: {', '.join(sorted(known))}."
                raise TypeError(f'{self.label}: there is no argument "{argument}".{hint}')
            _, off, remedy = entry
            if off and value not in off:
                raise TypeError(f"{self.label}: {argument}={value!r} is not supported. {remedy}")

    def _float_type(self, dtype: Any) -> np.dtype[Any]:
        try:
            name = np.dtype("float32" if dtype is None else dtype).name
        except TypeError:
            name = ""
        if name not in ("float32", "float64"):
            raise ValueError(f'{self.label}: expected dtype "float32" or "float64", got {dtype!r}.')
        return np.dtype(name)

    def _declared_shape(
        self,
        input_shape: Iterable[int | None] | None,
        batch_input_shape: Iterable[int | None] | None,
        input_dim: int | None,
        input_length: int | None,
    ) -> Shape | None:
        if batch_input_shape is not None:
            return self.shape_argument("batch_input_shape", batch_input_shape)
        if input_shape is not None:
            return (None, *self.shape_argument("input_shape", input_shape))
        if input_dim is not None:
            axes = (input_length, input_dim) if self.input_rank == 3 else (input_dim,)
            return (None, *self.shape_argument("input_dim", axes))
        return None

    # ---- weights

    def add_weight(self, name: str, shape: tuple[int, ...], initializer: Any = "glorot_uniform") -> Parameter:
        """Make a parameter of this layer, drawn from the initializer; one that it has already stays.

        Raises: ShapeError if it has one of this name with another shape.
        """
        for known in self._parameters:
            if known.name == name:
                if known.shape != tuple(shape):
                    raise ShapeError(
                        f'{self.label}: it is built already, with "{name}" of shape {known.shape}; this input needs '
                        f"{tuple(shape)}. Make a new layer for it."
                    )
                return known
        value = initializers.get(initializer)(shape, self.dtype, streams.generator())
        if value.shape != tuple(shape):
            raise ShapeError(f'{self.label}: the initializer of "{name}" gave {value.shape}, expected {tuple(shape)}.')
        parameter = Parameter(name, value, path=f"{self.path}/{name}", trainable=self._trainable)
        self._parameters.append(parameter)
        return parameter

    @property
    def draws(self) -> bool:
        """Whether equal rows may come out differently in training (dropout)."""
        return any(layer.draws for layer in self.sublayers)

    @property
    def passes_gradients_on(self) -> bool:
        """Whether backprop hands its d_y to the gradients as it is, without reading it."""
        return False

    @property
    def sublayers(self) -> list[Layer]:
        """Layers inside this one (wrappers); their weights count as this layer's."""
        return []

    def adopt(self, layer: Layer) -> None:
        """Put `layer` under this one: its weights' paths start with ours. Called before it is built."""
        layer._parent_path = self.path + "/"
        for inner in layer.sublayers:
            layer.adopt(inner)

    @property
    def weights(self) -> list[Parameter]:
        """All parameters in Keras' order."""
        inner = self.sublayers
        return self._parameters + [p for layer in inner for p in layer.weights] if inner else list(self._parameters)

    @property
    def built_features(self) -> int | None:
        """Size of the last axis that the weights were made for."""
        return self.input_shape[-1] if self.input_shape is not None and self.weights else None

    @property
    def trainable(self) -> bool:
        """False keeps all weights of the layer as they are in training."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for parameter in self._parameters:
            parameter.trainable = self._trainable
        for layer in self.sublayers:
            layer.trainable = value

    def set_weights(self, weights: Iterable[Any]) -> None:
        """Overwrite all weights; nothing is written unless all arrays fit.

        Raises: ShapeError listing the expected shapes; NotBuiltError before the layer has weights.
        """
        if not self.built:
            raise NotBuiltError(f"{self.label}: has no weights yet. Give it an input_shape, or call it on data once.")
        assign_all(self.label, self.weights, weights)

    # ---- building and running

    def build(self, input_shape: Shape) -> None:
        """Make the parameters for inputs of this shape, batch axis included; subclasses call this last."""
        self.input_shape = tuple(input_shape)
        self.output_shape = self.compute_output_shape(self.input_shape)
        self.built = True
        if self._start_weights is not None:
            self.set_weights(self._start_weights)
            self._start_weights = None

    def ensure_built(self, input_shape: Shape) -> None:
        """Build once, after checking the number of axes."""
        if not self.built:
            self.require_rank(input_shape, self.input_rank)
            self.build(input_shape)

    def default_input_shape(self) -> Shape | None:
        """The shape that can be built before any data, batch axis included."""
        return self.batch_input_shape

    def compute_output_shape(self, input_shape: Shape) -> Any:
        """Shape of the output, batch axis included."""
        return input_shape

    def forward(self, x: Any, mode: Mode) -> tuple[Any, Backprop]:
        """Run on a batch (array or Sequence); returns the output and backprop(d_y, gradients) -> d_x."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(x, mode)")

    def forward_logits(self, x: Any, mode: Mode) -> tuple[Any, Backprop]:
        """As forward, without the final activation `logits_activation`."""
        return self.forward(x, mode)

    def __call__(self, x: Any, training: bool = False, mask: Any = None) -> Any:
        """Run on an array and return an array; builds the layer at the first call.

        Args: x: array; training: True switches dropout on; mask: (B, T) bool, True = keep, for inputs with time steps.
        """
        return self._call(x, training, mask)

    def _call(self, x: Any, training: bool, mask: Any, **more: Any) -> Any:
        """Forward on what a person gives, with what else a subclass's forward takes."""
        checked = self.check_input(x)
        if mask is not None:
            mask = check_mask(checked, mask, self.label)
        self.ensure_built((None, *checked.shape[1:]))
        mode = Mode(training=training, random=streams.generator())
        y, _ = self.forward(as_value(checked, mask), mode, **more)
        return as_array(y)

    # ---- configuration

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, ready for JSON; subclasses add theirs."""
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable, "dtype": self.dtype.name}
        if self.batch_input_shape is not None:
            config["batch_input_shape"] = list(self.batch_input_shape)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """A new layer, not built, from what get_config returned."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{self.label}, {'not built' if not self.built else f'{self.input_shape} -> {self.output_shape}'}>"


def serialize(layer: Layer) -> dict[str, Any]:
    """{"class_name", "config"} of a layer."""
    return {"class_name": type(layer).__name__, "config": layer.get_config()}


def deserialize(config: dict[str, Any]) -> Layer:
    """The layer of a {"class_name", "config"}; classes of your own count from the moment they are defined.

    Raises: ValueError naming an unknown class.
    """
    name = config["class_name"]
    if name not in Layer.registry:
        raise ValueError(
            f'There is no layer class "{name}". If it is your own, import the module that defines it first.'
        )
    return Layer.registry[name].from_config(config["config"])
