"""fit, evaluate, predict: held to Keras' numbers and to their own promises."""

from __future__ import annotations

import copy
import pickle
import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from small_model import MASKED_X, MASKED_Y, SmallModel, X, Y, binary_model
from unrolled import callbacks, feed, losses, optimizers

MASKED_KERNEL = [[0.5, -0.25, 0.1], [0.3, 0.2, -0.6]]


# What Keras 3.15 on TensorFlow computes for X, Y, batches of 8 in order, a quarter held out.
KERAS_HISTORIES = {
    "plain": (
        {},
        {
            "acc": [0.6, 0.6], "loss": [0.709111750125885, 0.7076385021209717],
            "mse": [0.25669339299201965, 0.2559710144996643], "val_acc": [0.4, 0.4],
            "val_loss": [0.7967877388000488, 0.7970992922782898], "val_mse": [0.2953087091445923, 0.29552704095840454],
        },
        [0.4065997004508972, -0.691124439239502],
    ),
    "class_weight": (
        {"class_weight": {0: 1.0, 1: 3.0}},
        {
            "acc": [0.6, 0.6], "loss": [1.1850708723068237, 1.1831408739089966],
            "mse": [0.2569657266139984, 0.25693315267562866], "val_acc": [0.4, 0.4],
            "val_loss": [0.7982090711593628, 0.7994340062141418], "val_mse": [0.2957906126976013, 0.2963177561759949],
        },
        [0.40783169865608215, -0.6911449432373047],
    ),
    "sample_weight": (
        {"sample_weight": np.linspace(0.5, 2, 20)},
        {
            "acc": [0.6, 0.6], "loss": [0.7727438807487488, 0.7707986831665039],
            "mse": [0.25669312477111816, 0.2559411823749542], "val_acc": [0.4, 0.4],
            "val_loss": [1.4648469686508179, 1.465518593788147], "val_mse": [0.295343279838562, 0.2955993711948395],
        },
        [0.4071800410747528, -0.6907939910888672],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", KERAS_HISTORIES)
def test_history_is_that_of_keras(case):
    arguments, expected, kernel = KERAS_HISTORIES[case]
    model = binary_model()
    history = model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0, validation_split=0.25, **arguments)
    assert set(history.history) == set(expected)
    for key, values in expected.items():
        assert history.history[key] == pytest.approx(values, rel=2e-6), key
    assert_allclose(model.get_weights()[0][:, 0], kernel, rtol=1e-6)
    assert history.epoch == [0, 1]
    assert history.params == {"verbose": 0, "epochs": 2, "steps": 2}
    assert history.model is model and model.history is history
    if case == "plain":
        assert model.evaluate(X, Y, verbose=0) == pytest.approx([0.72935218, 0.55, 0.26554835], rel=1e-6)
        assert model.train_on_batch(X[:4], Y[:4]) == pytest.approx([0.53108799, 1.0, 0.17288247], rel=2e-6)
        assert model.metrics_names == ["loss", "acc", "mse"]


@pytest.mark.parametrize("weighted", [False, True])
def test_masks_and_weights_of_steps_as_in_keras(weighted):
    model = SmallModel(3, "softmax", masks=True)
    model.build_from_data(MASKED_X)
    model.set_weights([np.array(MASKED_KERNEL), np.zeros(3)])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["acc"], weighted_metrics=["acc"])
    row_weights = np.array([1, 2, 0.5, 1, 1.5, 1])
    history = model.fit(
        MASKED_X, MASKED_Y, batch_size=4, epochs=2, shuffle=False, verbose=0,
        validation_data=(MASKED_X[:5], MASKED_Y[:5]),
        sample_weight=np.repeat(row_weights[:, None], 4, 1) if weighted else None,
    ).history  # fmt: skip
    assert history["acc"] == ([0.3125, 0.25] if weighted else [0.3125, 0.3125])
    assert history["weighted_acc"] == pytest.approx([0.225, 0.175] if weighted else [0.3125, 0.3125])
    assert history["val_acc"] == history["val_weighted_acc"] == pytest.approx([3 / 14, 3 / 14])
    losses_seen = [1.7358089685440063, 1.7213839292526245] if weighted else [1.4112677574157715, 1.4036859273910522]
    assert history["loss"] == pytest.approx(losses_seen, rel=1e-6)
    held_out = [1.4547781944274902, 1.4430339336395264] if weighted else [1.4583736658096313, 1.450066328048706]
    assert history["val_loss"] == pytest.approx(held_out, rel=1e-6)
    if weighted:  # a weight for each row is the same weight for each of its steps
        by_rows = SmallModel(3, "softmax", masks=True)
        by_rows.build_from_data(MASKED_X)
        by_rows.set_weights([np.array(MASKED_KERNEL), np.zeros(3)])
        by_rows.compile("sgd", "sparse_categorical_crossentropy")
        again = by_rows.fit(
            MASKED_X, MASKED_Y, batch_size=4, epochs=2, shuffle=False, verbose=0, sample_weight=row_weights
        )
        assert again.history["loss"] == pytest.approx(history["loss"], rel=1e-12)


def test_steps_of_an_epoch_and_rows_of_a_split():
    seen = []
    model = binary_model()
    counter = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    model.fit(
        np.zeros((25_000, 2)), np.zeros(25_000), batch_size=128, validation_split=0.2, verbose=0, callbacks=counter
    )
    assert seen == list(range(157))
    assert model.history.params["steps"] == 157


def test_loss_of_probabilities_behind_a_softmax_counts_as_binary_cross_entropy():
    model = SmallModel(5, "softmax")
    x, y = np.random.default_rng(1).normal(size=(8, 3)), np.eye(5)[np.arange(8) % 5]
    model.compile("sgd", "binary_crossentropy", metrics=["acc", "binary_crossentropy"])
    p = model.predict(x)
    expected = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    loss, accuracy, watched = model.test_on_batch(x, y)
    assert loss == pytest.approx(expected, rel=1e-6) and watched == pytest.approx(expected, rel=1e-6)
    assert accuracy == np.mean(p.argmax(1) == y.argmax(1))
    before = model.get_weights()[0].astype(float)
    step = 1e-3
    slope = np.zeros_like(before)
    for at in np.ndindex(before.shape):
        values = []
        for sign in (1, -1):
            moved = before.copy()
            moved[at] += sign * step
            model.set_weights([moved, model.get_weights()[1]])
            q = model.predict(x).astype(float)
            values.append(-np.mean(y * np.log(q) + (1 - y) * np.log(1 - q)))
        slope[at] = (values[0] - values[1]) / (2 * step)
    model.set_weights([before, model.get_weights()[1]])
    model.train_on_batch(x, y)
    assert_allclose((before - model.get_weights()[0]) / 0.01, slope, atol=1e-4)


def test_accuracy_is_resolved_by_shapes():
    x = np.random.default_rng(0).normal(size=(12, 3))
    for units, activation, labels, kind in [
        (1, "sigmoid", np.arange(12) % 2, "BinaryAccuracy"),
        (3, "softmax", np.eye(3)[np.arange(12) % 3], "CategoricalAccuracy"),
        (3, "softmax", np.arange(12) % 3, "SparseCategoricalAccuracy"),
        (3, "softmax", (np.arange(12) % 3)[:, None], "SparseCategoricalAccuracy"),
    ]:
        model = SmallModel(units, activation)
        loss = "sparse_categorical_crossentropy" if kind.startswith("Sparse") else "binary_crossentropy"
        model.compile("sgd", loss, metrics=["accuracy"])
        logs = model.test_on_batch(x, labels, return_dict=True)
        assert type(model._metrics[0][1]).__name__ == kind
        p = model.predict(x)
        hits = (p[:, 0] > 0.5) == labels if units == 1 else p.argmax(1) == np.arange(12) % 3
        assert logs == {"loss": pytest.approx(logs["loss"]), "accuracy": hits.mean()}


def test_a_model_may_be_fitted_to_labels_of_another_kind_after_compiling_again():
    model = SmallModel(3, "softmax")
    x = np.random.default_rng(0).normal(size=(12, 3))
    model.compile("sgd", "categorical_crossentropy", ["acc"])
    model.fit(x, np.eye(3)[np.arange(12) % 3], verbose=0)
    model.compile("sgd", "sparse_categorical_crossentropy", ["acc"])
    assert 0 <= model.fit(x, np.arange(12) % 3, verbose=0).history["acc"][0] <= 1


# ---- order, seeds, resuming


def test_shuffling_comes_from_the_model_and_covers_every_row_once():
    class Rows(SmallModel):
        def forward(self, x, mode, logits=False):
            self.seen.extend(x[:, 0].tolist())
            return super().forward(x, mode, logits)

    def run(shuffle):
        model = Rows()
        model.seen = []
        model.compile("sgd", "mse")
        model.fit(np.arange(10.0)[:, None] / 10, np.zeros(10), batch_size=4, epochs=2, shuffle=shuffle, verbose=0)
        return np.round(np.array(model.seen) * 10).astype(int)

    assert_array_equal(run(False), [*range(10), *range(10)])
    once, twice = run(True), run(True)
    assert_array_equal(once, twice)
    assert sorted(once[:10]) == sorted(once[10:]) == list(range(10))
    assert (once[:10] != once[10:]).any() and (once[:10] != np.arange(10)).any()
    batches = run("batch")
    assert sorted(batches[:4]) == [0, 1, 2, 3] and sorted(batches[8:10]) == [8, 9]


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("optimizer", ["rmsprop", "adam"])
def test_a_copy_goes_on_bit_for_bit(optimizer, copier):
    straight, model = binary_model(optimizer=optimizer), binary_model(optimizer=optimizer)
    straight.fit(X, Y, epochs=2, batch_size=4, verbose=0)
    straight.fit(X, Y, epochs=3, batch_size=4, verbose=0)
    model.fit(X, Y, epochs=2, batch_size=4, verbose=0)
    other = copier(model)
    other.fit(X, Y, epochs=3, batch_size=4, verbose=0)
    for a, b in zip(straight.get_weights(), other.get_weights(), strict=True):
        assert_array_equal(a, b)
    assert straight.history.history == other.history.history


def test_evaluate_and_predict_draw_nothing_and_change_nothing():
    model = binary_model()
    state, weights = model.random.bit_generator.state, model.get_weights()
    model.evaluate(X, Y, verbose=0)
    model.predict(X)
    model.test_on_batch(X, Y)
    assert model.random.bit_generator.state == state
    assert_array_equal(model.get_weights()[0], weights[0])
    assert model.optimizer.iterations == 0


def test_predict_does_not_depend_on_batch_size():
    model = SmallModel(3, "softmax")
    x = np.random.default_rng(0).normal(size=(2100, 7)).astype(np.float32)
    whole = model.predict(x)
    assert whole.shape == (2100, 3) and whole.dtype == np.float32
    for size in (1, 7, 32, 5000):
        assert_array_equal(model.predict(x, batch_size=size), whole)
    assert_array_equal(model.predict(x, batch_size=8, steps=2), model.predict(x[:16]))
    assert_allclose(model.predict_on_batch(x[:5]), whole[:5], rtol=1e-6)
    steps = SmallModel(3, "softmax", masks=True)
    assert steps.predict(MASKED_X).shape == (6, 4, 3)


def test_groups_of_rows_are_multiples_of_the_batch_and_bounded_in_memory():
    ids, signals = np.zeros((9, 50), np.int32), np.zeros((9, 5000, 3), np.float32)
    assert feed.forward_rows(ids, 1, 128) == 1024
    assert feed.forward_rows(ids, 100, 128) == 1000
    assert feed.forward_rows(ids, 3000, 128) == 3000
    assert feed.forward_rows(signals, 1, 256) == (1 << 23) // (5000 * 256) == 6
    assert feed.forward_rows(signals, 32, 256) == 32
    assert feed.forward_rows(np.zeros(9), 1, 1) == 1024


def test_evaluate_is_the_mean_over_batches_weighted_by_rows():
    model = binary_model()
    whole = model.evaluate(X, Y, batch_size=20, verbose=0)
    assert model.evaluate(X, Y, batch_size=3, verbose=0) == pytest.approx(whole, rel=1e-6)
    assert model.evaluate(X, Y, verbose=0, return_dict=True) == pytest.approx(
        dict(zip(["loss", "acc", "mse"], whole, strict=True)), rel=1e-6
    )
    assert model.evaluate(X, Y, batch_size=4, steps=2, verbose=0) == pytest.approx(
        model.evaluate(X[:8], Y[:8], verbose=0), rel=1e-6
    )
    only_loss = binary_model(metrics=None)
    assert isinstance(only_loss.evaluate(X, Y, verbose=0), float)
    # hooks see batches of the size asked for, and the result is the same
    seen = []
    hook = callbacks.LambdaCallback(on_test_batch_end=lambda batch, logs: seen.append(batch))
    assert model.evaluate(X, Y, batch_size=3, verbose=0, callbacks=[hook]) == pytest.approx(whole, rel=1e-6)
    assert seen == list(range(7))


def test_steps_per_epoch_goes_on_where_the_last_epoch_stopped():
    class Rows(SmallModel):
        def forward(self, x, mode, logits=False):
            self.seen.extend(np.round(x[:, 0] * 10).astype(int).tolist())
            return super().forward(x, mode, logits)

    model = Rows()
    model.seen = []
    model.compile("sgd", "mse")
    history = model.fit(
        np.arange(10.0)[:, None] / 10, np.zeros(10), batch_size=3, steps_per_epoch=3, epochs=2, shuffle=False, verbose=0
    )
    assert model.seen == [*range(10), *range(6)]  # 3 + 3 + 3, then 1 (the rest of the pass) + 3 + 3
    assert len(history.history["loss"]) == 2 and history.params["steps"] == 3


def test_validation_frequency_steps_and_initial_epoch():
    model = binary_model()
    history = model.fit(X, Y, epochs=6, initial_epoch=2, validation_data=(X, Y), validation_freq=2, verbose=0)
    assert history.epoch == [2, 3, 4, 5]
    assert len(history.history["loss"]) == 4 and len(history.history["val_loss"]) == 2
    history = model.fit(
        X, Y, validation_data=(X, Y, np.r_[np.ones(8), np.full(12, 9.0)]), validation_batch_size=4, validation_steps=2,
        verbose=0,
    )  # fmt: skip
    assert history.history["val_loss"][0] == pytest.approx(model.evaluate(X[:8], Y[:8], verbose=0)[0], rel=1e-6)
    assert binary_model().fit(X, Y, epochs=0, verbose=0).history == {}


def test_float64_models_train_in_float64():
    model = SmallModel(dtype="float64")
    model.compile(optimizers.Adam(0.1), losses.BinaryCrossentropy(), ["acc"])
    model.fit(X, Y, epochs=2, verbose=0)
    assert model.get_weights()[0].dtype == np.float64
    assert all(array.dtype == np.float64 for key, array in model.optimizer.get_state().items() if "/" in key)


def test_compile_config_compiles_again():
    model = binary_model(
        optimizer=optimizers.SGD(0.5, momentum=0.9), loss=losses.BinaryCrossentropy(label_smoothing=0.1)
    )
    other = SmallModel()
    assert other.get_compile_config() is None
    other.compile_from_config(model.get_compile_config())
    assert other.get_compile_config() == model.get_compile_config()
    assert other.optimizer.momentum == 0.9 and other.loss.label_smoothing == 0.1


@pytest.mark.timed
def test_a_step_costs_little_python():
    model = SmallModel()
    model.compile("adam", "binary_crossentropy", ["acc"])
    x = np.random.default_rng(0).normal(size=(32 * 200, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.float32)
    best = np.inf
    for _ in range(4):
        start = time.thread_time()
        model.fit(x, y, batch_size=32, verbose=0)
        best = min(best, time.thread_time() - start)
    assert best / 200 < 0.3e-3  # measured: 0.07 ms, the model's own products included
