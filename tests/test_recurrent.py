"""The battery over all cells: the engine against reference.py and against central differences, on every level."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from cases import (
    CELLS,
    SHAPES,
    assert_differences,
    assert_same,
    level,
    make_layer,
    random_case,
    run_engine,
    run_reference,
    threads,
)
from unrolled import _native, engine
from unrolled.batch import Sequence
from unrolled.parameters import Gradients, Mode

LEVELS = _native.levels()
OPTIONS = {
    "plain": {},
    "masks": {"masked": True},
    "masks_states": {"masked": True, "states": True},
    "states_backwards": {"states": True, "go_backwards": True},
    "masks_backwards": {"masked": True, "go_backwards": True},
    "shared_prefix": {"lead": True},
    "shared_prefix_backwards": {"lead": True, "go_backwards": True},
    "no_bias": {"use_bias": False, "states": True},
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("on", LEVELS)
def test_engine_matches_reference(on, cell, shape, option, rng):
    with level(on):
        case = random_case(cell, shape, rng, **OPTIONS[option])
        assert_same(run_engine(case), run_reference(case), 1e-12)  # float64: rounding only
        narrow = random_case(cell, shape, rng, dtype="float32", **OPTIONS[option])
        assert_same(run_engine(narrow), run_reference(narrow), 1e-5)  # rounding of float32 over T steps


@pytest.mark.parametrize("pair", list(itertools.product(engine.ACTIVATIONS, engine.ACTIVATIONS)), ids="-".join)
@pytest.mark.parametrize("cell", CELLS)
def test_every_pair_of_activations_matches_reference(cell, pair, rng):
    if cell == "simple_rnn" and pair[0] != pair[1]:
        pair = (pair[0], pair[0])  # it has one activation
    for on in LEVELS:
        with level(on):
            options = {"activation": pair[0], "recurrent_activation": pair[1], "masked": True, "states": True}
            case = random_case(cell, (5, 4, 3, 6), rng, **options)
            assert_same(run_engine(case), run_reference(case), 1e-12)
            narrow = random_case(cell, (5, 4, 3, 6), rng, dtype="float32", **options)
            assert_same(run_engine(narrow), run_reference(narrow), 5e-5)  # linear and relu gates amplify rounding


@pytest.mark.parametrize("on", LEVELS)
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_match_central_differences(cell, on, rng):
    with level(on):
        assert_differences(random_case(cell, (3, 4, 2, 5), rng, masked=True, states=True))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
def test_large_layers_take_the_blocked_way_and_agree(cell, dtype, rng):
    case = random_case(cell, (37, 3, 70, 300), rng, dtype=dtype)
    assert_same(run_engine(case), run_reference(case), 1e-12 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("on", LEVELS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_are_accurate_and_keep_nan(on, dtype):
    small = np.geomspace(1e-30, 0.5, 200)
    x = np.concatenate([np.linspace(-30, 30, 6001), [np.nan, 0], small, -small]).astype(dtype)
    truth = {
        "tanh": np.tanh,
        "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "relu": lambda v: np.where(np.isnan(v), v, np.maximum(v, 0)),
        "linear": lambda v: v,
        "hard_sigmoid": lambda v: np.clip(v / 6 + 0.5, 0, 1),
        "softsign": lambda v: v / (1 + np.abs(v)),
    }
    with level(on):
        for name in engine.ACTIVATIONS:
            layer = make_layer("simple_rnn", 1, activation=name, dtype=dtype, use_bias=False)
            layer.build((None, 1, 1))
            layer.set_weights([np.ones((1, 1)), np.zeros((1, 1))])
            y, _ = layer.forward(Sequence.from_array(x.reshape(-1, 1, 1)), Mode())
            want = truth[name](x.astype(np.float64))
            np.testing.assert_array_equal(np.isnan(y[:, 0]), np.isnan(want))
            atol = (4e-7 if dtype == "float32" else 4e-16) * max(1.0, np.nanmax(np.abs(want)))
            np.testing.assert_allclose(y[:, 0], want, rtol=0, atol=atol)
            if name == "tanh":  # a candidate near 0 has all its digits
                np.testing.assert_allclose(y[6003:, 0], want[6003:], rtol=4e-7 if dtype == "float32" else 1e-15, atol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_same_bits_for_any_number_of_threads_and_from_run_to_run(cell, rng):
    case = random_case(cell, (45, 30, 8, 24), rng, dtype="float32", lead=True)
    wide = random_case(cell, (40, 3, 8, 300), rng, dtype="float32")
    for one in (case, wide):
        with threads(1):
            expected = run_engine(one)
        for n in (2, 4, 2):
            with threads(n):
                found = run_engine(one)
            for name in expected:
                np.testing.assert_array_equal(found[name], expected[name], err_msg=f"{name}, {n} threads")


@pytest.mark.parametrize("cell", CELLS)
def test_a_row_has_the_same_bits_in_any_batch(cell, rng):
    case = random_case(cell, (29, 11, 5, 20), rng, dtype="float32")
    together, _ = case.layer.forward(Sequence.from_array(case.x), Mode())
    for rows in (slice(0, 1), slice(3, 10)):
        alone, _ = case.layer.forward(Sequence.from_array(case.x[rows]), Mode())
        np.testing.assert_array_equal(alone[0].to_array(), together[0].to_array()[rows])


@pytest.mark.parametrize("cell", CELLS)
def test_prediction_has_the_bits_of_the_kept_pass(cell, rng):
    for sequences in (True, False):
        case = random_case(cell, (11, 9, 4, 33), rng, dtype="float32", lead=True)
        case.layer.return_sequences = sequences
        kept, _ = case.layer.forward(Sequence.from_array(case.x), Mode(keep=True))
        light, backprop = case.layer.forward(Sequence.from_array(case.x), Mode())
        for a, b in zip(kept, light, strict=True):
            np.testing.assert_array_equal(a.to_array() if sequences and a is kept[0] else a,
                                          b.to_array() if sequences and b is light[0] else b)  # fmt: skip
        with pytest.raises(RuntimeError, match="keep=True"):
            backprop(None, Gradients())


def test_backprop_runs_once(rng):
    case = random_case("lstm", (3, 4, 2, 5), rng)
    y, backprop = case.layer.forward(Sequence.from_array(case.x), Mode(keep=True))
    d_y = (np.zeros(y[0].values.shape), None, None)
    backprop(d_y, Gradients())
    with pytest.raises(RuntimeError, match=r"backprop runs once, for it overwrites the stash\. Run forward again\.$"):
        backprop(d_y, Gradients())


# ---- what runs is counted ----


def tokens(ids, features=3, mask_zero=False):
    ids = np.asarray(ids, np.int32)
    rows, index, lead, trail = _native.distinct(ids, 50)
    table = np.random.default_rng(5).normal(size=(50, features)).astype(np.float32)
    if mask_zero:
        return Sequence(table=table, rows=rows, index=index, mask=ids != 0)
    return Sequence(table=table, rows=rows, index=index, lead=lead, trail=trail)


PRE = [[0, 0, 0, 7, 8], [0, 0, 0, 0, 9], [0, 3, 4, 5, 6], [0, 0, 0, 0, 0]]
POST = [row[::-1] for row in PRE]


@pytest.mark.parametrize(
    ("ids", "mask_zero", "backwards", "expected"),
    [
        (PRE, False, False, 5 + 2 + 1 + 4 + 0),  # the longest prefix once, then each row's own words
        (PRE, True, False, 2 + 1 + 4),
        (PRE, False, True, 20),  # pads come last in running order: real steps
        (POST, False, False, 20),
        (POST, False, True, 5 + 2 + 1 + 4 + 0),
        (POST, True, True, 2 + 1 + 4),
        (PRE[:1], False, False, 5),
    ],
)
@pytest.mark.parametrize("cell", CELLS)
def test_row_steps_are_counted_exactly(cell, ids, mask_zero, backwards, expected):
    layer = make_layer(cell, 4, go_backwards=backwards)
    layer.build((None, 5, 3))
    with engine.count_row_steps() as count:
        layer.forward(tokens(ids, mask_zero=mask_zero), Mode(keep=True))
    assert (count.total, count.by_layer) == (expected, {layer.name: expected})


@pytest.mark.parametrize("cell", CELLS)
def test_a_stack_inherits_the_prefix_and_is_exact(cell, rng):
    first, second = make_layer(cell, 4, return_sequences=True), make_layer(cell, 6)
    first.build((None, 5, 3))
    second.build((None, 5, 4))
    x = tokens(PRE)

    def run(sequence, between):
        hidden, back_first = first.forward(sequence, Mode(keep=True))
        y, back_second = second.forward(between(hidden), Mode(keep=True))
        gradients = Gradients()
        return y, hidden, back_first, back_second, gradients

    with engine.count_row_steps() as count:
        y, _, back_first, back_second, gradients = run(x, lambda h: h)
    assert count.by_layer == {first.name: 12, second.name: 12}
    d_y = rng.normal(size=y.shape).astype(np.float32)
    d_x = back_first(back_second(d_y, gradients), gradients)

    with engine.count_row_steps() as count:
        y2, hidden, back_first, back_second, gradients2 = run(x.expand(), lambda h: h.expand())
    assert count.by_layer == {first.name: 20, second.name: 20}
    np.testing.assert_allclose(y, y2, rtol=0, atol=1e-6)
    d_hidden = hidden.collect(back_second(d_y, gradients2).reshape(4, 5, 4))
    d_each = back_first(d_hidden, gradients2)
    np.testing.assert_allclose(d_x, x.collect(d_each.reshape(4, 5, 3)), rtol=0, atol=1e-5 * np.abs(d_x).max())
    for parameter, gradient in gradients:
        np.testing.assert_allclose(gradient, gradients2[parameter], rtol=0, atol=1e-5 * np.abs(gradient).max())


# ---- states, processes, threads ----


@pytest.mark.parametrize("cell", CELLS)
def test_stateful_carries_states_from_batch_to_batch(cell, rng):
    layer = make_layer(cell, 5, stateful=True)
    layer.build((None, None, 3))
    x = rng.normal(size=(4, 10, 3)).astype(np.float32)
    whole = layer(x)
    layer.reset_states()
    layer(x[:, :6])
    np.testing.assert_array_equal(layer(x[:, 6:]), whole)
    with pytest.raises(ValueError, match=r"it is stateful and the batch before had 4 rows, this one has 3"):
        layer(x[:3])


def test_two_python_threads_at_once(rng):
    case = random_case("lstm", (64, 20, 8, 32), rng, dtype="float32")
    expected = run_engine(case)
    found: list[dict[str, np.ndarray]] = []

    def work():
        for _ in range(20):
            found.append(run_engine(case))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 60
    for one in found:
        for name in expected:
            np.testing.assert_array_equal(one[name], expected[name])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_safe_after_a_fork(rng):
    case = random_case("gru_reset_after", (64, 20, 8, 32), rng, dtype="float32")
    with threads(2):
        expected = run_engine(case)["outputs"]
        child = os.fork()
        if child == 0:  # the child: exit code 0 only if its own workers give the same bits
            same = np.array_equal(run_engine(case)["outputs"], expected)
            os._exit(0 if same else 1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("on", LEVELS)
def test_an_environment_variable_forces_a_level(on):
    ran = run_python("from unrolled import _native; print(_native.level())", UNROLLED_SIMD=on)
    assert ran.stdout.strip() == on


def test_an_unknown_level_names_those_there_are():
    ran = run_python("import unrolled._native", UNROLLED_SIMD="mmx")
    assert ran.returncode != 0
    assert f'UNROLLED_SIMD: this machine and build have the levels {", ".join(LEVELS)}, got "mmx"' in ran.stderr


def test_an_environment_variable_sets_the_threads():
    code = "from unrolled import engine; print(engine.get_num_threads())"
    assert run_python(code, UNROLLED_NUM_THREADS="3").stdout.strip() == "3"
    assert 'UNROLLED_NUM_THREADS: expected a positive integer, got "many".' in run_python(
        code, UNROLLED_NUM_THREADS="many"
    ).stderr  # fmt: skip


def test_threads_must_be_a_positive_integer():
    with pytest.raises(ValueError, match=r"^set_num_threads: expected a positive integer, got 0\.$"):
        engine.set_num_threads(0)


# ---- bad input ----


def test_wrong_features_rank_states_and_names_are_explained():
    layer = make_layer("lstm", 4, name="encoder")
    layer.build((None, 5, 3))
    with pytest.raises(ValueError, match=r'^LSTM "encoder": expected x with 3 features on the last axis \(as built\)'):
        layer(np.zeros((2, 5, 7)))
    with pytest.raises(ValueError, match=r"expected x with 3 axes \(batch, time, features\), got \(32, 50\)"):
        layer(np.zeros((32, 50)))
    with pytest.raises(ValueError, match=r'^LSTM "encoder": expected initial_state \[h, c\], got 1 arrays\.$'):
        layer(np.zeros((2, 5, 3)), initial_state=[np.zeros((2, 4))])
    with pytest.raises(
        ValueError, match=r'^LSTM "encoder": expected initial_state h of shape \(2, 4\), got \(2, 5\)\.$'
    ):
        layer(np.zeros((2, 5, 3)), initial_state=[np.zeros((2, 5)), np.zeros((2, 4))])
    with pytest.raises(ValueError, match=r'activation to be one of tanh, .*, got "tahn"\. Did you mean "tanh"\?'):
        make_layer("lstm", 4, activation="tahn")
    for units in (0, -3):
        with pytest.raises(ValueError, match=rf"expected units to be a positive integer, got {units}\.$"):
            make_layer("gru_reset_after", units)
    with pytest.raises(TypeError, match=r"expected units to be a positive integer, got 2\.5\.$"):
        make_layer("simple_rnn", 2.5)


def test_native_functions_refuse_arrays_that_do_not_fit():
    x = tokens(PRE)
    with pytest.raises(ValueError, match="index"):
        _native.plan(x.index, None, x.lead[:2], x.n, False, False)
    with pytest.raises(IndexError, match="outside the table"):
        _native.plan(x.index, None, x.lead, 2, False, False)
    plan = _native.plan(x.index, None, x.lead, x.n, False, False)
    z = np.zeros((x.n, 3), np.float32)
    with pytest.raises(ValueError, match="z "):
        _native.forward(0, 0, 0, plan, z, np.zeros((4, 4), np.float32), None, None, None, None, False, False)
    with pytest.raises(TypeError):  # an array of another dtype is never converted behind one's back
        _native.project(0, 4, x.table, x.rows, np.zeros((3, 4)), None)
