"""Recurrent layer, dense layer and cross-entropy forward and back at once: the bits of one after another."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from cases import CELLS, level, make_layer, threads
from unrolled import _native, losses, models
from unrolled.errors import TrainingDivergedError
from unrolled.layers import LSTM, Dense, Dropout, Embedding
from unrolled.models import Sequential
from unrolled.optimizers import Adam

B, T, V, D, H = 21, 9, 12, 5, 18


def ids(rng: np.random.Generator, padding: str = "pre") -> np.ndarray:
    """Rows of ids of unequal length, some empty."""
    x = rng.integers(1, V, (B, T))
    steps, lengths = np.arange(T), rng.integers(0, T + 1, B)[:, None]
    x[steps < T - lengths if padding == "pre" else steps >= lengths] = 0
    return x


def model_of(
    cell: str, units: int = 1, embedding: dict[str, Any] | None = None, top: dict[str, Any] | None = None, **layer: Any
) -> Sequential:
    return Sequential(
        [
            Embedding(V, D, **(embedding or {})),
            make_layer(cell, H, **layer),
            Dense(units, activation="sigmoid" if units == 1 else "softmax", **(top or {})),
        ]
    )


class Calls:
    """How often the engine went forward and back at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, native = 0, _native.forward_and_back

        def counted(*arguments: Any) -> Any:
            self.count += 1
            return native(*arguments)

        monkeypatch.setattr(_native, "forward_and_back", counted)


def train(model: Sequential, batches: list[tuple[np.ndarray, np.ndarray]], **more: Any) -> list[np.ndarray]:
    """Losses of the steps, then all weights."""
    found = [np.float64(model.train_on_batch(x, y, **more)) for x, y in batches]
    return [np.array(found), *model.get_weights()]


def one_after_another(model: Sequential, batches: Any, **more: Any) -> list[np.ndarray]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sequential, "_head", lambda self, batch: None)
        return train(model, batches, **more)


def require_same_bits_for_any_threads(model: Sequential, batches: Any, on: str) -> None:
    """At this level, copies of the model: one after another, and at once in 1, 2 and 4 threads."""
    with level(on):
        expected = one_after_another(copy.deepcopy(model), batches)
        for count in (1, 2, 4):
            with threads(count):
                for one, two in zip(train(copy.deepcopy(model), batches), expected, strict=True):
                    np.testing.assert_array_equal(one, two)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "three classes": {"units": 3},
    "masked": {"embedding": {"mask_zero": True}},
    "frozen table": {"embedding": {"trainable": False}},
    "frozen top": {"top": {"trainable": False}},
    "no biases": {"top": {"use_bias": False}, "use_bias": False},
    "backwards": {"go_backwards": True},
    "stateful": {"stateful": True},
    "dropout": {"dropout": 0.3, "recurrent_dropout": 0.2, "embedding": {"dropout": 0.2}},
    "other activations": {"activation": "softsign"},
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_same_bits_as_one_after_another(
    cell: str, option: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, model = Calls(monkeypatch), model_of(cell, **OPTIONS[option])
    units = model.output_shape[-1]
    batches = [(ids(rng, padding), rng.integers(0, max(2, units), B)) for padding in ("pre", "post", "pre")]
    if units > 1:
        batches = [(x, np.eye(units)[y]) for x, y in batches]
    model.compile(Adam(0.01), "binary_crossentropy" if units == 1 else "categorical_crossentropy")
    model._padding_seen = True  # rows padded behind: not what is tested here
    other = copy.deepcopy(model)
    found, expected = train(model, batches), one_after_another(other, batches)
    assert calls.count == 3
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("on", _native.levels())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_at_every_level_and_for_any_threads(on: str, dtype: str, rng: np.random.Generator) -> None:
    x = [rng.normal(size=(40, 30, D)).astype(dtype) for _ in range(2)]
    batches = [(part, rng.integers(0, 2, 40)) for part in x]
    model = Sequential([make_layer("lstm", 33, dtype=dtype), Dense(1, activation="sigmoid", dtype=dtype)])
    model.compile("rmsprop", "binary_crossentropy")
    model.build((None, None, D))
    require_same_bits_for_any_threads(model, batches, on)


@pytest.mark.parametrize("on", _native.levels())
@pytest.mark.parametrize("cell", CELLS)
def test_same_bits_where_some_words_are_frequent(
    cell: str, on: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, native = [], _native.forward_and_back

    def spy(*arguments: Any) -> Any:
        places.append(np.bincount(arguments[3].value()))
        return native(*arguments)

    monkeypatch.setattr(_native, "forward_and_back", spy)
    share = 1 / np.arange(1, V) ** 3
    x = rng.choice(np.arange(1, V), (64, 20), p=share / share.sum())
    x[np.arange(20) < rng.integers(0, 20, (64, 1))] = 0
    batches = [(x, rng.integers(0, 2, 64))] * 2
    model = model_of(cell)
    model.compile("rmsprop", "binary_crossentropy")
    require_same_bits_for_any_threads(model, batches, on)
    assert len(places) == 6 and places[0].min() < 16  # from which on a word is frequent
    assert places[0][places[0] >= 16].sum() > places[0].sum() / 2


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
@pytest.mark.parametrize("weighed", [False, True])
def test_weights_reduction_and_smoothing(
    weighed: bool, reduction: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, model = Calls(monkeypatch), model_of("gru_reset_after", 3)
    model.compile("sgd", losses.CategoricalCrossentropy(label_smoothing=0.1, reduction=reduction))
    batches = [(ids(rng), np.eye(3)[rng.integers(0, 3, B)]) for _ in range(2)]
    more = {"sample_weight": rng.random(B)} if weighed else {}
    other = copy.deepcopy(model)
    found, expected = train(model, batches, **more), one_after_another(other, batches, **more)
    assert calls.count == 2
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, two)


def test_fit_reports_the_metrics_of_one_after_another(rng: np.random.Generator) -> None:
    x, y = np.concatenate([ids(rng) for _ in range(4)]), rng.integers(0, 2, 4 * B)
    histories = []
    for head in (Sequential._head, lambda self, batch: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Sequential, "_head", head)
            model = model_of("lstm")
            model.set_weights([np.random.default_rng(3).normal(size=w.shape) for w in model.get_weights()])
            model.compile("adam", "binary_crossentropy", metrics=["accuracy", "AUC"])
            histories.append(model.fit(x, y, 16, 2, verbose=0, shuffle=False, validation_split=0.2).history)
    assert histories[0] == histories[1]


class Doubled(losses.BinaryCrossentropy):
    """Somebody's loss."""

    def compute(self, y_true: Any, y: Any, logits: bool, gradient: bool = True) -> Any:
        values, d_y = super().compute(y_true, y, logits, gradient)
        return 2 * values, None if d_y is None else 2 * d_y


class Halved(Dense):
    """Somebody's layer."""

    def forward_logits(self, x: Any, mode: Any) -> Any:
        z, back = super().forward_logits(x, mode)
        return z / 2, lambda d_z, gradients: back(d_z / 2, gradients)


class Watchful(LSTM):
    """Somebody's recurrent layer."""

    def run(self, *arguments: Any) -> Any:
        return super().run(*arguments)


@pytest.mark.parametrize("why", ["loss", "own loss", "own layer", "own cell", "between", "frozen below", "wide"])
def test_other_models_go_one_after_another(why: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch)
    layers = [Embedding(V, D), make_layer("lstm", H), Dense(1, activation="sigmoid")]
    loss: Any = {"loss": "mse", "own loss": Doubled()}.get(why, "binary_crossentropy")
    if why == "own layer":
        layers[-1] = Halved(1, activation="sigmoid")
    if why == "own cell":
        layers[1] = Watchful(H)
    if why == "between":
        layers.insert(2, Dropout(0.2))
    if why == "frozen below":
        layers[0].trainable = layers[1].trainable = False
    if why == "wide":
        monkeypatch.setattr(models, "LARGEST_HEAD", H - 1)
    model = Sequential(layers)
    model.compile("sgd", loss)
    before = model.get_weights()
    model.train_on_batch(ids(rng), rng.integers(0, 2, B))
    assert calls.count == 0
    assert (model.get_weights()[-1] != before[-1]).any()


def test_a_loss_that_is_not_finite_changes_nothing(rng: np.random.Generator) -> None:
    model = model_of("lstm")
    weights = model.get_weights()
    weights[0][3, 1] = np.nan
    model.set_weights(weights)
    model.compile("rmsprop", "binary_crossentropy")
    x = ids(rng)
    x[0] = 3
    with pytest.raises(TrainingDivergedError, match='the parameter "embedding'):
        model.train_on_batch(x, rng.integers(0, 2, B))
    for after, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(after, before)
