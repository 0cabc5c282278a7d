"""dropout and recurrent_dropout inside the cells: the engine against the reference, differences, and Keras' rules."""

from __future__ import annotations

from typing import Any

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
from unrolled import _native, engine, layers, models
from unrolled.batch import Sequence
from unrolled.parameters import Gradients, Mode

LEVELS = _native.levels()
KINDS = ["input", "state", "input state", "input state gates"]
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "masks_states": {"masked": True, "states": True},
    "masks_backwards": {"masked": True, "go_backwards": True},
    "zeros_in_front": {"lead": True},
    "no_bias": {"use_bias": False, "states": True},
}


def check(cell, shape, rng, **options):
    for dtype, tolerance in (("float64", 1e-12), ("float32", 2e-5)):  # rounding over T steps
        case = random_case(cell, shape, rng, dtype=dtype, **options)
        assert_same(run_engine(case), run_reference(case), tolerance)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELLS)
def test_engine_matches_reference(cell, kind, option, rng):
    check(cell, (5, 4, 3, 17), rng, dropped=kind, **OPTIONS[option])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("on", LEVELS)
def test_every_level_matches_reference(on, cell, shape, rng):
    with level(on):
        check(cell, shape, rng, dropped=KINDS[-1], masked=True, states=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELLS)
def test_large_layers_and_many_steps_take_the_other_ways_and_agree(cell, kind, rng):
    for shape in ((37, 3, 70, 300), (60, 40, 5, 12), (9, 3, 300, 5)):
        case = random_case(cell, shape, rng, dropped=kind)
        assert_same(run_engine(case), run_reference(case), 1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_match_central_differences(cell, kind, rng):
    assert_differences(random_case(cell, (3, 4, 2, 5), rng, masked=True, states=True, dropped=kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELLS)
def test_same_bits_for_any_number_of_threads(cell, kind, rng):
    for shape in ((45, 30, 8, 24), (40, 3, 8, 300)):
        case = random_case(cell, shape, rng, dtype="float32", dropped=kind)
        with threads(1):
            expected = run_engine(case)
        for n in (2, 4):
            with threads(n):
                found = run_engine(case)
            for name in expected:
                np.testing.assert_array_equal(found[name], expected[name], err_msg=f"{name}, {n} threads")


# ---- what is drawn: Keras 3's rules ----


def drawing(seed: int = 5) -> Mode:
    return Mode(training=True, keep=True, random=np.random.default_rng(seed))


@pytest.mark.parametrize("cell", CELLS)
def test_which_masks_are_drawn(cell):
    """One for all gates of the input; with recurrent_dropout one a gate, of the input too (Keras' implementation 1)."""
    gates = engine.CELLS[cell].gates
    shapes = {
        (0.5, 0.0): ((6, 1, 3), None),
        (0.0, 0.5): (None, (6, gates, 4)),
        (0.5, 0.5): ((6, gates, 3), (6, gates, 4)),
        (0.0, 0.0): (None, None),
    }
    for (dropout, recurrent), expected in shapes.items():
        layer = make_layer(cell, 4, dropout=dropout, recurrent_dropout=recurrent)
        layer.build((None, None, 3))
        drawn = layer.draw_factors(6, drawing())
        assert tuple(None if f is None else f.shape for f in (drawn.input, drawn.state)) == expected


def test_factors_have_the_rate_and_the_scale():
    layer = make_layer("lstm", 50, dropout=0.2, recurrent_dropout=0.6)
    layer.build((None, None, 40))
    drawn = layer.draw_factors(100, drawing())
    for factors, rate in ((drawn.input, 0.2), (drawn.state, 0.6)):
        assert factors.dtype == np.float32
        np.testing.assert_allclose(np.unique(factors), [0, 1 / (1 - rate)], rtol=1e-6)
        deviation = np.sqrt(rate * (1 - rate) / factors.size)
        assert (factors == 0).mean() == pytest.approx(rate, abs=4 * deviation)
        assert abs(np.corrcoef(factors[:, 0].ravel(), factors[:, 1].ravel())[0, 1]) < 0.1  # gates draw on their own


@pytest.mark.parametrize("cell", CELLS)
def test_prediction_and_evaluation_drop_nothing(cell, rng):
    x = rng.normal(size=(5, 7, 3)).astype(np.float32)
    plain, dropping = make_layer(cell, 4), make_layer(cell, 4, dropout=0.5, recurrent_dropout=0.5)
    for layer in (plain, dropping):
        layer.build((None, 7, 3))
    dropping.set_weights(plain.get_weights())
    np.testing.assert_array_equal(dropping(x), plain(x))
    assert np.abs(dropping(x, training=True) - plain(x)).max() > 1e-3


# ---- what runs ----

PRE = np.array([[0, 0, 0, 7, 8], [0, 0, 0, 0, 9], [0, 3, 4, 5, 6], [0, 0, 0, 0, 0]], np.int32)


def tokens(mask_zero: bool = False) -> Sequence:
    embedding = layers.Embedding(10, 3, mask_zero=mask_zero)
    embedding.ensure_built((None, 5))
    return embedding.forward(PRE, Mode())[0]


@pytest.mark.parametrize(("rates", "shared"), [((0, 0), True), ((0.5, 0), False), ((0, 0.5), False)])
@pytest.mark.parametrize("cell", CELLS)
def test_rows_that_draw_share_no_prefix_and_masked_steps_still_rest(cell, rates, shared):
    layer = make_layer(cell, 4, dropout=rates[0], recurrent_dropout=rates[1])
    layer.build((None, 5, 3))
    for mask_zero, training, expected in ((False, True, 12 if shared else 20), (False, False, 12), (True, True, 7)):
        with engine.count_row_steps() as count:
            layer.forward(tokens(mask_zero), Mode(training, True, np.random.default_rng(1)))
        assert count.by_layer == {layer.name: expected}


def test_recurrent_dropout_alone_keeps_the_token_table():
    for rates, values in (((0, 0.5), 8), ((0.5, 0), 20)):
        layer = make_layer("lstm", 4, dropout=rates[0], recurrent_dropout=rates[1])
        layer.build((None, 5, 3))
        x = tokens()
        assert layer.run(x, False, None, layer.draw_factors(4, drawing())).plan.values == values and x.n == 8


def test_a_batch_in_which_no_step_runs():
    layer = make_layer("gru_reset_after", 4, dropout=0.5, recurrent_dropout=0.5)
    layer.build((None, 5, 3))
    x = Sequence.from_array(np.ones((2, 5, 3), np.float32), np.zeros((2, 5), bool))
    y, backprop = layer.forward(x, drawing())
    gradients = Gradients()
    d_x = backprop(np.ones_like(y), gradients)
    assert (y == 0).all() and (d_x == 0).all() and d_x.shape == (10, 3)
    assert (gradients.dense(layer.kernel) == 0).all()


# ---- in models ----


def model_of(seed: int = 4) -> models.Sequential:
    inner = {"dropout": 0.3, "recurrent_dropout": 0.2}
    model = models.Sequential(
        [
            layers.Embedding(20, 4, mask_zero=True),
            layers.Bidirectional(layers.LSTM(5, return_sequences=True, **inner)),
            layers.GRU(4, return_sequences=True, reset_after=False, **inner),
            layers.SimpleRNN(3, go_backwards=True, **inner),
            layers.Dense(1, "sigmoid"),
        ],
        name="dropping",
    )
    rng = np.random.default_rng(seed)
    model.random = np.random.default_rng(seed)
    model.set_weights([rng.normal(scale=0.4, size=w.shape) for w in model.get_weights()])
    model.compile("adam", "binary_crossentropy")
    return model


def test_a_stack_trains_saves_and_goes_on_bit_for_bit(tmp_path, rng):
    x, y = rng.integers(0, 20, (60, 8)), rng.integers(0, 2, 60)
    model, same = model_of(), model_of()
    losses = model.fit(x, y, epochs=2, verbose=0).history["loss"]
    assert same.fit(x, y, epochs=2, verbose=0).history["loss"] == losses
    model.save(tmp_path / "model")
    loaded = models.load_model(tmp_path / "model")
    assert loaded.layers[2].get_config() == model.layers[2].get_config()
    assert (loaded.layers[2].dropout, loaded.layers[2].recurrent_dropout) == (0.3, 0.2)
    inner = loaded.layers[1].backward_layer
    assert (inner.dropout, inner.recurrent_dropout) == (0.3, 0.2)
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    model.fit(x, y, verbose=0)
    loaded.fit(x, y, verbose=0)
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_both_directions_draw_their_own(rng):
    layer = layers.Bidirectional(layers.LSTM(4, dropout=0.5))
    layer.build((None, 5, 3))
    assert layer.draws and not layers.Bidirectional(layers.LSTM(4)).draws
    layer.backward_layer.set_weights(layer.forward_layer.get_weights())
    x = rng.normal(size=(6, 1, 3)).astype(np.float32)  # one step: the directions differ by their draws alone
    y = layer(x, training=True)
    assert np.abs(y[:, :4] - y[:, 4:]).max() > 1e-3
    y = layer(x)
    np.testing.assert_array_equal(y[:, :4], y[:, 4:])


def test_a_stateful_layer_carries_states_and_draws_anew(rng):
    layer = make_layer("lstm", 4, stateful=True, recurrent_dropout=0.5)
    layer.build((None, None, 3))
    x = rng.normal(size=(3, 4, 3)).astype(np.float32)
    drawn = []
    real = layer.draw_factors
    layer.draw_factors = lambda batch, mode: drawn.append(real(batch, mode)) or drawn[-1]
    layer(x, training=True)
    before = [s.copy() for s in layer.states]
    y = layer(x, training=True)
    assert not np.array_equal(drawn[0].state, drawn[1].state)
    layer.draw_factors = lambda batch, mode: drawn[1]
    layer.states = before
    np.testing.assert_array_equal(layer(x, training=True), y)


# ---- what does not fit ----


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.LSTM(3, dropout=1.5, name="l"), ValueError,
         'LSTM "l": expected dropout to be a number from 0 to 1, got 1.5.'),
        (lambda: layers.GRU(3, recurrent_dropout=-0.1, name="g"), ValueError,
         'GRU "g": expected recurrent_dropout to be a number from 0 to 1, got -0.1.'),
        (lambda: layers.SimpleRNN(3, dropout="half", name="s"), TypeError,
         "SimpleRNN \"s\": expected dropout to be a number from 0 to 1, got 'half'."),
    ],
)  # fmt: skip
def test_a_rate_out_of_range_is_said(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message


def test_native_functions_refuse_masks_that_do_not_fit():
    x = tokens()
    f32 = np.float32
    plan = _native.plan(x.index, None, x.lead, x.n, False, False)
    kernel, recurrent = np.zeros((3, 4), f32), np.zeros((4, 4), f32)
    z, _ = _native.project(0, 4, x.table, x.rows, kernel, None)
    with pytest.raises(ValueError, match="rows share no prefix"):
        _native.forward(0, 0, 0, plan, z, recurrent, None, None, None, np.ones((4, 1, 4), f32), False, False)
    with pytest.raises(ValueError, match=r"drop \(B, G, H\)"):
        _native.forward(0, 0, 0, plan, z, recurrent, None, None, None, np.ones((4, 2, 4), f32), False, False)
    with pytest.raises(ValueError, match="drop and owner, or neither"):
        _native.project(0, 4, x.table, x.rows, kernel, None, np.ones((4, 1, 3), f32), None)
    with pytest.raises(ValueError, match=r"drop \(B, 1 or G, D\)"):
        _native.project(1, 1, x.table, x.rows, kernel, None, np.ones((4, 2, 3), f32), np.zeros(x.n, np.int32))
    with pytest.raises(IndexError, match="owner outside the batch"):
        _native.project(0, 4, x.table, x.rows, kernel, None, np.ones((4, 1, 3), f32), np.full(x.n, 4, np.int32))
