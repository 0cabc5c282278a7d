"""What both classifiers share: training with a hold-out, labels, predictions and the file."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Protocol, Self

import numpy as np

from unrolled import random as streams
from unrolled import saving
from unrolled.callbacks import Callback, EarlyStopping, SwapEMAWeights
from unrolled.classifiers.labels import labels_from_config, labels_to_config, read_labels
from unrolled.classifiers.network import CELLS, POOLING, build_network, compile_network
from unrolled.errors import FileFormatError, closest, require_extra
from unrolled.inspect.trace import Traces
from unrolled.inspect.words import Words
from unrolled.layers import Layer
from unrolled.models import model_from
from unrolled.parameters import Array
from unrolled.splits import count_repeats, stratified_holdout

_PURPOSE = "unrolled.classifiers"
_base = require_extra("sklearn.base", "sklearn", _PURPOSE)
_validation = require_extra("sklearn.utils.validation", "sklearn", _PURPOSE)
_class_weight = require_extra("sklearn.utils.class_weight", "sklearn", _PURPOSE)
_check_random_state = require_extra("sklearn.utils", "sklearn", _PURPOSE).check_random_state

READ_ROWS, LEAST_EPOCHS, MOST_EPOCHS = 80_000, 3, 20  # what epochs=None stands for
PREDICTED_STEPS = 1 << 19  # rows times steps that predict pads at once


class Rows(Protocol):
    """N rows of unequal length that become padded arrays when they are needed."""

    def __len__(self) -> int: ...

    @property
    def lengths(self) -> Array:
        """(N,) number of steps of each row."""

    def to_array(self, rows: Array | None = None) -> Array:
        """These rows (all) behind padding, (n, T) or (n, T, D); T is the longest of them."""


Part = tuple[Array, Array, Array | None]  # padded rows, class numbers, weights


def enough_epochs(rows: int) -> int:
    """How many epochs read about READ_ROWS rows: few of a large set, many of a small one."""
    return min(max(round(READ_ROWS / rows), LEAST_EPOCHS), MOST_EPOCHS)


class RecurrentClassifier(_base.ClassifierMixin, _base.BaseEstimator):  # type: ignore[name-defined,misc]  # no types there
    """The base of TextClassifier and SequenceClassifier; a subclass turns its input into Rows."""

    cell: str
    units: int
    layers: int
    bidirectional: bool
    pooling: str | None
    dropout: float
    epochs: int | None
    batch_size: int
    optimizer: str
    learning_rate: float
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

    def _first_layers(self) -> list[Layer]:
        """Layers below the recurrent ones, which hand on a mask of the padding."""
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
        self._check_count("units", "layers", "batch_size", "patience", *["epochs"] * (self.epochs is not None))
        self._check_share("dropout")
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

    def _check_share(self, *arguments: str, least: float = 0.0) -> None:
        for argument in arguments:
            value = getattr(self, argument)
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not least <= value < 1:
                raise ValueError(f"{type(self).__name__}: expected {argument} below 1 and not negative, got {value!r}.")

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
        if not goes_on:
            with streams.using(random):
                self.model_ = build_network(self._first_layers(), self, len(self.classes_))
            self.history_: dict[str, list[float]] = {}
            self.interrupted_ = False
        if not self.model_.compiled:
            compile_network(self.model_, self, len(self.classes_), steps=-(-len(train) // int(self.batch_size)))
        self.held_out_ = held_out
        parts = [(rows.to_array(p), codes[p], None if weight is None else weight[p]) for p in (train, held_out)]
        self._run_epochs(parts[0], parts[1] if len(held_out) else None, callbacks)
        return self

    def _goes_on(self) -> bool:
        """Whether fit goes on from the network that there is."""
        return bool(self.warm_start) and hasattr(self, "model_")

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

    def _run_epochs(self, train: Part, held_out: Part | None, callbacks: Iterable[Callback]) -> None:
        """Train, keep the best epoch's weights, and note what happened."""
        done = len(self.history_.get("loss", []))
        left = int(self.epochs) if self.epochs is not None else enough_epochs(len(train[1]))
        if self.interrupted_ and done < left:
            left -= done
        watching: list[Callback] = []
        if self.weight_averaging:
            watching.append(SwapEMAWeights(swap_on_epoch=True))
        stopping = EarlyStopping(monitor="val_loss", patience=self.patience, restore_best_weights=True)
        before = self.model_.get_weights() if done and held_out is not None else None
        if held_out is not None:
            watching.append(stopping)
        start = time.perf_counter()
        history = self.model_.fit(
            train[0],
            train[1],
            sample_weight=train[2],
            batch_size=int(self.batch_size),
            epochs=done + left,
            initial_epoch=done,
            validation_data=held_out,
            callbacks=[*watching, *callbacks],
            verbose=self.verbose,
        )
        self.seconds_ = getattr(self, "seconds_", 0.0) * bool(done) + time.perf_counter() - start
        best = min(self.history_.get("val_loss", []), default=np.inf)
        self.history_ = {name: self.history_.get(name, []) + values for name, values in history.history.items()}
        self.n_iter_ = len(self.history_.get("loss", []))
        self.interrupted_ = self.n_iter_ < done + left and not self.model_.stop_training
        if before is not None and min(history.history.get("val_loss", [np.inf])) >= best:
            self.model_.set_weights(before)

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

    def trace(self, X: Any) -> Any:
        """What the engine computes for one input or several: every gate and state of every step, with the words.

        Args:    X: one text or series, or a column of them as for predict.
        Returns: a Trace for one, Traces for a column; see Sequential.trace.
        Raises:  ValueError for a text without any word; NotFittedError before fit.
        """
        _validation.check_is_fitted(self, "model_")
        one = self._is_one(X)
        column = [X] if one else X
        classes = list(map(str, self.classes_.tolist()))
        found = Traces(self.model_, self._rows(column).to_array(), self._words(column), classes)
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
        _validation.check_is_fitted(self, "model_")
        y = self._outputs(self._rows(X))
        if len(self.classes_) == 2:
            y = np.concatenate([1.0 - y, y], axis=1)
        probabilities: Array = y / y.sum(axis=1, keepdims=True)  # float32 sums are off by 1e-7
        return probabilities

    def _outputs(self, rows: Rows) -> Array:
        """The network's outputs (N, K) in float64. Rows of like length are padded together."""
        order = np.argsort(rows.lengths, kind="stable")
        steps = np.maximum(rows.lengths[order], 1)
        y = np.empty((len(rows), 1 if len(self.classes_) == 2 else len(self.classes_)))
        start = 0
        while start < len(order):
            end = start + 1
            sizes = steps[start:] * np.arange(1, len(order) - start + 1)  # of the padded array, row by row
            end = start + max(1, int(np.searchsorted(sizes, PREDICTED_STEPS, side="right")))
            y[order[start:end]] = self.model_.predict(rows.to_array(order[start:end]), verbose=0)
            start = end
        return y

    def predict(self, X: Any) -> Array:
        """The most probable class of each row, (N,) with the labels that fit saw."""
        best = self.predict_proba(X).argmax(axis=1)
        labels: Array = self.classes_[best]
        return labels

    @property
    def validation_(self) -> dict[str, float] | None:
        """The kept epoch's figures on the rows held out: {"epoch" from 1, "rows", "loss", "accuracy"}; None without."""
        losses = self.history_.get("val_loss")
        if not losses:
            return None
        best = int(np.argmin(losses))
        figures = {"epoch": best + 1, "rows": len(self.held_out_)}
        return figures | {name: self.history_[f"val_{name}"][best] for name in ("loss", "accuracy")}

    # ---- file

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted classifier to one safetensors file; nothing in it is code.

        `load` of the same class reads it, and models.load_model the network alone. After a fit that Ctrl-C stopped, the
        file holds the optimizer's state too, so that fit with warm_start=True takes the epochs that were left.

        Raises: NotFittedError before fit; TypeError for labels or arguments that JSON cannot hold.
        """
        _validation.check_is_fitted(self, "model_")
        arrays, header = self.model_.contents(optimizer=self.interrupted_)
        header["estimator"] = {
            "class": type(self).__name__,
            "arguments": self._get_arguments(),
            "classes": labels_to_config(self.classes_),
            "history": self.history_,
            "repeated": self.repeated_,
            "held_out": self.held_out_.tolist(),
            "seconds": self.seconds_,
            "interrupted": self.interrupted_,
            "state": self._get_state(),
        }
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
            classifier.history_ = saved["history"]
            classifier.n_iter_ = len(saved["history"].get("loss", []))
            classifier.repeated_ = saved["repeated"]
            classifier.held_out_ = np.array(saved["held_out"], np.int64)
            classifier.seconds_ = float(saved.get("seconds", 0.0))
            classifier.interrupted_ = bool(saved.get("interrupted", False))
            classifier._set_state(saved["state"])
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f'"{path}" does not describe a {cls.__name__}: {error!r}. Save it again.') from error
        classifier.model_ = model_from(path, arrays, header)
        return classifier
