"""Dropout of words and of their vectors: what is dropped, how often, and that the token table stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from differences import check_gradients
from unrolled import engine, layers, models
from unrolled.errors import ShapeError
from unrolled.parameters import Gradients, Mode, RowGradient


def drawing(seed: int = 3) -> Mode:
    return Mode(training=True, keep=True, random=np.random.default_rng(seed))


# ---- word dropout ----


def test_words_become_unknown_and_padding_stays(rng: np.random.Generator) -> None:
    ids = rng.integers(2, 50, (200, 100))
    ids[:, :30] = 0
    dropped, _ = layers.WordDropout(0.25, token=1).forward(ids, drawing())
    assert (dropped[:, :30] == 0).all()
    changed = dropped != ids
    assert (dropped[changed] == 1).all()
    assert changed[:, 30:].mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 14_000))
    assert (ids[:, 30:] >= 2).all()  # the user's array is left alone


@pytest.mark.parametrize(("rate", "mode"), [(0.5, Mode()), (0.0, drawing())])
def test_no_word_is_dropped_in_prediction_or_at_rate_0(rate: float, mode: Mode) -> None:
    ids = np.array([[3, 4], [5, 0]])
    same, _ = layers.WordDropout(rate).forward(ids, mode)
    assert same is ids


def test_rate_1_drops_every_word() -> None:
    dropped, _ = layers.WordDropout(1, token=7).forward(np.array([[3, 0, 9]], np.int32), drawing())
    assert dropped.tolist() == [[7, 0, 7]] and dropped.dtype == np.int32


def test_a_model_with_word_dropout_trains_predicts_and_comes_back(tmp_path: Any, rng: np.random.Generator) -> None:
    x, y = rng.integers(2, 40, (64, 9)), rng.integers(0, 2, 64)
    x[:, :4] = 0

    def run() -> models.Sequential:
        model = models.Sequential(
            [layers.WordDropout(0.3), layers.Embedding(40, 4), layers.LSTM(5), layers.Dense(1, "sigmoid")], name="words"
        )
        model.random = np.random.default_rng(1)
        model.set_weights([0.3 * np.cos(1 + np.arange(w.size)).reshape(w.shape) for w in model.get_weights()])
        model.compile("adam", "binary_crossentropy")
        with engine.count_row_steps() as count:
            model.train_on_batch(x, y)
        assert count.total == 4 + 64 * 5  # the padding is still one trajectory
        model.fit(x, y, epochs=2, verbose=0)
        return model

    model = run()
    assert_array_equal(model.predict(x), run().predict(x))
    assert_array_equal(model.predict(x), model.predict(x))
    model.save(tmp_path / "model")
    loaded = models.load_model(tmp_path / "model")
    assert loaded.layers[0].get_config() == model.layers[0].get_config()
    assert_array_equal(loaded.predict(x), model.predict(x))
    model.fit(x, y, verbose=0)
    loaded.fit(x, y, verbose=0)
    assert_array_equal(loaded.predict(x), model.predict(x))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.WordDropout(1.5, name="w"), ValueError,
         'WordDropout "w": expected rate to be a number from 0 to 1, got 1.5.'),
        (lambda: layers.WordDropout("0.1", name="w"), TypeError,
         "WordDropout \"w\": expected rate to be a number from 0 to 1, got '0.1'."),
        (lambda: layers.WordDropout(0.1, token=-1, name="w"), ValueError,
         'WordDropout "w": expected token to be an id, an integer >= 0, got -1.'),
        (lambda: layers.WordDropout(0.1, name="w").check_input([[1.5]]), TypeError,
         'WordDropout "w": expected whole numbers (token ids) in x. Put it before an Embedding.'),
        (lambda: layers.WordDropout(0.1, name="w").check_input([1, 2]), ShapeError,
         'WordDropout "w": expected x with 2 axes (batch, features), got (2,).\n'
         "Reshape x, or put Reshape or Flatten first."),
        (lambda: layers.Embedding(5, 2, dropout=2, name="e"), ValueError,
         'Embedding "e": expected dropout to be a number from 0 to 1, got 2.'),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message


# ---- embedding dropout ----


@pytest.mark.parametrize("mask_zero", [False, True])
def test_a_dropped_vector_is_dropped_at_all_its_places(mask_zero: bool, rng: np.random.Generator) -> None:
    layer = layers.Embedding(300, 4, mask_zero=mask_zero, dropout=0.4)
    layer.ensure_built((None, 30))
    ids = rng.integers(0, 300, (40, 30))
    y, backprop = layer.forward(ids, drawing())
    assert y.n == len(np.unique(ids))  # the token table stays
    scale = (y.to_array() / layer.embeddings.value[ids])[..., 0]
    by_word = {word: scale[ids == word] for word in np.unique(ids)}
    for word, found in by_word.items():
        assert np.ptp(found) < 1e-6, word
    dropped = np.array([found[0] == 0 for found in by_word.values()])
    assert dropped.mean() == pytest.approx(0.4, abs=4 * np.sqrt(0.24 / 300))
    assert_allclose([found[0] for found in by_word.values() if found[0]], 1 / 0.6, rtol=1e-6)
    gradients = Gradients()
    backprop(np.ones((y.n, 4), np.float32), gradients)
    ((_, gradient),) = gradients
    assert isinstance(gradient, RowGradient)
    for row, value in zip(gradient.rows, gradient.values, strict=True):
        assert_allclose(value, by_word[int(row)][0], rtol=1e-6)
    same, _ = layer.forward(ids, Mode(keep=True))
    assert same.table is layer.embeddings.value  # prediction copies nothing


def test_gradients_through_dropped_vectors(rng: np.random.Generator) -> None:
    ids = np.array([[0, 0, 3, 1], [3, 3, 2, 0], [5, 4, 0, 0]])
    check_gradients(layers.Embedding(6, 2, dropout=0.5, dtype="float64"), ids, rng, training=True)


def test_the_prefix_is_shared_under_embedding_dropout(rng: np.random.Generator) -> None:
    x = rng.integers(1, 20, (16, 9))
    x[:, :4] = 0
    model = models.Sequential([layers.Embedding(20, 4, dropout=0.5), layers.GRU(5), layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    with engine.count_row_steps() as count:
        model.train_on_batch(x, rng.integers(0, 2, 16))
    assert count.total == 4 + 16 * 5
    config = model.layers[0].get_config()
    assert config["dropout"] == 0.5 and layers.Embedding.from_config(config).dropout == 0.5
