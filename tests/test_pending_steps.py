"""Rows of a table take the steps in which they have no gradient when they are read: the same bits as at once."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from unrolled import _native
from unrolled.layers import LSTM, Dense, Embedding
from unrolled.models import Sequential, load_model
from unrolled.optimizers import SGD, Adam, AdamW, NativeOptimizer, Optimizer, RMSprop, pending
from unrolled.optimizers.pending import PendingSteps
from unrolled.parameters import Array, Gradients, Parameter, RowGradient

MAKERS: dict[str, Callable[[], NativeOptimizer]] = {
    "adam": lambda: Adam(0.01),
    "adam, means of equal length": lambda: Adam(0.01, beta_1=0.99, beta_2=0.99),  # moves do not fade
    "adam without a mean": lambda: Adam(0.01, beta_1=0.0, beta_2=0.5),
    "amsgrad": lambda: Adam(0.01, amsgrad=True),
    "clipped": lambda: Adam(0.01, clipnorm=0.1),
    "rmsprop": lambda: RMSprop(0.01),
    "rmsprop, momentum": lambda: RMSprop(0.01, momentum=0.9),
    "rmsprop, centered": lambda: RMSprop(0.01, centered=True),
    "rmsprop, all": lambda: RMSprop(0.01, momentum=0.5, centered=True),
    "sgd": lambda: SGD(0.1),
    "sgd, momentum": lambda: SGD(0.1, momentum=0.9),
    "sgd, nesterov": lambda: SGD(0.1, momentum=0.9, nesterov=True),
}
WAITING = [name for name in MAKERS if name not in ("rmsprop", "sgd")]


class Pair:
    """One table whose rows wait, and one with the same gradients whose rows do not."""

    def __init__(self, make: Callable[[], NativeOptimizer], shape: tuple[int, int], dtype: Any, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        start = self.random.normal(0, 0.05, shape).astype(dtype)
        self.lazy, self.eager = Parameter("table", start.copy()), Parameter("table", start.copy())
        assert self.eager.value is not None  # handed out
        self.optimizers = make(), make()

    def step(self, rows: Any = None, size: float = 1e-2) -> None:
        count, width = self.lazy.shape
        if rows is None:
            rows = self.random.permutation(count // 2)[: 1 + count // 8]  # the other half is never seen
        rows = np.asarray(rows, np.int32)
        values = self.random.normal(0, size, (len(rows), width)).astype(self.lazy.dtype)
        for parameter, optimizer in zip((self.lazy, self.eager), self.optimizers, strict=True):
            gradients = Gradients()
            gradients.add(parameter, RowGradient(rows, values))
            optimizer.apply(gradients, [parameter])

    def waits(self) -> bool:
        """Whether some row of the one table has steps to make up; the other has none."""
        assert self.eager.pending is None
        return isinstance(self.lazy.pending, PendingSteps) and bool(self.lazy.pending.lags().any())

    def compare(self) -> None:
        assert_array_equal(bits(self.lazy.now()), bits(self.eager.now()))
        states = [optimizer.get_state() for optimizer in self.optimizers]
        assert states[0].keys() == states[1].keys()
        for key, one in states[0].items():
            assert_array_equal(bits(np.asarray(one)), bits(np.asarray(states[1][key])), err_msg=key)


def bits(array: Array) -> Array:
    return np.ascontiguousarray(array).view(np.uint8)


@pytest.mark.parametrize("level", _native.levels())
@pytest.mark.parametrize("shape", [(40, 1), (64, 8), (33, 17), (24, 32), (16, 50)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", MAKERS)
def test_bits_are_those_of_steps_at_once(name: str, dtype: Any, shape: tuple[int, int], level: str) -> None:
    before = _native.level()
    _native.set_level(level)
    try:
        pair = Pair(MAKERS[name], shape, dtype)
        waited = False
        for number in range(1, 90):
            pair.step()
            waited |= pair.waits() if number % 13 == 0 else False
            if number % 30 == 0:
                pair.compare()
        assert waited == (name in WAITING)
        pair.compare()
    finally:
        _native.set_level(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", WAITING)
def test_long_waits_end_in_the_same_bits(name: str, dtype: Any) -> None:
    """Until moves are lost in p's last digit and running means have become zero; then a gradient again."""
    pair = Pair(MAKERS[name], (12, 20), dtype)
    pair.step(np.arange(12))
    for number in range(2500):
        pair.step([0], size=1e-2 if number % 7 else 0.0)
    assert pair.waits()
    pair.step([0, 3, 5])
    pair.compare()
    for number in range(40):
        pair.step([number % 12])
    pair.compare()


@pytest.mark.parametrize("name", WAITING)
def test_the_rate_and_the_constants_may_change_in_between(name: str) -> None:
    """A row that no longer moved moves again when the rate grows a millionfold."""
    pair = Pair(MAKERS[name], (9, 24), np.float32)
    pair.step(np.arange(9))
    for number in range(700):
        for optimizer in pair.optimizers:
            optimizer.learning_rate = 1e-5 if number < 400 else 10.0 if number % 50 == 0 else 1e-2
            if number == 500 and isinstance(optimizer, Adam):
                optimizer.epsilon = 1e-3
            if number == 600 and isinstance(optimizer, SGD):
                optimizer.momentum = 0.5
        pair.step([number % 3])
    pair.compare()


def test_the_list_of_rates_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "MOST_STEPS", 7)
    pair = Pair(MAKERS["adam"], (20, 8), np.float32)
    for _ in range(40):
        pair.step()
    pair.compare()


def test_a_step_is_noted_down_with_the_call_that_takes_it() -> None:
    """Nothing is left to do after the native call, so that Ctrl-C cannot come between."""
    pair = Pair(MAKERS["adam"], (20, 8), np.float32)
    pair.step()
    native = _native.update

    def stopped(*arguments: Any) -> None:
        native(*arguments)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_native, "update", stopped)
        for parameter, optimizer in zip((pair.lazy, pair.eager), pair.optimizers, strict=True):
            gradients = Gradients()
            gradients.add(parameter, RowGradient(np.array([3], np.int32), np.ones((1, 8), np.float32)))
            with pytest.raises(KeyboardInterrupt):
                optimizer.apply(gradients, [parameter])
    for _ in range(3):
        pair.step()
    pair.compare()


def test_only_the_rows_that_are_read_catch_up() -> None:
    pair = Pair(MAKERS["adam"], (50, 16), np.float32)
    pair.step(np.arange(50))
    for _ in range(20):
        pair.step([1, 2])
    rows = np.array([40, 3], np.int32)
    now, expected = pair.lazy.table(rows), pair.eager.now()
    assert_array_equal(now[rows], expected[rows])
    assert (now[[5, 20, 49]] != expected[[5, 20, 49]]).any(axis=1).all()
    pair.compare()


def test_who_holds_the_array_sees_every_step() -> None:
    table, optimizer = Parameter("table", np.ones((6, 4), np.float32)), Adam(0.1)
    gradients = [Gradients(), Gradients()]
    gradients[0].add(table, np.ones((6, 4), np.float32))
    gradients[1].add(table, RowGradient(np.array([1], np.int32), np.ones((1, 4), np.float32)))
    optimizer.apply(gradients[0], [table])
    optimizer.apply(gradients[1], [table])
    held = table.value
    for _ in range(3):
        before = held.copy()
        optimizer.apply(gradients[1], [table])
        assert (held != before).all()


def test_a_dense_gradient_in_between() -> None:
    pair = Pair(MAKERS["adam"], (20, 8), np.float32)
    for number in range(30):
        pair.step()
        if number % 10 == 9:
            whole = pair.random.normal(size=(20, 8)).astype(np.float32)
            for parameter, optimizer in zip((pair.lazy, pair.eager), pair.optimizers, strict=True):
                gradients = Gradients()
                gradients.add(parameter, whole)
                optimizer.apply(gradients, [parameter])
    pair.compare()


@pytest.mark.parametrize("optimizer", [AdamW(0.01), Adam(0.01, use_ema=True)])
def test_steps_that_move_all_rows_at_once_do_not_wait(optimizer: Optimizer) -> None:
    table = Parameter("table", np.ones((6, 4), np.float32))
    gradients = Gradients()
    gradients.add(table, RowGradient(np.array([1], np.int32), np.ones((1, 4), np.float32)))
    for _ in range(3):
        optimizer.apply(gradients, [table])
    assert table.pending is None


# ---- a model

IDS = np.random.default_rng(3).integers(0, 300, (12, 8, 9))
LABELS = np.random.default_rng(4).integers(0, 2, (12, 8, 1))


def model_of(optimizer: Any = "adam") -> Sequential:
    random = np.random.default_rng(5)
    model = Sequential([Embedding(300, 12, input_length=9), LSTM(6), Dense(1, activation="sigmoid")])
    model.set_weights([random.normal(0, 0.3, w.shape) for w in model.get_weights()])
    model.compile(optimizer, "binary_crossentropy")
    return model


def train(model: Sequential, batches: range) -> list[float]:
    return [model.train_on_batch(IDS[i % 12], LABELS[i % 12]) for i in batches]


def eager(optimizer: Any = "adam") -> Sequential:
    model = model_of(optimizer)
    assert model.weights[0].value is not None
    return model


def test_a_model_trains_predicts_and_is_read_as_with_steps_at_once() -> None:
    lazy, other = model_of(), eager()
    for start in range(0, 60, 6):
        assert train(lazy, range(start, start + 6)) == train(other, range(start, start + 6))
        x = np.random.default_rng(start).integers(0, 300, (5, 9))
        assert_array_equal(lazy.predict(x, verbose=0), other.predict(x, verbose=0))
        table = lazy.weights[0]
        assert table.pending is not None
        assert not np.array_equal(table.pending.array, other.weights[0].now())  # rows still wait
        if start % 24 == 18:
            for one, two in zip(lazy.get_weights(), other.get_weights(), strict=True):
                assert_array_equal(one, two)
    assert other.weights[0].pending is None


CONTINUE: dict[str, Callable[[Sequential, Any], Sequential]] = {
    "deepcopy": lambda model, path: copy.deepcopy(model),
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)),
    "save": lambda model, path: [model.save(path / "m.unrolled"), load_model(path / "m.unrolled")][1],
}


@pytest.mark.parametrize("how", CONTINUE)
def test_a_copy_made_while_rows_wait_goes_on_bit_for_bit(how: str, tmp_path: Any) -> None:
    model, other = model_of(), eager()
    train(model, range(20))
    train(other, range(20))
    again = CONTINUE[how](model, tmp_path)
    train(again, range(20, 30))
    after_copy = copy.deepcopy(model).get_weights()
    train(other, range(20, 30))
    for one, two in zip(again.get_weights(), other.get_weights(), strict=True):
        assert_array_equal(one, two)
    train(model, range(20, 30))  # the original is not touched by its copy
    for one, two, three in zip(model.get_weights(), other.get_weights(), after_copy, strict=True):
        assert_array_equal(one, two)
        assert (one != three).any()


def test_weights_that_are_set_and_another_optimizer_while_rows_wait() -> None:
    model, other = model_of(), eager()
    for one in (model, other):
        train(one, range(10))
        weights = one.get_weights()
        weights[0] = weights[0] * 2
        one.set_weights(weights)
        train(one, range(10, 20))
        one.weights[0].assign(one.weights[0].numpy() / 2)
        one.compile("rmsprop", "binary_crossentropy")
        train(one, range(20, 30))
        one.compile(Adam(0.02), "binary_crossentropy")
        train(one, range(30, 40))
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        assert_array_equal(a, b)


def test_a_frozen_table_keeps_what_it_was_when_it_was_frozen() -> None:
    model, other = model_of(), eager()
    for one in (model, other):
        train(one, range(10))
        one.layers[0].trainable = False
        train(one, range(10, 20))
        one.layers[0].trainable = True
        train(one, range(20, 25))
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        assert_array_equal(a, b)
