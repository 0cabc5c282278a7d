"""BigramEmbedding: words and pairs of neighbours against a plain loop, gradients, dropout, masks and files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from differences import check_gradients
from unrolled import engine, layers, models
from unrolled.parameters import Mode

IDS = np.array([[0, 0, 3, 4, 3], [3, 4, 1, 4, 3], [2, 0, 5, 5, 5], [0, 0, 0, 0, 0]], np.int32)


def layer_of(mask_zero: bool = True, **arguments: Any) -> layers.BigramEmbedding:
    layer = layers.BigramEmbedding(6, 3, buckets=11, mask_zero=mask_zero, dtype="float64", **arguments)
    layer.ensure_built((None, 5))
    rng = np.random.default_rng(1)
    for parameter in layer.weights:
        parameter.assign(rng.normal(size=parameter.shape))
    return layer


@pytest.mark.parametrize("mask_zero", [True, False])
def test_a_word_and_the_pair_with_the_word_before_it_are_added(mask_zero: bool) -> None:
    layer = layer_of(mask_zero)
    words, pairs = (p.value for p in layer.weights)
    assert [p.path.split("/")[-1] for p in layer.weights] == ["embeddings", "bigrams"] and pairs.shape == (11, 3)
    buckets = layer.pairs(IDS)
    y, _ = layer.forward(IDS, Mode())
    got = y.to_array()
    for row, step in np.ndindex(IDS.shape):
        word, before = IDS[row, step], IDS[row, step - 1] if step else 0
        pair = buckets[row, step]
        assert (pair > 0) == (word > 1 and before > 1)  # padding and unknown words have no pair
        expected = words[word] + (pairs[pair - 1] if pair else 0)
        if mask_zero and word == 0:
            expected = np.zeros(3)
        assert_allclose(got[row, step], expected, rtol=0, atol=1e-15)
    if mask_zero:
        assert_array_equal(y.mask, IDS != 0)
    else:
        assert y.mask is None


def test_equal_pairs_share_a_bucket_and_the_order_of_the_words_counts() -> None:
    layer = layers.BigramEmbedding(30_000, 2, buckets=100_000)
    ids = np.random.default_rng(0).integers(2, 30_000, (100, 200))
    found = layer.pairs(ids)
    assert_array_equal(found, layer.pairs(ids.astype(np.int64)))
    assert (found[:, 0] == 0).all() and found[:, 1:].min() >= 1 and found.max() <= 100_000
    assert (found[:, 1:] != layer.pairs(ids[:, ::-1])[:, :0:-1]).mean() > 0.99
    different = len(np.unique(found[:, 1:]))  # 19,900 pairs thrown at 100,000 buckets fill 1 - exp(-.199) of them
    assert different == pytest.approx(100_000 * (1 - np.exp(-0.199)), rel=0.02)


@pytest.mark.parametrize("arguments", [{}, {"dropout": 0.5}, {"bigram_dropout": 0.5}], ids=str)
@pytest.mark.parametrize("mask_zero", [True, False])
def test_gradients(mask_zero: bool, arguments: dict[str, float], rng: np.random.Generator) -> None:
    check_gradients(layer_of(mask_zero, **arguments), IDS, rng, training=True)


def test_dropped_pairs_are_dropped_at_all_their_places() -> None:
    layer = layer_of(bigram_dropout=0.5)
    ids = np.random.default_rng(2).integers(2, 6, (20, 5))
    words = layer.embeddings.value[ids]
    y, _ = layer.forward(ids, Mode(training=True, keep=True, random=np.random.default_rng(3)))
    pairs = layer.pairs(ids)
    added = y.to_array() - words
    scales = set()
    for bucket in np.unique(pairs[pairs > 0]):
        found = added[pairs == bucket] / layer.bigrams.value[bucket - 1]
        assert np.ptp(found) < 1e-9
        scales.add(round(float(found[0, 0]), 6))
    assert scales == {0.0, 2.0}


def test_a_model_of_pairs_learns_the_order_of_words_and_comes_back(tmp_path: Any) -> None:
    rng = np.random.default_rng(4)
    x = rng.integers(2, 4, (400, 2))
    y = (x[:, 0] < x[:, 1]).astype(int)
    model = models.Sequential(
        [layers.BigramEmbedding(4, 4, buckets=50, mask_zero=True), layers.GlobalAveragePooling1D(),
         layers.Dense(1, "sigmoid")]
    )  # fmt: skip
    model.compile("adam", "binary_crossentropy", ["accuracy"])
    model.optimizer.learning_rate = 0.05  # type: ignore[union-attr]
    model.fit(x, y, epochs=20, verbose=0)
    assert model.evaluate(x, y, verbose=0)[1] == 1  # words alone tell three cases of four
    model.save(tmp_path / "model")
    again = models.load_model(tmp_path / "model")
    assert_array_equal(again.predict(x), model.predict(x))
    assert again.layers[0].get_config() == model.layers[0].get_config()


def test_masked_steps_do_not_run(rng: np.random.Generator) -> None:
    model = models.Sequential(
        [layers.BigramEmbedding(6, 3, buckets=11, mask_zero=True), layers.LSTM(4), layers.Dense(1, "sigmoid")]
    )
    with engine.count_row_steps() as count:
        model.predict(IDS)
    assert count.total == (IDS != 0).sum()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"buckets": 0}, 'BigramEmbedding "b": expected buckets to be a positive integer, got 0.'),
        ({"bigram_dropout": 2}, 'BigramEmbedding "b": expected bigram_dropout to be a number from 0 to 1, got 2.'),
    ],
)
def test_what_does_not_fit_is_said(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as error:
        layers.BigramEmbedding(6, 3, name="b", **arguments)
    assert str(error.value) == text
