"""One network of a classifier: trained with a hold-out, stopped and gone on with, asked for its outputs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from unrolled import _native
from unrolled.callbacks import Callback, EarlyStopping, SwapEMAWeights
from unrolled.callbacks.base import Logs
from unrolled.models import Sequential
from unrolled.parameters import Array

READ_ROWS, LEAST_EPOCHS, MOST_EPOCHS = 80_000, 3, 20  # what epochs=None stands for
PREDICTED_STEPS = 1 << 16  # rows times steps that are padded at once

Part = tuple[Array, Array, Array | None]  # padded rows, class numbers, weights


class Rows(Protocol):
    """N rows of unequal length that become padded arrays when they are needed."""

    def __len__(self) -> int: ...

    @property
    def lengths(self) -> Array:
        """(N,) number of steps of each row."""

    def to_array(self, rows: Array | None = None) -> Array:
        """These rows (all) behind padding, (n, T) or (n, T, D); T is the longest of them."""


class Options(Protocol):
    """The arguments of a classifier that say how its networks are trained."""

    epochs: int | None
    batch_size: int
    learning_rate: float
    final_learning_rate: float
    weight_averaging: float
    patience: int
    verbose: int


def enough_epochs(rows: int) -> int:
    """How many epochs read about READ_ROWS rows: few of a large set, many of a small one."""
    return min(max(round(READ_ROWS / rows), LEAST_EPOCHS), MOST_EPOCHS)


class FallingRate(Callback):
    """Lets the learning rate fall from `first` to `last` over `steps` steps, of which `done` were taken before."""

    def __init__(self, first: float, last: float, steps: int, done: int) -> None:
        super().__init__()
        self.first, self.last, self.steps, self.step = first, last, steps, done

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Set this step's rate."""
        self.model.optimizer.learning_rate = self.first + (self.last - self.first) * self.step / self.steps
        self.step += 1


@dataclass
class Member:
    """A network, the history of all its epochs, and whether Ctrl-C stopped them."""

    model: Sequential
    history: dict[str, list[float]] = field(default_factory=dict)
    interrupted: bool = False
    seconds: float = 0.0

    @property
    def epochs(self) -> int:
        """How many were run."""
        return len(self.history.get("loss", []))

    def train(self, options: Options, train: Part, held_out: Part | None, callbacks: Iterable[Callback]) -> None:
        """Run epochs, or those that Ctrl-C left, and keep the weights of the best."""
        done, wanted = self.epochs, options.epochs or enough_epochs(len(train[1]))
        last = max(wanted, done) if self.interrupted else done + int(wanted)
        watching: list[Callback] = [SwapEMAWeights(swap_on_epoch=True)] if options.weight_averaging else []
        if held_out is not None:
            watching.append(EarlyStopping("val_loss", patience=options.patience, restore_best_weights=True))
        if options.final_learning_rate < 1:
            steps, rate = -(-len(train[1]) // int(options.batch_size)), float(options.learning_rate)
            watching.append(FallingRate(rate, rate * options.final_learning_rate, last * steps, done * steps))
        before = self.model.get_weights() if done else []
        best = min(self.history.get("val_loss", []), default=np.inf)
        _native.drop_buffers()  # and what splitting the texts left
        start = time.perf_counter()
        new = self.model.fit(
            train[0],
            train[1],
            sample_weight=train[2],
            batch_size=int(options.batch_size),
            epochs=last,
            initial_epoch=done,
            validation_data=held_out,
            callbacks=[*watching, *callbacks],
            verbose=options.verbose,
        ).history
        self.seconds += time.perf_counter() - start
        _native.drop_buffers()
        self.history = {name: self.history.get(name, []) + values for name, values in new.items()} or self.history
        self.interrupted = self.epochs < last and not self.model.stop_training
        if held_out is not None and before and min(new.get("val_loss", []), default=np.inf) >= best:
            self.model.set_weights(before)

    def outputs(self, rows: Rows) -> Array:
        """The network's outputs (N, K) in float64. Rows of like length are padded together."""
        order = np.argsort(rows.lengths, kind="stable")
        steps = np.maximum(rows.lengths[order], 1)
        parts: list[Any] = []
        start = 0
        while start < len(order):
            sizes = steps[start:] * np.arange(1, len(order) - start + 1)  # of the padded array, row by row
            end = start + max(1, int(np.searchsorted(sizes, PREDICTED_STEPS, side="right")))
            parts.append(self.model.predict(rows.to_array(order[start:end]), verbose=0))
            start = end
        y = np.empty((len(order), parts[0].shape[1]))
        y[order] = np.concatenate(parts)
        return y
