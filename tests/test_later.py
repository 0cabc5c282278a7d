"""Work of the engine that goes on after its call: who reads waits, and all bits are those of work at once."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cases import make_layer, threads
from unrolled import _native
from unrolled.layers import LSTM, Dense, Embedding, SpatialDropout1D
from unrolled.models import Sequential, load_model
from unrolled.optimizers import SGD, Adam, NativeOptimizer, Optimizer, RMSprop
from unrolled.parameters import Array, Gradients, Parameter, RowGradient

V, F, B, T = 3000, 32, 48, 60  # large enough that projection, its way back and the table go on

MAKERS: dict[str, Callable[[], Optimizer]] = {
    "rmsprop": lambda: RMSprop(0.01),
    "adam": lambda: Adam(0.01),
    "sgd": lambda: SGD(0.1),
    "clipnorm": lambda: RMSprop(0.01, clipnorm=0.5),
    "clipvalue": lambda: Adam(0.01, clipvalue=1e-3),
    "averages": lambda: RMSprop(0.01, use_ema=True),
}


@pytest.fixture(autouse=True)
def two_threads() -> Any:
    with threads(2):
        yield


class Seen:
    """Counts what went on after its call, by function."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = dict.fromkeys(("project", "forward_and_back", "update"), 0)
        for name in self.count:
            monkeypatch.setattr(_native, name, self._spy(name, getattr(_native, name)))

    def _spy(self, name: str, native: Callable[..., Any]) -> Callable[..., Any]:
        def spy(*arguments: Any) -> Any:
            found = native(*arguments)
            self.count[name] += found[-1] is not None
            return found

        return spy


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing goes on from here."""
    update, both, project = _native.update, _native.forward_and_back, _native.project
    monkeypatch.setattr(_native, "project", lambda *arguments: project(*arguments[:-1], False))
    monkeypatch.setattr(_native, "forward_and_back", lambda *arguments: both(*arguments[:-1], False))
    monkeypatch.setattr(_native, "update", lambda *arguments: update(*arguments[:11]))  # without the last one


def model_of(cell: str = "lstm", optimizer: Optimizer | None = None) -> Sequential:
    model = Sequential([Embedding(V, F), make_layer(cell, 32), Dense(1, activation="sigmoid")])
    model.compile(optimizer or RMSprop(0.01), "binary_crossentropy")
    return model


def batches(rng: np.random.Generator, count: int = 3) -> list[tuple[Array, Array]]:
    return [(rng.integers(1, V, (B, T)), rng.integers(0, 2, B)) for _ in range(count)]


def train(model: Sequential, data: list[tuple[Array, Array]]) -> list[Array]:
    """Losses, weights and the optimizer's state after a step on each."""
    losses = [np.float64(model.train_on_batch(x, y)) for x, y in data]
    assert model.optimizer is not None
    state = [array for array in model.optimizer.get_state().values() if isinstance(array, np.ndarray)]
    return [np.array(losses), *model.get_weights(), *state]


def require_equal(found: list[Array], expected: list[Array]) -> None:
    assert len(found) == len(expected)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("cell", ["lstm", "gru_reset_after", "simple_rnn"])
def test_bits_are_those_of_work_at_once(cell: str, name: str, rng: np.random.Generator) -> None:
    model, data = model_of(cell, MAKERS[name]()), batches(rng)
    with pytest.MonkeyPatch.context() as patch:
        at_once(patch)
        expected = train(copy.deepcopy(model), data)
    for count in (1, 2, 4):
        with threads(count), pytest.MonkeyPatch.context() as patch:
            seen = Seen(patch)
            require_equal(train(copy.deepcopy(model), data), expected)
        assert seen.count["project"] == seen.count["forward_and_back"] == 3
        assert seen.count["update"] == (0 if name == "averages" else 3)


@pytest.mark.parametrize("change", ["dropout of words", "float64 above", "a layer between", "two layers"])
def test_models_whose_layers_read_the_gradient(change: str, rng: np.random.Generator) -> None:
    """What stands below the recurrent layer gets gradients that are there."""
    layers: dict[str, list[Any]] = {
        "dropout of words": [Embedding(V, F, dropout=0.3), LSTM(32), Dense(1, activation="sigmoid")],
        "float64 above": [Embedding(V, F), LSTM(32, dtype="float64"), Dense(1, activation="sigmoid", dtype="float64")],
        "a layer between": [Embedding(V, F), SpatialDropout1D(0.2), LSTM(32), Dense(1, activation="sigmoid")],
        "two layers": [Embedding(V, F), LSTM(F, return_sequences=True), LSTM(32), Dense(1, activation="sigmoid")],
    }
    model, data = Sequential(layers[change]), batches(rng)
    model.compile(RMSprop(0.01), "binary_crossentropy")
    with pytest.MonkeyPatch.context() as patch:
        at_once(patch)
        expected = train(copy.deepcopy(model), data)
    require_equal(train(model, data), expected)


READERS: dict[str, Callable[[Sequential, Any], Array]] = {
    "get_weights": lambda model, path: model.get_weights()[0],
    "numpy": lambda model, path: model.weights[0].numpy(),
    "value": lambda model, path: model.weights[0].value,
    "deepcopy": lambda model, path: copy.deepcopy(model).get_weights()[0],
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)).get_weights()[0],
    "a file": lambda model, path: saved(model, path).get_weights()[0],
    "predict": lambda model, path: model.predict(np.arange(1, V)[None], verbose=0),
    "the state": lambda model, path: next(
        a for k, a in model.optimizer.get_state().items() if k.startswith("embedding")
    ),
    "the copied state": lambda model, path: copy.deepcopy(model.optimizer)._state[0][0],
    "another optimizer": lambda model, path: recompiled(model).get_weights()[0],
}


def saved(model: Sequential, path: Any) -> Sequential:
    model.save(path / "model")
    return load_model(path / "model")


def recompiled(model: Sequential) -> Sequential:
    x, y = np.arange(1, 1 + B * T).reshape(B, T) % V, np.zeros(B)
    model.compile(SGD(0.1), "binary_crossentropy")
    model.train_on_batch(x, y)
    return model


@pytest.mark.parametrize("name", READERS)
def test_who_reads_after_a_step_waits(name: str, rng: np.random.Generator, tmp_path: Any) -> None:
    model, data = model_of(), batches(rng)
    other = copy.deepcopy(model)
    with pytest.MonkeyPatch.context() as patch:
        at_once(patch)
        train(other, data)
        expected = READERS[name](other, tmp_path)
    for x, y in data:
        model.train_on_batch(x, y)
    assert model.weights[0].later is not None
    np.testing.assert_array_equal(READERS[name](model, tmp_path), expected)


def large_table() -> tuple[Parameter, NativeOptimizer, Gradients, Array]:
    """A table whose update takes milliseconds, a step on it, and what it is afterwards."""
    table, optimizer = Parameter("table", np.ones((60_000, 64), np.float32)), SGD(0.5)
    gradients = Gradients(fleeting=True)
    rows = np.arange(len(table.now()), dtype=np.int32)[::-1].copy()
    gradients.add(table, RowGradient(rows, np.ones(table.shape, np.float32)))
    return table, optimizer, gradients, np.full(table.shape, 0.5, np.float32)


def test_gradients_that_may_change_are_read_at_once() -> None:
    table, optimizer, gradients, expected = large_table()
    gradients.fleeting = False
    optimizer.apply(gradients, [table])
    assert table.later is None
    np.testing.assert_array_equal(table._value, expected)


def test_the_next_step_waits_for_the_last_one() -> None:
    table, optimizer, gradients, expected = large_table()
    for _ in range(5):
        optimizer.apply(gradients, [table])
    np.testing.assert_array_equal(table.now(), expected - 2)


def test_other_work_is_begun_before_it_has_ended() -> None:
    """The pool ends one job before it begins the next, whoever's it is."""
    pairs = [large_table() for _ in range(6)]
    for table, optimizer, gradients, _ in pairs:
        optimizer.apply(gradients, [table])
        with threads(3):
            assert _native.total(np.ones(5, np.float32), None) == 5
        _native.first_not_finite([np.ones(100_000, np.float32)])  # shares out tasks
    for table, _, _, expected in reversed(pairs):
        np.testing.assert_array_equal(table.now(), expected)


def test_fewer_threads_while_it_goes_on() -> None:
    table, optimizer, gradients, expected = large_table()
    optimizer.apply(gradients, [table])
    with threads(1):
        np.testing.assert_array_equal(table.now(), expected)
    with threads(4):
        optimizer.apply(gradients, [table])
    np.testing.assert_array_equal(table.now(), expected - 0.5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_has_all_of_the_step() -> None:
    table, optimizer, gradients, expected = large_table()
    for _ in range(3):
        optimizer.apply(gradients, [table])
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(table.now(), expected) else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        expected -= 0.5


def test_arrays_stay_until_it_has_ended() -> None:
    for _ in range(20):
        table, optimizer, gradients, _ = large_table()
        optimizer.apply(gradients, [table])
        del table, optimizer, gradients  # nobody ever reads the table


def test_a_process_may_end_with_it() -> None:
    """Also where somebody keeps the model until after the interpreter has gone."""
    code = """
import ctypes
import numpy as np
from unrolled.layers import LSTM, Dense, Embedding
from unrolled.models import Sequential
model = Sequential([Embedding(20_000, 32), LSTM(32), Dense(1, activation="sigmoid")])
model.compile("rmsprop", "binary_crossentropy")
model.train_on_batch(np.arange(1, 6401).reshape(64, 100), np.zeros(64))
assert model.weights[0].later is not None
ctypes.pythonapi.Py_IncRef(ctypes.py_object(model))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_other_python_threads_meanwhile(rng: np.random.Generator) -> None:
    model, data = model_of(), batches(rng, 8)
    with pytest.MonkeyPatch.context() as patch:
        at_once(patch)
        expected = train(copy.deepcopy(model), data)
        other = model_of()
        predicted = other.predict(data[0][0], verbose=0)
    stop, wrong = threading.Event(), []

    def predict() -> None:
        while not stop.is_set():
            wrong.append(not np.array_equal(other.predict(data[0][0], verbose=0), predicted))

    worker = threading.Thread(target=predict)
    worker.start()
    try:
        found = train(model, data)
    finally:
        stop.set()
        worker.join()
    require_equal(found, expected)
    assert wrong and not any(wrong)


def test_python_threads_that_read_one_table() -> None:
    for _ in range(10):
        table, optimizer, gradients, expected = large_table()
        optimizer.apply(gradients, [table])
        found: list[Array] = []
        readers = [threading.Thread(target=lambda: found.append(table.numpy())) for _ in range(3)]  # noqa: B023
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        require_equal(found, [expected] * 3)


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    table, optimizer, gradients, _ = large_table()
    gradients.by_parameter[table].values[7, 3] = np.nan  # type: ignore[union-attr]
    assert optimizer.apply(gradients, [table], check=True) is table
    assert table.later is None
    assert (table.now() == 1).all()


@pytest.mark.parametrize("read", [lambda g, p: g[p], lambda g, p: dict(iter(g))[p], lambda g, p: g.dense(p)])
def test_who_reads_gradients_waits(read: Callable[[Gradients, Parameter], Array]) -> None:
    class Waiting:
        ended = False

        def finish(self) -> None:
            self.ended = True

    gradients, parameter, work = Gradients(), Parameter("kernel", np.ones(3, np.float32)), Waiting()
    gradients.add(parameter, np.ones(3, np.float32))
    gradients.follow(work)
    gradients.add(Parameter("bias", np.ones(2, np.float32)), np.ones(2, np.float32))
    assert not work.ended
    np.testing.assert_array_equal(read(gradients, parameter), np.ones(3))
    assert work.ended


@pytest.mark.parametrize("whole", [True, False])
def test_gradients_of_another_float_type_are_there_before_they_are_copied(whole: bool) -> None:
    table, entries = Parameter("table", np.ones((4, 3))), np.zeros((4, 3), np.float32)

    class Filling:
        def finish(self) -> None:
            entries[...] = 2

    gradients: Any = Gradients()
    gradients.add(table, entries if whole else RowGradient(np.arange(4, dtype=np.int32), entries))
    gradients.follow(Filling())
    SGD(0.25).apply(gradients, [table])
    assert (table.now() == 0.5).all()


def test_a_projection_that_goes_on(rng: np.random.Generator) -> None:
    table, rows = rng.normal(size=(V, F)).astype(np.float32), np.arange(V, dtype=np.int32)
    kernel = rng.normal(size=(F, 128)).astype(np.float32)
    z, later = _native.project(1, 32, table, rows, kernel, None, later=True)
    assert later is not None
    later.finish()
    later.finish()  # nothing is left to do
    np.testing.assert_array_equal(z, _native.project(1, 32, table, rows, kernel, None)[0])
