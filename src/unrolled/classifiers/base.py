"""What both classifiers share: training with a hold-out, labels, predictions and the file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Self

import numpy as np

from unrolled import random as streams
from unrolled import saving
from unrolled.callbacks import Callback
from unrolled.classifiers.labels import labels_from_config, labels_to_config, read_labels
from unrolled.classifiers.member import Member, Part, Rows, enough_epochs
from unrolled.classifiers.network import CELLS, POOLING, build_network, compile_network
from unrolled.errors import FileFormatError, closest, require_extra
from unrolled.inspect.steps import whole_number
from unrolled.inspect.traces import Traces
from unrolled.inspect.words import Words
from unrolled.layers import Layer
from unrolled.models import Sequential, model_from
from unrolled.parameters import Array
from unrolled.splits import count_repeats, stratified_holdout

_PURPOSE = "unrolled.classifiers"
_base = require_extra("sklearn.base", "sklearn", _PURPOSE)
_validation = require_extra("sklearn.utils.validation", "sklearn", _PURPOSE)
_class_weight = require_extra("sklearn.utils.class_weight", "sklearn", _PURPOSE)
_check_random_state = require_extra("sklearn.utils", "sklearn", _PURPOSE).check_random_state


class RecurrentClassifier(_base.ClassifierMixin, _base.BaseEstimator):  # type: ignore[name-defined,misc]  # no types there
    """The base of TextClassifier and SequenceClassifier; a subclass turns its input into Rows."""

    cell: str
    units: int
    layers: int
    bidirectional: bool
    networks: int
    pooling: str | None
    dropout: float
    epochs: int | None
    batch_size: int
    optimizer: str
    learning_rate: float
    final_learning_rate: float
    weight_averaging: float
    class_weight: Any
    early_stopping: bool
    validation_fraction: float
    patience: int
    warm_start: bool
    random_state: Any
    verbose: int
    classes_: Array

    def _take(self, arguments: dict[str, Any]) -> None:
        """Keep the constructor's arguments (its locals()), as scikit-learn wants them: unchanged, by their names."""
        for name in self._get_param_names():
            setattr(self, name, arguments[name])

    def _rows(self, X: Any) -> Rows:
        """What the user gave as rows for the network, after fit."""
        raise NotImplementedError

    def _first_layers(self, network: int) -> list[Layer]:
        """Layers below the recurrent ones of one network, which hand on a mask of the padding."""
        raise NotImplementedError

    def _get_state(self) -> dict[str, Any]:
        """What fit learned besides the network, ready for JSON."""
        raise NotImplementedError

    def _set_state(self, state: dict[str, Any]) -> None:
        """Take what _get_state returned."""
        raise NotImplementedError

    # ---- fit

    def _check_arguments(self) -> None:
        name = type(self).__name__
        for argument, known in (("cell", CELLS), ("pooling", POOLING)):
            value = getattr(self, argument)
            if value not in known and not (argument == "pooling" and value is None):
                hint = closest(value, known) if isinstance(value, str) else "."
                raise ValueError(f"{name}: unknown {argument} {value!r}{hint} Known: {', '.join(known)}.")
        self._check_count(
            "units", "layers", "networks", "batch_size", "patience", *["epochs"] * (self.epochs is not None)
        )
        self._check_share("dropout")
        self._check_share("final_learning_rate", most=1.0)
        if isinstance(self.weight_averaging, bool) or not 0 <= self.weight_averaging < np.inf:
            raise ValueError(
                f"{name}: expected weight_averaging as a number of epochs, 0 for none, got {self.weight_averaging!r}."
            )
        self._check_share("validation_fraction", least=1e-9)

    def _check_count(self, *arguments: str, least: int = 1) -> None:
        for argument in arguments:
            value = getattr(self, argument)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise ValueError(
                    f"{type(self).__name__}: expected {argument} as a whole number of at least {least}, got {value!r}."
                )

    def _check_share(self, *arguments: str, least: float = 0.0, most: float | None = None) -> None:
        for argument in arguments:
            value = getattr(self, argument)
            number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
            if not number or not least <= value or not (value < 1 if most is None else value <= most):
                bound = "below 1" if most is None else f"of at most {most:g}"
                raise ValueError(f"{type(self).__name__}: expected {argument} {bound} and not negative, got {value!r}.")

    def _train(
        self, rows: Rows, y: Any, sample_weight: Any, keys: Sequence[Hashable], callbacks: Iterable[Callback] = ()
    ) -> Self:
        """Fit the network on rows; keys are equal where rows are equal."""
        self._check_arguments()
        classes, codes = read_labels(y, len(rows), type(self).__name__)
        goes_on = self._goes_on()
        if goes_on and not np.array_equal(classes, self.classes_):
            codes = self._codes_of_known(classes, codes)
            classes = self.classes_
        self.classes_ = classes
        weight = self._weights(codes, sample_weight)
        random = np.random.Generator(np.random.PCG64(int(_check_random_state(self.random_state).randint(2**31 - 1))))
        self.repeated_ = count_repeats(keys)
        train, held_out = np.arange(len(rows)), np.arange(0)
        if self.early_stopping:
            train, held_out = stratified_holdout(codes, self.validation_fraction, random, keys)
            self._warn_of_thin_classes(codes, held_out)
        self.held_out_ = held_out
        if not goes_on:
            self.members_: list[Member] = []
        parts = [(rows.to_array(p), codes[p], None if weight is None else weight[p]) for p in (train, held_out)]
        del rows  # no caller keeps them, so that they do not lie beside their padded copy
        self._train_members(parts[0], parts[1] if len(held_out) else None, random, callbacks)
        self.max_epochs_ = int(self.epochs or enough_epochs(len(train)))
        self.validation_ = self._judge(parts[1])
        return self

    def _train_members(
        self, train: Part, held_out: Part | None, random: np.random.Generator, callbacks: Iterable[Callback]
    ) -> None:
        """Make the networks that are not there yet, and train those whose turn it is."""
        resumed = self.interrupted_ if self.members_ else False
        for number in range(self.networks):
            if number == len(self.members_):
                with streams.using(random):
                    self.members_.append(Member(build_network(self._first_layers(number), self, len(self.classes_))))
            elif resumed and number < len(self.members_) - 1:
                continue  # it was ready when Ctrl-C came
            member = self.members_[number]
            if not member.model.compiled:
                compile_network(member.model, self, len(self.classes_), -(-len(train[1]) // int(self.batch_size)))
            if self.verbose and self.networks > 1:
                print(f"Network {number + 1} of {self.networks}", flush=True)
            member.train(self, train, held_out, callbacks)
            if member.interrupted:
                break

    def _judge(self, held_out: Part) -> dict[str, float] | None:
        """Figures on the rows held out: of the kept epoch, or of all networks together."""
        if "val_loss" not in self.history_:
            return None
        best, rows = int(np.argmin(self.history_["val_loss"])), len(held_out[1])
        if len(self.members_) == 1:
            loss, accuracy = (self.history_[f"val_{name}"][best] for name in ("loss", "accuracy"))
            return {"epoch": best + 1, "rows": rows, "loss": loss, "accuracy": accuracy}
        y = self._average([member.model.predict(held_out[0], verbose=0) for member in self.members_])
        loss = -np.log(np.maximum(y[np.arange(rows), held_out[1]], 1e-7)).mean()
        accuracy = (y.argmax(axis=1) == held_out[1]).mean()
        return {"epoch": best + 1, "rows": rows, "loss": float(loss), "accuracy": float(accuracy)}

    def _average(self, outputs: list[Array]) -> Array:
        """The mean of the networks' probabilities (N, K) in float64; their sums are 1 but for rounding."""
        y: Array = np.asarray(np.mean(outputs, axis=0, dtype=np.float64))
        return np.concatenate([1.0 - y, y], axis=1) if len(self.classes_) == 2 else y

    def _goes_on(self) -> bool:
        """Whether fit goes on from the network that there is."""
        return bool(self.warm_start) and hasattr(self, "members_")

    def _codes_of_known(self, classes: Array, codes: Array) -> Array:
        """Class numbers among the classes of the fit before.

        Raises: ValueError for a class that it did not see.
        """
        new = sorted(set(classes.tolist()) - set(self.classes_.tolist()))
        if new:
            raise ValueError(
                f"{type(self).__name__}: warm_start goes on with the classes {self.classes_.tolist()}, got "
                f"{new[0]!r} in y. Set warm_start=False to start anew."
            )
        known: Array = np.searchsorted(self.classes_, classes)[codes]
        return known

    def _weights(self, codes: Array, sample_weight: Any) -> Array | None:
        """The weight of each row: its own times its class's; None if there are none."""
        weight = None if sample_weight is None else _validation._check_sample_weight(sample_weight, codes)
        if self.class_weight is not None:
            of_class = _class_weight.compute_class_weight(
                self.class_weight, classes=self.classes_, y=self.classes_[codes]
            )
            weight = of_class[codes] if weight is None else weight * of_class[codes]
        return weight

    def _warn_of_thin_classes(self, codes: Array, held_out: Array) -> None:
        missing = sorted(set(range(len(self.classes_))) - set(codes[held_out].tolist()))
        if missing:
            names = ", ".join(repr(self.classes_[code].item()) for code in missing[:5])
            warnings.warn(
                f"{type(self).__name__}: too few different rows to hold some out for early stopping in {len(missing)} "
                f"of {len(self.classes_)} classes ({names}); they are trained on all their rows. "
                "Add rows, or set early_stopping=False.",
                UserWarning,
                stacklevel=4,
            )

    # ---- inspect

    def trace(self, X: Any, network: int = 0) -> Any:
        """What the engine computes for one input or several: every gate and state of every step, with the words.

        Args:    X: one text or series, or a column of them as for predict; network: the number of the one that is
                 traced, if there are several.
        Returns: a Trace for one, Traces for a column; see Sequential.trace. trace.networks says what each of several
                 networks says, and their average.
        Raises:  ValueError for a text without any word; IndexError for a network that is not there; NotFittedError
                 before fit.
        """
        _validation.check_is_fitted(self, "members_")
        models = [member.model for member in self.members_]
        model = models[whole_number(network, len(models), type(self).__name__, "network")]
        one = self._is_one(X)
        column = [X] if one else X
        classes = list(map(str, self.classes_.tolist()))
        found = Traces(model, self._rows(column).to_array(), self._words(column), classes, models)
        return found[0] if one else found

    def _is_one(self, X: Any) -> bool:
        """Whether X is a single text or series."""
        raise NotImplementedError

    def _words(self, X: Any) -> Words:
        """What the steps of a trace are called."""
        return Words.of(None)

    # ---- predict

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, (N, K) in the order of classes_; rows sum to 1.

        Raises: NotFittedError before fit; otherwise as fit for input that does not fit.
        """
        _validation.check_is_fitted(self, "members_")
        rows = self._rows(X)
        y = self._average([member.outputs(rows) for member in self.members_])
        probabilities: Array = y / y.sum(axis=1, keepdims=True)  # float32 sums are off by 1e-7
        return probabilities

    def predict(self, X: Any) -> Array:
        """The most probable class of each row, (N,) with the labels that fit saw."""
        best = self.predict_proba(X).argmax(axis=1)
        labels: Array = self.classes_[best]
        return labels

    @property
    def model_(self) -> Sequential:
        """The network, the first of them if there are several."""
        return self.members_[0].model

    @property
    def history_(self) -> dict[str, list[float]]:
        """Loss and figures of every epoch of `model_`."""
        return self.members_[0].history

    @property
    def n_iter_(self) -> int:
        """Epochs that `model_` was trained."""
        return self.members_[0].epochs

    @property
    def seconds_(self) -> float:
        """How long the epochs of all networks took."""
        return sum(member.seconds for member in self.members_)

    @property
    def interrupted_(self) -> bool:
        """Whether Ctrl-C stopped fit."""
        return self.members_[-1].interrupted

    # ---- file

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted classifier to one safetensors file; nothing in it is code.

        `load` of the same class reads it, and models.load_model the network alone. After a fit that Ctrl-C stopped, the
        file holds the optimizer's state too, so that fit with warm_start=True takes the epochs that were left.

        Raises: NotFittedError before fit; TypeError for labels or arguments that JSON cannot hold.
        """
        _validation.check_is_fitted(self, "members_")
        arrays, header = self.members_[0].model.contents(optimizer=self.interrupted_)
        header["estimator"] = {
            "class": type(self).__name__,
            "arguments": self._get_arguments(),
            "classes": labels_to_config(self.classes_),
            "repeated": self.repeated_,
            "held_out": self.held_out_.tolist(),
            "validation": self.validation_,
            "max_epochs": self.max_epochs_,
            "report": getattr(self, "report_", {}),
            "state": self._get_state(),
            "members": [],
        }
        for number, member in enumerate(self.members_):
            more, described = member.model.contents(optimizer=self.interrupted_)
            notes = {"history": member.history, "interrupted": member.interrupted, "seconds": member.seconds}
            if number:
                arrays |= {f"member_{number}/{name}": array for name, array in more.items()}
                notes["header"] = described
            header["estimator"]["members"].append(notes)
        saving.write_file(path, arrays, header)

    def _get_arguments(self) -> dict[str, Any]:
        """The constructor's arguments, ready for JSON; a random state that is no number is left out."""
        arguments = self.get_params(deep=False)
        if not isinstance(arguments["random_state"], int | np.integer):
            arguments["random_state"] = None
        if isinstance(arguments["class_weight"], dict):
            weights = arguments["class_weight"]
            arguments["class_weight"] = {
                "labels": labels_to_config(np.array(list(weights))),
                "weights": [float(weight) for weight in weights.values()],
            }
        return {name: value.item() if isinstance(value, np.generic) else value for name, value in arguments.items()}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The classifier that `save` wrote.

        Raises: FileNotFoundError; FileFormatError if the file is broken or holds something else.
        """
        arrays, header = saving.read_file(path)
        found = header.get("estimator", {}).get("class", "a model without a classifier")
        if found != cls.__name__:
            remedy = "Read it with models.load_model." if "estimator" not in header else f"Read it with {found}.load."
            raise FileFormatError(f'"{path}" expected a {cls.__name__}, got {found}. {remedy}')
        saved = header["estimator"]
        try:
            arguments = saved["arguments"]
            weights = arguments["class_weight"]
            if isinstance(weights, dict):
                labels = labels_from_config(weights["labels"]).tolist()
                arguments["class_weight"] = dict(zip(labels, weights["weights"], strict=True))
            classifier = cls(**arguments)
            classifier.classes_ = labels_from_config(saved["classes"])
            classifier.repeated_ = saved["repeated"]
            classifier.held_out_ = np.array(saved["held_out"], np.int64)
            classifier.validation_ = saved.get("validation")
            classifier.max_epochs_ = int(saved.get("max_epochs", classifier.epochs or 0))
            classifier.report_ = dict(saved.get("report", {}))
            classifier._set_state(saved["state"])
            members = [saved] if "history" in saved else saved["members"]  # files had one network at first
            classifier.members_ = [_member(path, n, note, arrays, header) for n, note in enumerate(members)]
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f'"{path}" does not describe a {cls.__name__}: {error!r}. Save it again.') from error
        return classifier


def _member(
    path: str | os.PathLike[str], number: int, note: dict[str, Any], arrays: dict[str, Array], header: dict[str, Any]
) -> Member:
    """One network of a file, as save wrote it."""
    if number:
        prefix = f"member_{number}/"
        arrays = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        header = note["header"]
    model = model_from(path, arrays, header)
    return Member(model, note["history"], bool(note.get("interrupted")), float(note.get("seconds", 0.0)))
