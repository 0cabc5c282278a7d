"""Optimizers against weights that Keras 3.15 on TensorFlow reached, against NumPy, and their messages."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from unrolled import _native, optimizers
from unrolled.errors import ShapeError
from unrolled.optimizers import SGD, Adam, AdamW, RMSprop
from unrolled.parameters import Gradients, Parameter, RowGradient

# Five steps from START with the gradients of `keras_gradients`: weights (2, 3) and a bias (1,), in float32.
START = np.array([[0.5, -1.25, 2.0], [0.75, -0.1, 0.3]])
KERAS = {
    "SGD()": [0.485000014, -1.24000013, 2.0, 0.600000143, -0.0500000007, 0.299500078, 3.9000001],
    "SGD(0.1, momentum=0.9)": [0.182968974, -0.987118006, 2.0, -3.19323015, 0.827950001, 0.286855906, 1.37118006],
    "SGD(0.1, momentum=0.9, nesterov=True)":
        [0.0646720976, -0.913406193, 2.0, -4.2989068, 1.23515487, 0.283170313, 0.634061933],
    "SGD(0.1, weight_decay=0.01)":
        [0.347704858, -1.14396226, 1.99002004, -0.750745535, 0.399999261, 0.29351306, 2.98203754],
    "RMSprop()": [0.486772388, -1.23935473, 2.0, 0.73935473, -0.0890024304, 0.289384335, 3.98935485],
    "RMSprop(0.01, rho=0.8, momentum=0.5)":
        [0.342986405, -1.11865783, 2.0, 0.61865747, 0.0231792219, 0.168859869, 3.86865735],
    "RMSprop(0.01, centered=True)":
        [0.349764317, -1.12729073, 2.0, 0.627289653, 0.0227078609, 0.177700758, 3.87728953],
    "RMSprop(0.01, momentum=0.3, centered=True)":
        [0.302444875, -1.08740139, 2.0, 0.5873999, 0.0577347651, 0.137959614, 3.8374002],
    "Adam()": [0.495149255, -1.24500024, 2.0, 0.745000064, -0.0966543257, 0.29500106, 3.99500036],
    "Adam(0.01, amsgrad=True)":
        [0.451492727, -1.20000088, 2.0, 0.700000465, -0.0665432364, 0.25001061, 3.95000005],
    "Adam(0.01, beta_1=0.8, beta_2=0.9, epsilon=1e-3)":
        [0.451762468, -1.20052624, 2.0, 0.700035393, -0.0656099394, 0.258688271, 3.95005322],
    "AdamW()": [0.495139271, -1.24497521, 1.99996006, 0.744985163, -0.0966523439, 0.294995099, 3.99492049],
    "AdamW(0.01, weight_decay=0.1)":
        [0.449095339, -1.19386327, 1.99002004, 0.696357846, -0.0660918131, 0.248613477, 3.93014002],
    "RMSprop(0.01, clipnorm=1.0)":
        [0.370253801, -1.14705288, 2.0, 0.647046089, 0.00810136832, 0.199642837, 3.8935473],
    "SGD(0.1, clipnorm=1.0)":
        [0.455166161, -1.21912372, 2.0, 0.28685534, 0.0469783731, 0.298456222, 3.50000048],
    "SGD(0.1, clipvalue=0.3)":
        [0.379999995, -1.1500001, 2.0, 0.600000143, 0.0200000033, 0.295000076, 3.85000014],
    "SGD(0.1, global_clipnorm=1.0)":
        [0.461572111, -1.22376716, 2.0, 0.356507331, 0.0265575126, 0.298688382, 3.73767161],
}  # fmt: skip
ALL = [*KERAS, "RMSprop(0.1, weight_decay=0.2)", "Adam(0.1, weight_decay=0.2, amsgrad=True)"]


def make(text):
    return eval(text, {"SGD": SGD, "RMSprop": RMSprop, "Adam": Adam, "AdamW": AdamW})


def gradients_of(*pairs):
    gradients = Gradients()
    for parameter, gradient in pairs:
        gradients.add(parameter, gradient)
    return gradients


def numpy_step(optimizer, p, g, state, n):
    """The formulas once more, in NumPy. state: arrays by slot; n = 1, 2, ..."""
    rate = optimizer.learning_rate
    p = p - p * (optimizer.weight_decay or 0) * rate
    if isinstance(optimizer, SGD):
        if not optimizer.momentum:
            return p - rate * g
        m = state["momentum"] = optimizer.momentum * state["momentum"] - rate * g
        return p + optimizer.momentum * m - rate * g if optimizer.nesterov else p + m
    if isinstance(optimizer, RMSprop):
        rho = optimizer.rho
        v = state["velocity"] = rho * state["velocity"] + (1 - rho) * g * g
        if optimizer.centered:
            a = state["average_gradient"] = rho * state["average_gradient"] + (1 - rho) * g
            v = v - a * a
        move = rate * g / np.sqrt(v + optimizer.epsilon)
        if optimizer.momentum:
            move = state["momentum"] = optimizer.momentum * state["momentum"] + move
        return p - move
    m = state["momentum"] = state["momentum"] + (1 - optimizer.beta_1) * (g - state["momentum"])
    v = state["velocity"] = state["velocity"] + (1 - optimizer.beta_2) * (g * g - state["velocity"])
    if optimizer.amsgrad:
        v = state["velocity_hat"] = np.maximum(v, state["velocity_hat"])
    alpha = rate * np.sqrt(1 - optimizer.beta_2**n) / (1 - optimizer.beta_1**n)
    return p - alpha * m / (np.sqrt(v) + optimizer.epsilon)


@pytest.mark.parametrize("level", _native.levels())
@pytest.mark.parametrize("text", KERAS)
def test_five_steps_end_where_keras_does(text, level):
    before = _native.level()
    _native.set_level(level)
    try:
        optimizer = make(text)
        weights = Parameter("w", START.astype(np.float32))
        bias = Parameter("b", np.array([4.0], np.float32))
        for k in range(5):
            g = np.array([[0.1 * (k + 1), -0.2, 0.0], [3.0, -0.5 * k, 0.01]], np.float32)
            optimizer.apply(gradients_of((weights, g), (bias, np.array([2.0], np.float32))), [weights, bias])
    finally:
        _native.set_level(before)
    assert optimizer.iterations == 5
    # float32: a few roundings in five steps; alpha of Adam loses four digits in 1 - beta_2^n
    assert_allclose(np.append(weights.value, bias.value), KERAS[text], rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize("size", [1, 17, 40_003])
@pytest.mark.parametrize("text", ALL)
def test_float64_steps_follow_the_formulas(text, size, rng):
    optimizer = make(text)
    optimizer.clipnorm = optimizer.clipvalue = optimizer.global_clipnorm = None
    p = Parameter("p", rng.normal(size=size))
    expected = p.numpy()
    optimizer.build([p])
    state = {slot: np.zeros(size) for slot in optimizer.slots}
    for n in range(1, 4):
        g = rng.normal(size=size)
        optimizer.apply(gradients_of((p, g)), [p])
        expected = numpy_step(optimizer, expected, g, state, n)
    assert_allclose(p.value, expected, rtol=0, atol=1e-13 * np.abs(expected).max())
    for slot in optimizer.slots:
        assert_allclose(optimizer.get_state()[f"p/{slot}"], state[slot], rtol=0, atol=1e-14 * np.abs(state[slot]).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(7, 1), (1, 5), (50, 17), (900, 32), (3, 20_000)])
@pytest.mark.parametrize("text", ALL)
def test_row_gradients_are_dense_gradients_to_the_bit(text, shape, dtype, rng):
    rows_optimizer, dense_optimizer = make(text), make(text)
    for optimizer in (rows_optimizer, dense_optimizer):
        optimizer.global_clipnorm = None
    start = rng.normal(size=shape).astype(dtype)
    by_rows, dense = Parameter("e", start.copy()), Parameter("e", start.copy())
    for _ in range(4):
        rows = rng.permutation(shape[0])[: max(1, shape[0] // 3)].astype(np.int32)
        wide = rng.normal(size=(len(rows), shape[1] + 3)).astype(dtype)  # rows with a stride, as the engine gives
        gradient = RowGradient(rows, wide[:, : shape[1]])
        rows_optimizer.apply(gradients_of((by_rows, gradient)), [by_rows])
        dense_optimizer.apply(gradients_of((dense, gradient.to_dense(shape))), [dense])
    if rows_optimizer.clipnorm is None:
        assert_array_equal(by_rows.value, dense.value)
    else:  # the norm is summed in another order
        assert_allclose(by_rows.value, dense.value, rtol=0, atol=1e-5 * np.abs(start).max())


def test_adam_moves_rows_without_gradient_and_rmsprop_decays_them():
    for optimizer, moves in ((Adam(0.1), True), (RMSprop(0.1), False)):
        table = Parameter("e", np.ones((3, 2), np.float32))
        optimizer.apply(gradients_of((table, np.ones((3, 2), np.float32))), [table])
        before, state = table.numpy(), {k: np.copy(v) for k, v in optimizer.get_state().items()}
        optimizer.apply(
            gradients_of((table, RowGradient(np.array([1], np.int32), np.ones((1, 2), np.float32)))), [table]
        )
        assert (table.value[[0, 2]] != before[[0, 2]]).all() == moves
        assert (optimizer.get_state()["e/velocity"][[0, 2]] < state["e/velocity"][[0, 2]]).all()


@pytest.mark.parametrize("text", ["RMSprop()", "Adam()", "SGD(0.1, momentum=0.9)"])
def test_bits_do_not_depend_on_threads(text, rng):
    start = rng.normal(size=(3000, 33)).astype(np.float32)
    rows = rng.permutation(3000)[:700].astype(np.int32)
    values = rng.normal(size=(700, 33)).astype(np.float32)
    results = []
    before = _native.get_threads()
    for threads in (1, 2, 4):
        _native.set_threads(threads)
        table, optimizer = Parameter("e", start.copy()), make(text)
        for _ in range(3):
            optimizer.apply(gradients_of((table, RowGradient(rows, values))), [table])
        results.append(table.numpy())
    _native.set_threads(before)
    assert_array_equal(results[0], results[1])
    assert_array_equal(results[0], results[2])


def test_running_means_end_in_zero_not_in_subnormal_numbers():
    table, optimizer = Parameter("e", np.ones((4, 3), np.float32)), Adam()
    optimizer.apply(gradients_of((table, np.full((4, 3), 1e-3, np.float32))), [table])
    nothing = gradients_of((table, RowGradient(np.array([0], np.int32), np.ones((1, 3), np.float32))))
    for _ in range(900):
        optimizer.apply(nothing, [table])
    assert (optimizer.get_state()["e/momentum"][1:] == 0).all()


def test_nan_gradients_reach_the_weights():
    for text in ("SGD()", "RMSprop()", "Adam()"):
        p, optimizer = Parameter("p", np.ones(5, np.float32)), make(text)
        optimizer.apply(gradients_of((p, np.full(5, np.nan, np.float32))), [p])
        assert np.isnan(p.value).all()


class Plain(optimizers.Optimizer):
    """Somebody's optimizer."""

    def update(self, value, gradient, state, size):
        value -= size * gradient


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("text", ["SGD()", "Adam()", "RMSprop(clipnorm=1.0)", "Adam(clipvalue=0.5)", "Plain(0.1)"])
@pytest.mark.parametrize("where", ["whole", "rows", "two types"])
def test_check_changes_nothing_and_names_the_last_bad_gradient(where, text, bad):
    optimizer = Plain(0.1) if text == "Plain(0.1)" else make(text)
    second = np.float64 if where == "two types" else np.float32
    a, b, c = (
        Parameter("a", np.ones((4, 3), np.float32)),
        Parameter("b", np.ones(40, second)),
        Parameter("c", np.ones(2, np.float32)),
    )
    good = np.ones((2, 3), np.float32)
    given = {a: RowGradient(np.array([3, 1], np.int32), good), b: np.ones(40, second), c: np.ones(2, np.float32)}

    def step(**changed):
        gradients = Gradients()
        for parameter, gradient in (given | {{"a": a, "b": b}[k]: g for k, g in changed.items()}).items():
            gradients.add(parameter, gradient)
        return optimizer.apply(gradients, [a, b, c], check=True)

    assert step() is None
    before = [p.numpy() for p in (a, b, c)]
    spoiled = np.ones(40, second)
    spoiled[33] = bad
    rows = good.copy()
    rows[1, 2] = bad
    changed = {"a": RowGradient(np.array([0, 2], np.int32), rows)} if where == "rows" else {"b": spoiled}
    assert step(**changed) is (a if where == "rows" else b)
    assert step(a=RowGradient(np.array([0, 2], np.int32), rows), b=spoiled) is b
    assert optimizer.iterations == 1
    for parameter, value in zip((a, b, c), before, strict=True):
        np.testing.assert_array_equal(parameter.numpy(), value)
    assert step() is None and optimizer.iterations == 2


def test_frozen_parameters_and_those_without_gradient_stay():
    a, b, c = (Parameter(n, np.ones(3, np.float32)) for n in "abc")
    b.trainable = False
    optimizer = Adam(0.1)
    optimizer.apply(gradients_of((a, np.ones(3, np.float32)), (b, np.ones(3, np.float32))), [a, b, c])
    assert (a.value < 1).all() and (b.value == 1).all() and (c.value == 1).all()


@pytest.mark.parametrize("text", ALL)
def test_state_continues_bit_for_bit(text, rng):
    gradients = rng.normal(size=(6, 2, 20)).astype(np.float32)
    start = rng.normal(size=(2, 20)).astype(np.float32)

    def run(optimizer, parameters, steps):
        for g in steps:
            optimizer.apply(gradients_of(*zip(parameters, g, strict=True)), parameters)

    whole, straight = (
        make(text),
        [Parameter("a", start[0].copy()), Parameter("a", start[1].copy())],
    )  # one path twice, on purpose
    run(whole, straight, gradients)
    first, parameters = make(text), [Parameter("a", start[0].copy()), Parameter("a", start[1].copy())]
    run(first, parameters, gradients[:3])
    state = {key: np.copy(value) for key, value in first.get_state().items()}
    second = optimizers.get(optimizers.serialize(first))
    fresh = [Parameter("a", p.numpy()) for p in parameters]
    second.set_state(state, fresh)
    third, copied = copy.deepcopy((first, parameters))
    run(second, fresh, gradients[3:])
    run(third, copied, gradients[3:])
    for p, q, r in zip(straight, fresh, copied, strict=True):
        assert_array_equal(p.value, q.value)
        assert_array_equal(p.value, r.value)
    assert second.iterations == third.iterations == 6


def test_state_of_another_model_is_refused():
    p = Parameter("p", np.zeros((2, 3), np.float32))
    optimizer = RMSprop()
    with pytest.raises(ValueError, match=r'^rmsprop: the state has no "p/velocity"; it belongs to another model or'):
        optimizer.set_state({"iterations": 1, "learning_rate": 0.1, "q/velocity": np.zeros((2, 3))}, [p])
    with pytest.raises(ShapeError, match=r'^rmsprop: "p/velocity" expected shape \(2, 3\), got \(3, 2\)\.$'):
        optimizer.set_state({"iterations": 1, "learning_rate": 0.1, "p/velocity": np.zeros((3, 2))}, [p])


def test_an_optimizer_in_numpy_may_be_written_by_anybody():
    class Sign(optimizers.Optimizer):
        def update(self, value, gradient, state, size):
            value -= size * np.sign(gradient)

    p = Parameter("p", np.zeros((3, 2), np.float32))
    Sign(0.5).apply(gradients_of((p, RowGradient(np.array([2, 0], np.int32), np.ones((2, 2), np.float32)))), [p])
    assert_array_equal(p.value, [[-0.5, -0.5], [0, 0], [-0.5, -0.5]])

    class Half(SGD):
        def update(self, value, gradient, state, size):
            super().update(value, gradient, state, size / 2)

    Half(1.0).apply(gradients_of((p, np.ones((3, 2), np.float32))), [p])
    assert_array_equal(p.value, [[-1, -1], [-0.5, -0.5], [-1, -1]])


def test_defaults_are_those_of_keras():
    assert SGD().get_config() == {
        "name": "sgd", "learning_rate": 0.01, "weight_decay": None, "clipnorm": None, "clipvalue": None,
        "global_clipnorm": None, "use_ema": False, "ema_momentum": 0.99, "ema_overwrite_frequency": None,
        "momentum": 0.0, "nesterov": False,
    }  # fmt: skip
    assert RMSprop().get_config().items() >= {
        "learning_rate": 0.001, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False,
    }.items()  # fmt: skip
    assert Adam().get_config().items() >= {
        "learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False, "weight_decay": None,
    }.items()  # fmt: skip
    assert AdamW().get_config()["weight_decay"] == 0.004
    assert AdamW(0.001, 0.01, 0.8).get_config()["beta_1"] == 0.8  # Keras' order of arguments


@pytest.mark.parametrize(
    ("make_it", "kind", "text"),
    [
        (lambda: optimizers.get("rmsprob"), ValueError,
         "unknown optimizer 'rmsprob', did you mean 'rmsprop'? Known: sgd, rmsprop, adam, adamw."),
        (lambda: optimizers.get(3), TypeError,
         "optimizer: expected a name such as 'rmsprop' or an optimizers.Optimizer, got 3."),
        (lambda: Adam("fast"), TypeError, "adam: expected learning_rate as a number >= 0, got 'fast'."),
        (lambda: Adam(-0.1), ValueError, "adam: expected learning_rate as a number >= 0, got -0.1."),
        (lambda: Adam(np.nan), ValueError, "adam: expected learning_rate as a number >= 0, got nan."),
        (lambda: Adam(beta_1=1.0), ValueError, "adam: expected beta_1 < 1, got 1.0."),
        (lambda: SGD(momentum=1.5), ValueError, "sgd: expected momentum as a number between 0 and 1, got 1.5."),
        (lambda: SGD(clipnorm=0), ValueError, "sgd: expected clipnorm > 0, got 0. Leave it out to clip nothing."),
        (lambda: SGD(clipnorm=1.0, clipvalue=2.0), ValueError,
         "sgd: expected one of clipnorm, clipvalue and global_clipnorm, got {'clipnorm': 1.0, 'clipvalue': 2.0}."),
        (lambda: AdamW(weight_decay=None), TypeError,
         "adamw: expected weight_decay as a number >= 0, got None. Adam has no decay."),
    ],
)  # fmt: skip
def test_messages(make_it, kind, text):
    with pytest.raises(kind) as error:
        make_it()
    assert str(error.value) == text
