"""The engine against random plans, arrays that do not fit, and machines without memory or threads."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cases import CELLS, assert_same, level, make_layer, random_case, run_engine, run_reference, threads
from unrolled import _native, engine

LEVELS = _native.levels()
WIDEST = 16  # float32 lanes of the widest level; every level's width divides it
# Up to 3 vectors and a few entries more or less; and where products are cut: from 64 rows, beyond 192 entries.
BLOCKS = st.sampled_from([0, 1, 2, 3, 4, 13])
AROUND_LANES = st.builds(lambda blocks, off: max(1, blocks * WIDEST + off), BLOCKS, st.integers(-2, 2))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    cell=st.sampled_from(CELLS),
    on=st.sampled_from(LEVELS),
    dtype=st.sampled_from(["float32", "float64"]),
    units=AROUND_LANES,
    features=AROUND_LANES,
    batch=st.integers(1, 40),
    steps=st.integers(1, 7),
    count=st.integers(1, 3),
    options=st.fixed_dictionaries(
        {"masked": st.booleans(), "states": st.booleans(), "lead": st.booleans(), "go_backwards": st.booleans()}
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_shapes_and_plans_match_reference(cell, on, dtype, units, features, batch, steps, count, options, seed):
    rng = np.random.default_rng(seed)
    case = random_case(cell, (batch, steps, features, units), rng, dtype=dtype, **options)
    with level(on), threads(count):
        found = run_engine(case)
    expected = run_reference(case)
    if dtype == "float64":
        return assert_same(found, expected, 1e-11)
    # With one unit and few steps the terms of a sum can nearly cancel. What one more rounding of x does then, the
    # reference tells in float64; the engine rounds at every operation.
    rounded = case.x * (1 + rng.uniform(-1, 1, case.x.shape) * 2.0**-24)
    once = run_reference(replace(case, x=rounded))
    rounding = {name: 8 * float(np.abs(once[name] - want).max(initial=0)) for name, want in expected.items()}
    assert_same(found, expected, 2e-5, rounding)


# ---- plans ----


def plan_by_hand(index, mask, lead, reverse, row_states):
    """(row-steps, value of each position, state row before it, output row of every step), from kernels.h's words."""
    batch, steps = index.shape
    shares = mask is None and not row_states and batch > 1
    shared = np.clip(lead, 0, steps) if shares else np.zeros(batch, int)
    prefix = int(shared.max(initial=0))
    keep = np.ones((batch, steps), bool) if mask is None else mask
    if reverse:
        index, keep = index[:, ::-1], keep[:, ::-1]
    runs = [[s for s in range(steps) if s >= shared[b] and keep[b, s]] for b in range(batch)]
    order = sorted(range(batch), key=lambda b: -len(runs[b]))
    first_initial = 1 + prefix + sum(map(len, runs))
    value, previous = [], []
    if prefix:
        value = list(index[int(np.argmax(shared)), :prefix])
        previous = [first_initial, *range(1, prefix)]
    seen = np.zeros((batch, steps), int)
    for b in order:
        state = int(shared[b]) or first_initial + (b if row_states else 0)
        shown = int(shared[b])
        for s in range(steps):
            if s < shared[b]:
                seen[b, s] = 1 + s
                continue
            if keep[b, s]:
                value.append(index[b, s])
                previous.append(state)
                state = shown = len(value)
            seen[b, s] = shown
    return len(value), value, previous, seen


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    batch=st.integers(0, 6),
    steps=st.integers(0, 6),
    masked=st.booleans(),
    density=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    reverse=st.booleans(),
    row_states=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_plans_run_the_steps_that_are_meant(batch, steps, masked, density, reverse, row_states, seed):
    rng = np.random.default_rng(seed)
    index = rng.integers(0, 9, (batch, steps), dtype=np.int32)
    mask = rng.random((batch, steps)) < density if masked else None
    lead = rng.integers(-2, steps + 3, batch).astype(np.int32)  # beyond either end: held to it
    plan = _native.plan(index, mask, lead, 9, reverse, row_states)
    count, value, previous, seen = plan_by_hand(index, mask, lead, reverse, row_states)
    assert plan.row_steps == count
    np.testing.assert_array_equal(plan.value(), value)
    np.testing.assert_array_equal(plan.previous(), previous)
    np.testing.assert_array_equal(plan.out_index(), seen)
    assert sorted(plan.order()) == list(range(batch))


# ---- every native function, with arrays as they must be and in other shapes ----


def fitting(cell: str, dtype: str, rng: np.random.Generator) -> dict[str, dict[str, object]]:
    """Arguments that fit, by function and case: a batch of B=5, T=8 over n=7 of V=9 rows, D=3, H=5."""
    kind = engine.CELLS[cell]
    B, T, n, V, D, H, G = 5, 8, 7, 9, 3, 5, kind.gates

    def array(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(dtype)

    plan_arguments = {
        "index": np.where(rng.random((B, T)) < 0.6, 0, rng.integers(1, n, (B, T))).astype(np.int32),  # 0 is frequent
        "mask": None, "lead": np.array([1, 0, 2, 0, 4], np.int32),
        "values": n, "reverse": False, "row_states": False,
    }  # fmt: skip
    plan = _native.plan(**plan_arguments)
    rows = rng.permutation(V)[:n].astype(np.int32)
    project = {
        "cell": kind.number, "units": H, "table": array(V, D), "rows": rows, "kernel": array(D, G * H),
        "bias": array(G * H), "drop": None, "owner": None,
    }  # fmt: skip
    forward = {
        "cell": kind.number, "activation": 0, "recurrent_activation": 1, "plan": plan,
        "z": _native.project(**project)[0], "recurrent_kernel": array(H, G * H),
        "recurrent_bias": array(G * H) if kind.biases == 2 else None,
        "h0": array(1, H), "c0": array(1, H), "drop": None, "keep": True, "sequences": True,
    }  # fmt: skip
    h, c, stash = _native.forward(**forward)[:3]
    taken = stash.copy()
    backward = {
        "cell": kind.number, "activation": 0, "recurrent_activation": 1, "plan": plan,
        "recurrent_kernel": forward["recurrent_kernel"], "drop": None, "h": h, "c": c, "stash": stash,
        "d_outputs": array(1 + plan.row_steps, H), "d_last": array(B, H), "d_final_h": array(B, H),
        "d_final_c": array(B, H),
    }  # fmt: skip
    _, d_recurrent_bias, frequent, *_ = _native.backward(**backward | {"stash": taken})
    assert frequent.size
    project_backward = {
        "cell": kind.number, "plan": plan, "table": project["table"], "rows": rows, "kernel": project["kernel"],
        "drop": None, "owner": None, "stash": taken, "frequent": frequent,
        "d_recurrent_bias": d_recurrent_bias, "want_kernel": True, "want_bias": True, "want_values": True,
    }  # fmt: skip
    forward_and_back = {name: forward[name] for name in forward if name not in ("keep", "sequences")} | {
        "kernel": array(H, 3), "bias": array(3), "labels": array(B, 3), "softmax": True, "weights": array(B),
        "weight": 0.0, "want_kernel": True, "want_states": True, "table": project["table"], "rows": rows,
        "input_kernel": project["kernel"], "input_drop": None, "owner": None, "want_input_kernel": True,
        "want_input_bias": True, "want_values": True, "later": True,
    }  # fmt: skip
    value, gradient = array(V, D), array(n, D)
    alone = plan_arguments | {"lead": np.zeros(B, np.int32)}  # rows that draw share no prefix
    calls = (alone, project, forward, backward, project_backward)
    dropped = dropped_arguments(*calls, of_input=array(B, G, D), of_state=array(B, G, H))
    mask = rng.random((B, T)) < 0.7
    pooled = {"table": project["table"], "rows": rows, "index": plan_arguments["index"], "mask": mask}
    largest, _, mean = _native.pool(**pooled, want_max=True, want_mean=True)
    table, behind, rates = array(V, D), rng.integers(0, 4, V, dtype=np.int32), rng.random(5).astype(dtype)
    return dropped | {
        "plan": plan_arguments | {"mask": mask},
        "project": project,
        "project later": project | {"later": True},
        "forward": forward,
        "backward": backward,
        "forward_and_back": forward_and_back,
        "project_backward": project_backward,
        "dense": {"x": array(7, D), "kernel": array(D, 5), "bias": array(5)},
        "dense_backward": {
            "x": array(7, D), "kernel": array(D, 5), "d_z": array(7, 5), "want_kernel": True, "want_x": True,
        },
        "cross_entropy": {"logits": array(7, 5), "labels": array(7, 5), "softmax": True, "gradient": True},
        "collect": {"index": rng.integers(0, n, 11, dtype=np.int32), "d": array(11, D), "n": n},
        "pool": pooled | {"want_max": True, "want_mean": True},
        "pool_backward": pooled | {"max": largest, "d_max": array(*largest.shape), "d_mean": array(*mean.shape)},
        "distinct": {"ids": rng.integers(0, 6, (B, T), dtype=np.int32), "vocabulary": 6},
        "distinct of 64 bits": {"ids": rng.integers(0, 6, (B, T)), "vocabulary": 6},
        "first_not_finite": {"arrays": [value]},
        "all_within": {"array": value, "low": -1.0, "high": 1.0},
        "total": {"array": value, "weights": value},
    } | {
        f"update {rule}": {
            "rule": rule, "values": [value], "states": [[array(V, D) ** 2 for _ in range(states)]],
            "gradients": [gradient], "rows": [rows], "rate": 0.1, "decay": 0.01, "scales": [1.0],
            "constants": [0.9, 0.99, 0.1, 0.1], "pending": [None], "later": 0,
        }
        for rule, (_, states, _) in enumerate(_native.rules())
    } | {
        f"update {rule} with steps to make up": {
            "rule": rule, "values": [table], "states": [[array(V, D) ** 2 for _ in range(states)]],
            "gradients": [gradient], "rows": [rows], "rate": 0.1, "decay": 0.0, "scales": [1.0],
            "constants": [0.9, 0.99, 0.1, 0.1], "pending": [(behind, rates, np.array([3], np.int32))], "later": 0,
        }
        for rule, (_, states, waits) in enumerate(_native.rules()) if waits
    } | {
        f"catch_up {rule}": {
            "rule": rule, "value": table, "state": [array(V, D) ** 2 for _ in range(states)],
            "pending": (behind, rates, np.array([3], np.int32)), "constants": [0.9, 0.99, 0.1, 0.1], "rows": rows,
        }
        for rule, (_, states, waits) in enumerate(_native.rules()) if waits
    }  # fmt: skip


def dropped_arguments(plan, project, forward, backward, project_backward, of_input, of_state):
    """The same calls under dropout of the input and of the state."""
    owner = np.arange(len(project["rows"]), dtype=np.int32) % len(of_input)
    with_input = {"drop": of_input, "owner": owner}
    project = project | with_input
    ran = {"plan": _native.plan(**plan), "drop": of_state}
    forward = forward | ran | {"z": _native.project(**project)[0]}
    h, c, stash = _native.forward(**forward)[:3]
    d_outputs = np.ones((1 + ran["plan"].row_steps, h.shape[1]), h.dtype)[:, : of_state.shape[2]]
    backward = backward | ran | {"h": h, "c": c, "stash": stash, "d_outputs": d_outputs, "every_state": True}
    taken = stash.copy()
    frequent = _native.backward(**backward | {"stash": taken})[2]
    assert frequent.size
    project_backward = project_backward | with_input | {"plan": ran["plan"], "stash": taken, "frequent": frequent}
    return {
        "project dropped": project, "forward dropped": forward, "backward dropped": backward,
        "project_backward dropped": project_backward,
    }  # fmt: skip


def spoiled(value: object) -> list[object]:
    """What might come in an argument's place."""
    numbers: list[object] = [-1, 0, 1, 2**20, 2**30, 2**31 - 1, 2**40, None, "text", float("nan"), [], np.zeros(3)]
    if isinstance(value, tuple):
        copies = [copy.deepcopy(value) for _ in value]  # for they are written to
        bad_parts = [(i, own, bad) for i, own in enumerate(copies) for bad in spoiled(own[i])]
        return [(*copy.deepcopy(own[:i]), bad, *copy.deepcopy(own[i + 1 :])) for i, own, bad in bad_parts] + numbers
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray | tuple):
        return [[bad] for bad in spoiled(value[0])] + [[], value * 2, *numbers]
    if not isinstance(value, np.ndarray) or value.size == 0:
        return numbers
    far = np.full(value.shape, -1) if value.dtype.kind == "i" else np.full(value.shape, np.inf)
    read_only = value.copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(b"x" + value.tobytes(), value.dtype, offset=1).reshape(value.shape)
    return [
        value[:-1], value[1:], value[..., :-1], value[..., 1:], value[::-1], value[..., ::-1], value[::2], value[:0],
        value[..., :0], value[None], value.T, value.reshape(-1), value.ravel()[:1].reshape(()),
        np.concatenate([value, value]), np.broadcast_to(value[:1], value.shape), np.asfortranarray(value),
        np.broadcast_to(value[..., :1], value.shape), np.broadcast_to(value[:1], (2**31 + 5, *value.shape[1:])),
        value.astype(np.int64 if value.dtype.kind == "i" else np.float16), value.astype(value.dtype.newbyteorder()),
        far.astype(value.dtype), np.full(value.shape, 2**31 - 1).astype(value.dtype), value * np.nan,
        np.zeros((0, *value.shape[1:]), value.dtype), np.zeros((*value.shape[:-1], 0), value.dtype),
        np.zeros((2**33, *value.shape[1:-1], 0), value.dtype), np.zeros((0, 2**33), value.dtype),
        read_only, unaligned, *numbers,
    ]  # fmt: skip


CHANGED = {"stash", "values", "value", "state", "states", "pending"}  # arguments that a function writes to


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
def test_no_argument_crashes_the_interpreter(cell, dtype, rng):
    """Every argument of every function in turn, many ways wrong: an answer or an exception, never a crash."""
    answers = refusals = 0
    for case, fit in fitting(cell, dtype, rng).items():
        function = getattr(_native, case.split()[0])
        function(**{name: copy.deepcopy(value) if name in CHANGED else value for name, value in fit.items()})
        for argument, good in fit.items():
            for bad in spoiled(good):
                arguments = {name: copy.deepcopy(value) if name in CHANGED else value for name, value in fit.items()}
                arguments[argument] = bad
                if isinstance(bad, int) and bad >= 2**20 and argument in {"values", "n", "units", "vocabulary"}:
                    continue  # right, and as large as they say
                long = argument == "arrays" and isinstance(bad, list) and any(np.size(array) > 2**30 for array in bad)
                if long and (cell, dtype) != (CELLS[0], "float32"):
                    continue  # right too, and 10 s of reading: once is enough
                try:
                    function(**arguments)
                    answers += 1
                except (ValueError, TypeError, IndexError, MemoryError):
                    refusals += 1
    assert answers > 100 and refusals > 500


def test_every_native_function_is_tried(rng):
    tried = {case.split()[0] for case in fitting("lstm", "float32", rng)}
    simple = {"cells", "rules", "levels", "level", "set_level", "lanes", "set_threads", "get_threads", "drop_buffers"}
    functions = {name for name in dir(_native) if callable(getattr(_native, name)) and not name.startswith("_")}
    assert functions - {"Plan", "Later"} == tried | simple


def test_a_layer_takes_arrays_that_are_not_aligned(rng):
    x = rng.normal(size=(4, 3, 2)).astype(np.float32)
    unaligned = np.frombuffer(b"x" + x.tobytes(), np.float32, offset=1).reshape(x.shape)
    assert not unaligned.flags.aligned
    layer = make_layer("lstm", 3)
    np.testing.assert_array_equal(layer(unaligned), layer(x))


# ---- machines that have less than was hoped ----


def run_limited(body: str) -> str:
    """What a process prints. There run() gives a pass and its gradients as a hash, limit(n) leaves n bytes to get."""
    start = """
import hashlib, resource
from pathlib import Path
import numpy as np
from cases import random_case, run_engine, threads
from unrolled import _native

case = random_case("lstm", (70, 40, 30, 50), np.random.default_rng(1), dtype="float32", lead=True)

def run():
    _native.drop_buffers()
    found = run_engine(case)
    return hashlib.sha256(b"".join(np.ascontiguousarray(found[name]).tobytes() for name in sorted(found))).hexdigest()

def limit(more):
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, resource.RLIM_INFINITY))
"""
    for _ in range(3):
        ran = subprocess.run(
            [sys.executable, "-c", start + body],
            cwd=Path(__file__).parent, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip
        # The C library ends a process that has no memory for some library's thread-local data (seen once in 31
        # runs, not in our code, which takes its own beforehand): that says nothing about the engine.
        if not (ran.returncode == 127 and "cannot allocate memory for thread-local data" in ran.stderr):
            break
    assert ran.returncode == 0, f"exit code {ran.returncode}\n{ran.stderr}"
    return ran.stdout


limited = pytest.mark.skipif(
    sys.platform != "linux" or "asan" in os.environ.get("LD_PRELOAD", ""),
    reason="limits the memory of a process as Linux does; AddressSanitizer needs it without limits",
)


@limited
def test_too_little_memory_is_a_memory_error_wherever_it_ends():
    out = run_limited("""
with threads(2):
    expected, refused, passed = run(), 0, 0
    for more in range(0, 8 << 20, 32 << 10):
        limit(more)
        try:
            found = run()
        except MemoryError:
            refused += 1
        else:
            passed += 1
            assert found == expected
    limit(1 << 30)
    assert run() == expected
print(refused, passed)
""")
    refused, passed = map(int, out.split())
    assert refused > 10
    assert passed > 10


@limited
def test_fewer_threads_than_asked_give_the_same_bits():
    out = run_limited("""
with threads(1):
    expected = run()
limit(200 << 20)  # each thread wants a stack of 8 MB
many, square = np.ones((5000, 64), np.float32), np.ones((64, 64), np.float32)
with threads(300):
    _native.dense(many, square, None)  # the workers start
    limit(1 << 30)
    assert run() == run() == expected
started = len(list(Path("/proc/self/task").iterdir()))
with threads(2):
    assert run() == expected
print(started, len(list(Path("/proc/self/task").iterdir())))
""")
    started, left = map(int, out.split())
    assert 1 < started < 300
    assert left == 2


@limited
def test_buffers_that_were_outgrown_are_not_kept():
    out = run_limited("""
from unrolled.layers import LSTM, Dense
from unrolled.models import Sequential

model = Sequential([LSTM(64), Dense(1)])
model.compile("sgd", "mse")
x, y = np.zeros((32, 288, 8), np.float32), np.zeros(32, np.float32)
model.train_on_batch(x, y)

def grown_by(*steps):
    _native.drop_buffers()
    before = int(Path("/proc/self/statm").read_text().split()[1])
    for length in steps:
        model.train_on_batch(x[:, :length], y)
    return int(Path("/proc/self/statm").read_text().split()[1]) - before

print(grown_by(288), grown_by(*range(128, 289, 16)))
""")
    one, rising = map(int, out.split())
    assert rising < 3 * one  # about twice; it was seven times when each length left its buffers behind
