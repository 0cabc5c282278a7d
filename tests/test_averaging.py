"""Averages of the weights: against Keras 3.15 on TensorFlow, in fit, in files, and under SwapEMAWeights."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from small_model import SmallModel
from test_optimizers import START, gradients_of, make
from unrolled import callbacks, layers, models, optimizers
from unrolled.optimizers import SGD, Adam, RMSprop
from unrolled.parameters import Parameter

# The five steps of test_optimizers: weights, then averages, a matrix (2, 3) and a bias (1,).
KERAS = {
    "SGD(0.1, use_ema=True)":
        ([0.349999994, -1.1500001, 2.0, -0.75000006, 0.400000006, 0.295000076, 2.99999976],
         [0.487024903, -1.22801983, 2.0, 0.420298517, -0.0900747105, 0.298901021, 3.78019905]),
    "Adam(0.05, use_ema=True, ema_momentum=0.6)":
        ([0.257463455, -1.00000441, 2.0, 0.500002146, 0.0672838315, 0.0500530787, 3.75000238],
         [0.320367843, -1.0652833, 2.0, 0.56528157, 0.0107816253, 0.115322016, 3.81528187]),
    "RMSprop(0.05, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=2)":
        ([0.131305054, -0.93918407, 2.0, 0.439181566, 0.128333494, -0.00979001075, 3.68918133],
         [0.220514178, -1.00169075, 2.0, 0.501688421, 0.0328328088, 0.0526406839, 3.751688]),
    "AdamW(0.05, weight_decay=0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=3)":
        ([0.284709871, -1.01297164, 1.95786095, 0.523504436, 0.0385801196, 0.0830288529, 3.70502901],
         [0.322213173, -1.05454671, 1.96525216, 0.563231945, 0.00506977551, 0.121087968, 3.75676727]),
}  # fmt: skip


@pytest.mark.parametrize("text", KERAS)
def test_weights_and_averages_are_those_of_keras(text: str) -> None:
    optimizer = make(text)
    weights, bias = Parameter("w", START.astype(np.float32)), Parameter("b", np.array([4.0], np.float32))
    for k in range(5):
        g = np.array([[0.1 * (k + 1), -0.2, 0.0], [3.0, -0.5 * k, 0.01]], np.float32)
        optimizer.apply(gradients_of((weights, g), (bias, np.array([2.0], np.float32))), [weights, bias])
    expected, averages = KERAS[text]
    assert_allclose(np.append(weights.value, bias.value), expected, rtol=2e-6, atol=2e-7)
    assert_allclose(np.concatenate([a.ravel() for a in optimizer.averages.arrays]), averages, rtol=2e-6, atol=2e-7)


def test_a_table_with_few_gradients_and_a_frozen_one(rng: np.random.Generator) -> None:
    """The average follows all rows of every weight that learns, and leaves a frozen one alone."""
    optimizer = Adam(0.1, use_ema=True, ema_momentum=0.25)
    table, frozen = (Parameter(name, rng.normal(size=(50, 3))) for name in "tf")
    frozen.trainable = False
    seen, before = table.numpy(), frozen.numpy()
    average = seen
    for step in range(4):
        gradient = np.zeros((50, 3))
        gradient[step] = 1
        optimizer.apply(gradients_of((table, gradient)), [table, frozen])
        momentum = 0.25 if step else 0.0
        average = momentum * average + (1 - momentum) * table.value
    assert_allclose(optimizer.averages.arrays[0], average, rtol=0, atol=1e-15)
    optimizer.averages.finish()
    assert_allclose(table.value, average, rtol=0, atol=1e-15)
    assert_array_equal(frozen.value, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ema_momentum": 1.5}, r"^sgd: expected ema_momentum as a number between 0 and 1, got 1\.5\.$"),
        ({"ema_momentum": -0.1}, r"^sgd: expected ema_momentum as a number between 0 and 1, got -0\.1\.$"),
        (
            {"ema_overwrite_frequency": 0},
            r"^sgd: expected ema_overwrite_frequency as a whole number of steps >= 1 or None, got 0\.$",
        ),
        (
            {"ema_overwrite_frequency": 2.5},
            r"^sgd: expected ema_overwrite_frequency as a whole number of steps >= 1 or None, got 2\.5\.$",
        ),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SGD(use_ema=True, **arguments)


def test_the_configuration_comes_back() -> None:
    optimizer = RMSprop(0.5, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=7)
    again = optimizers.get(optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert (again.averages.momentum, again.averages.every) == (0.9, 7)
    assert SGD().averages is None


# ---- in fit ----

X = np.linspace(-1, 1, 48).reshape(24, 2)
Y = (np.arange(24) % 3 > 0).astype(int)


def trained(epochs: int, hooks: Any = None, momentum: float = 0.9, **fit: Any) -> SmallModel:
    model = SmallModel()
    model.compile(Adam(0.1, use_ema=True, ema_momentum=momentum), "binary_crossentropy", ["acc"])
    model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=hooks, **fit)
    return model


class Raw(callbacks.Callback):
    """Keeps the weights at the end of each epoch."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.weights = self.model.get_weights()


def test_fit_ends_with_the_averages() -> None:
    """After the last epoch, and before on_train_end, as in Keras."""
    raw = Raw()
    ends = []
    end = callbacks.LambdaCallback(on_train_end=lambda logs: ends.append(raw.model.get_weights()))
    model = trained(2, [raw, end])
    averages = model.optimizer.averages
    for weight, average, before, at_end in zip(model.get_weights(), averages.arrays, raw.weights, ends[0], strict=True):
        assert_array_equal(weight, average)
        assert_array_equal(weight, at_end)
        assert np.abs(weight - before).max() > 1e-3


def test_swapped_weights_are_evaluated_and_brought_back() -> None:
    raw = Raw()
    model = trained(2, [callbacks.SwapEMAWeights(), raw], validation_data=(X, Y))
    at_end = model.evaluate(X, Y, verbose=0)[0]
    assert model.history.history["val_loss"][-1] == at_end  # the averages were evaluated, and are the weights now
    plain = Raw()
    trained(2, plain)
    for one, other in zip(raw.weights, plain.weights, strict=True):
        assert_array_equal(one, other)  # training itself saw nothing of it


def test_predict_uses_the_averages_for_itself_alone() -> None:
    model = SmallModel()
    model.compile(SGD(0.5, use_ema=True), "binary_crossentropy")
    for _ in range(3):
        model.train_on_batch(X, Y)
    before, averages = model.get_weights(), [a.copy() for a in model.optimizer.averages.arrays]
    averaged = model.predict(X, callbacks=[callbacks.SwapEMAWeights()])
    for weight, old in zip(model.get_weights(), before, strict=True):
        assert_array_equal(weight, old)
    model.set_weights(averages)
    assert_array_equal(model.predict(X), averaged)


def test_early_stopping_behind_the_swap_keeps_the_averages() -> None:
    """Fit ends with averages also when it stops early, where Keras puts the weights of training back."""

    class Stop(callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seen = self.model.get_weights()
            self.model.stop_training = epoch == 1

    stop = Stop()
    model = trained(9, [callbacks.SwapEMAWeights(swap_on_epoch=True), stop], validation_data=(X, Y))
    assert model.history.epoch == [0, 1]
    for weight, average, seen in zip(model.get_weights(), model.optimizer.averages.arrays, stop.seen, strict=True):
        assert_array_equal(weight, seen)
        assert_array_equal(average, seen)
    plain = trained(2)
    for weight, other in zip(model.get_weights(), plain.get_weights(), strict=True):
        assert_array_equal(weight, other)


def test_without_averages_the_callback_says_so_at_once() -> None:
    model = SmallModel()
    model.compile(SGD(0.5), "binary_crossentropy")
    with pytest.raises(ValueError, match=r"^SwapEMAWeights: expected a model whose optimizer has use_ema=True, got "):
        model.fit(X, Y, verbose=0, callbacks=[callbacks.SwapEMAWeights()])


# ---- in files ----


def text_model() -> models.Sequential:
    model = models.Sequential([layers.Embedding(9, 3), layers.GRU(4), layers.Dense(1, "sigmoid")], name="averaged")
    model.compile(RMSprop(0.02, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=5), "binary_crossentropy")
    return model


@pytest.mark.parametrize("swap", [False, True])
def test_a_checkpoint_resumes_bit_for_bit(swap: bool, tmp_path: Any, rng: np.random.Generator) -> None:
    x, y = rng.integers(1, 9, (40, 5)), rng.integers(0, 2, 40)

    def hooks() -> list[callbacks.Callback]:
        keep = callbacks.ModelCheckpoint(tmp_path / "epoch{epoch}")
        return [callbacks.SwapEMAWeights(swap_on_epoch=swap), keep]

    model = text_model()
    model.fit(x, y, batch_size=16, epochs=3, verbose=0, validation_data=(x, y), callbacks=hooks())
    loaded = models.load_model(tmp_path / "epoch1")
    assert loaded.optimizer.averages.in_model is swap
    loaded.fit(x, y, 16, 3, initial_epoch=1, verbose=0, validation_data=(x, y), callbacks=hooks())
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert_array_equal(one, other)
    one, other = model.optimizer.get_state(), loaded.optimizer.get_state()
    assert one.keys() == other.keys() and {k.rpartition("/")[2] for k in one} >= {"average", "velocity"}
    for key, value in one.items():
        assert_array_equal(value, other[key])


def test_weights_that_are_set_into_a_swapped_model_stay(tmp_path: Any, rng: np.random.Generator) -> None:
    x, y = rng.integers(1, 9, (40, 5)), rng.integers(0, 2, 40)
    model = text_model()
    model.train_on_batch(x, y)
    model.train_on_batch(x, y)
    model.optimizer.averages.swap()
    model.save(tmp_path / "swapped")
    loaded = models.load_model(tmp_path / "swapped")
    ones = [np.ones_like(w) for w in loaded.get_weights()]
    loaded.set_weights(ones)
    loaded.optimizer.learning_rate = 0
    loaded.train_on_batch(x, y)
    for weight in loaded.get_weights():
        assert_array_equal(weight, 1)


def test_a_copied_model_has_averages_of_its_own() -> None:
    model = trained(1)
    twin = copy.deepcopy(model)
    for a in (model, twin):
        a.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    assert_array_equal(model.get_weights()[0], twin.get_weights()[0])
    assert model.optimizer.averages.arrays[0] is not twin.optimizer.averages.arrays[0]
