"""What both classifiers share: the network, training with a hold-out, labels, and the file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Sequence
from typing import Any, Self

import numpy as np

from unrolled import optimizers, saving
from unrolled import random as streams
from unrolled.callbacks import EarlyStopping
from unrolled.classifiers.labels import labels_from_config, labels_to_config, read_labels
from unrolled.errors import FileFormatError, closest, require_extra
from unrolled.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Dense,
    Dropout,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Layer,
    Recurrent,
    SimpleRNN,
)
from unrolled.models import Sequential, model_from
from unrolled.parameters import Array
from unrolled.splits import count_repeats, stratified_holdout

_PURPOSE = "unrolled.classifiers"
_base = require_extra("sklearn.base", "sklearn", _PURPOSE)
_validation = require_extra("sklearn.utils.validation", "sklearn", _PURPOSE)
_class_weight = require_extra("sklearn.utils.class_weight", "sklearn", _PURPOSE)
_check_random_state = require_extra("sklearn.utils", "sklearn", _PURPOSE).check_random_state

CELLS: dict[str, type[Recurrent]] = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}
POOLING: dict[str, type[Layer]] = {"max": GlobalMaxPooling1D, "mean": GlobalAveragePooling1D}


class RecurrentClassifier(_base.ClassifierMixin, _base.BaseEstimator):  # type: ignore[name-defined,misc]  # no types there
    """The base of TextClassifier and SequenceClassifier; a subclass turns its input into padded arrays."""

    cell: str
    units: int
    layers: int
    bidirectional: bool
    pooling: str | None
    dropout: float
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    class_weight: Any
    early_stopping: bool
    validation_fraction: float
    patience: int
    random_state: Any
    verbose: int
    classes_: Array

    def _inputs(self, X: Any) -> Array:
        """Padded arrays for the network from what the user gave, after fit."""
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
        self._check_count("units", "layers", "epochs", "batch_size", "patience")
        for argument, least in (("dropout", 0.0), ("validation_fraction", 1e-9)):
            value = getattr(self, argument)
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not least <= value < 1:
                raise ValueError(f"{name}: expected {argument} below 1 and not negative, got {value!r}.")

    def _check_count(self, *arguments: str) -> None:
        for argument in arguments:
            value = getattr(self, argument)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(
                    f"{type(self).__name__}: expected {argument} as a whole number of at least 1, got {value!r}."
                )

    def _train(self, x: Array, y: Any, sample_weight: Any, keys: Sequence[Hashable]) -> Self:
        """Fit the network on padded inputs; keys are equal where rows are equal."""
        self._check_arguments()
        self.classes_, codes = read_labels(y, len(x), type(self).__name__)
        weight = self._weights(codes, x, sample_weight)
        random = np.random.Generator(np.random.PCG64(int(_check_random_state(self.random_state).randint(2**31 - 1))))
        self.repeated_ = count_repeats(keys)
        train, held_out = np.arange(len(x)), np.arange(0)
        if self.early_stopping:
            train, held_out = stratified_holdout(codes, self.validation_fraction, random, keys)
            self._warn_of_thin_classes(codes, held_out)
        with streams.using(random):
            model = self._network()
        part = [(x[rows], codes[rows], None if weight is None else weight[rows]) for rows in (train, held_out)]
        x_train, y_train, w_train = part[0]
        stopping = EarlyStopping(monitor="val_loss", patience=self.patience, restore_best_weights=True)
        history = model.fit(
            x_train,
            y_train,
            sample_weight=w_train,
            batch_size=int(self.batch_size),
            epochs=int(self.epochs),
            validation_data=part[1] if len(held_out) else None,
            callbacks=[stopping] if len(held_out) else None,
            verbose=self.verbose,
        )
        self.model_ = model
        self.history_ = history.history
        self.n_iter_ = len(history.epoch)
        self.held_out_ = held_out
        return self

    def _weights(self, codes: Array, x: Array, sample_weight: Any) -> Array | None:
        """The weight of each row: its own times its class's; None if there are none."""
        weight = None if sample_weight is None else _validation._check_sample_weight(sample_weight, x)
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

    def _network(self) -> Sequential:
        """The compiled network; its weights are drawn here."""
        model = Sequential(self._first_layers(), name="classifier")
        for number in range(1, self.layers + 1):
            more = number < self.layers
            name = f"{self.cell}_{number}"
            layer = CELLS[self.cell](self.units, return_sequences=more or self.pooling is not None, name=name)
            model.add(Bidirectional(layer, name=f"both_{name}") if self.bidirectional else layer)
            if more and self.dropout:
                model.add(Dropout(self.dropout, name=f"dropout_{number}"))
        if self.pooling is not None:
            model.add(POOLING[self.pooling](name="pooling"))
        if self.dropout:
            model.add(Dropout(self.dropout, name="dropout"))
        several = len(self.classes_) > 2
        model.add(
            Dense(len(self.classes_), "softmax", name="output") if several else Dense(1, "sigmoid", name="output")
        )
        optimizer = optimizers.get(self.optimizer)
        optimizer.learning_rate = float(self.learning_rate)
        loss = "sparse_categorical_crossentropy" if several else "binary_crossentropy"
        model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
        return model

    # ---- predict

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, (N, K) in the order of classes_; rows sum to 1.

        Raises: NotFittedError before fit; otherwise as fit for input that does not fit.
        """
        _validation.check_is_fitted(self, "model_")
        y = self.model_.predict(self._inputs(X), verbose=0).astype(np.float64)
        if len(self.classes_) == 2:
            y = np.concatenate([1.0 - y, y], axis=1)
        probabilities: Array = y / y.sum(axis=1, keepdims=True)  # float32 sums are off by 1e-7
        return probabilities

    def predict(self, X: Any) -> Array:
        """The most probable class of each row, (N,) with the labels that fit saw."""
        best = self.predict_proba(X).argmax(axis=1)
        labels: Array = self.classes_[best]
        return labels

    # ---- file

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted classifier to one safetensors file; nothing in it is code.

        `load` of the same class reads it, and models.load_model the network alone.

        Raises: NotFittedError before fit; TypeError for labels or arguments that JSON cannot hold.
        """
        _validation.check_is_fitted(self, "model_")
        arrays, header = self.model_.contents(optimizer=False)
        header["estimator"] = {
            "class": type(self).__name__,
            "arguments": self._get_arguments(),
            "classes": labels_to_config(self.classes_),
            "history": self.history_,
            "repeated": self.repeated_,
            "held_out": self.held_out_.tolist(),
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
            classifier.n_iter_ = len(saved["history"]["loss"])
            classifier.repeated_ = saved["repeated"]
            classifier.held_out_ = np.array(saved["held_out"], np.int64)
            classifier._set_state(saved["state"])
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f'"{path}" does not describe a {cls.__name__}: {error!r}. Save it again.') from error
        classifier.model_ = model_from(path, arrays, header)
        return classifier
