"""Training that ends early: by Ctrl-C, with a model that can be used, or because numbers are no longer finite."""

from __future__ import annotations

import signal
import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from small_model import SmallModel, X, Y, binary_model
from unrolled import callbacks, losses, optimizers
from unrolled.errors import TrainingDivergedError

# ---- Ctrl-C


class PressCtrlC(callbacks.Callback):
    """Sends this process the signal of Ctrl-C during a chosen batch."""

    def __init__(self, epoch, batch, times=1):
        super().__init__()
        self.at, self.times, self.epoch = (epoch, batch), times, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_returns_the_history_so_far(times, capsys):
    ended = []
    model = binary_model()
    watch = callbacks.LambdaCallback(on_train_end=ended.append)
    history = model.fit(X, Y, batch_size=8, epochs=9, verbose=0, callbacks=[PressCtrlC(2, 1, times), watch])
    assert history.epoch == [0, 1] and len(history.history["loss"]) == 2
    assert len(ended) == 1 and ended[0]["loss"] == history.history["loss"][-1]
    assert capsys.readouterr().err == (
        "Stopped by Ctrl-C in epoch 3 of 9, after batch 2 of 3; the history has 2 epochs, "
        "the model keeps its weights.\n"
    )
    assert model.optimizer.iterations == 3 + 3 + 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    model.fit(X, Y, verbose=0)
    assert np.isfinite(model.predict(X)).all()


def test_ctrl_c_never_cuts_an_update_in_two():
    class Slow(optimizers.SGD):
        def update(self, value, gradient, state, size):
            signal.raise_signal(signal.SIGINT)  # between two parameters, twice
            super().update(value, gradient, state, size)

    model, same = binary_model(optimizer=Slow(0.5)), binary_model(optimizer=optimizers.SGD(0.5))
    history = model.fit(X, Y, batch_size=10, epochs=3, shuffle=False, verbose=0)
    same.train_on_batch(X[:10], Y[:10])
    assert history.epoch == [] and model.optimizer.iterations == 1
    for a, b in zip(model.get_weights(), same.get_weights(), strict=True):
        assert_array_equal(a, b)


def test_ctrl_c_during_validation_and_in_callbacks(capsys):
    model = binary_model()
    hook = callbacks.LambdaCallback(on_test_batch_end=lambda batch, logs: signal.raise_signal(signal.SIGINT))
    history = model.fit(X, Y, epochs=3, batch_size=4, validation_data=(X, Y), verbose=0, callbacks=[hook])
    assert history.epoch == []
    assert "in epoch 1 of 3, after batch 5 of 5" in capsys.readouterr().err

    def interrupt(epoch, logs):
        raise KeyboardInterrupt

    history = model.fit(X, Y, epochs=3, verbose=0, callbacks=[callbacks.LambdaCallback(on_epoch_end=interrupt)])
    assert "Stopped by Ctrl-C in epoch 1 of 3" in capsys.readouterr().err


def test_other_signal_handlers_and_threads_are_left_alone():
    def handler(number, frame):
        pass

    signal.signal(signal.SIGINT, handler)
    try:
        binary_model().fit(X, Y, verbose=0)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    histories = []
    thread = threading.Thread(target=lambda: histories.append(binary_model().fit(X, Y, epochs=2, verbose=0)))
    thread.start()
    thread.join()
    assert histories[0].epoch == [0, 1]


# ---- divergence


def test_infinite_loss_names_epoch_batch_and_tensor():
    x = X.copy()
    model = binary_model()
    model.fit(x, Y, batch_size=8, verbose=0)
    x[13, 1] = np.nan
    before = model.get_weights()
    with pytest.raises(TrainingDivergedError) as caught:
        model.fit(x, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    error = caught.value
    assert str(error) == (
        "fit: the loss became nan in epoch 1, batch 2 of 3. First bad tensor: the input x. "
        "The weights are those before this batch. Remove or replace NaN and infinity in x."
    )
    assert (error.epoch, error.batch, error.tensor) == (1, 2, "the input x")
    assert error.history.epoch == [] and isinstance(error, ValueError)
    assert np.isfinite(model.get_weights()[0]).all() and (model.get_weights()[0] != before[0]).any()


def test_exploding_training_names_the_gradient_or_the_outputs():
    model = SmallModel(1, None)
    x = np.full((8, 2), 1e20, np.float32)
    model.compile(optimizers.SGD(1.0), "mse")
    with pytest.raises(TrainingDivergedError) as caught, np.errstate(over="ignore"):
        model.fit(x, np.zeros(8), epochs=3, verbose=0)
    assert str(caught.value) == (
        "fit: the loss became inf in epoch 1, batch 1 of 1. First bad tensor: the loss itself, of finite outputs. "
        "The weights are those before this batch. Use a lower learning rate (now 1) or clip the gradients: "
        "optimizers.SGD(..., clipnorm=1.0)."
    )
    model.compile(optimizers.SGD(1.0, clipnorm=1.0), losses.MeanAbsoluteError(reduction="sum"))
    with pytest.raises(TrainingDivergedError) as caught, np.errstate(over="ignore"):
        model.fit(np.full((64, 2), 1e37, np.float32), np.zeros(64), batch_size=64, verbose=0)
    assert str(caught.value) == (
        "fit: a gradient became NaN or infinite in epoch 1, batch 1 of 1. First bad tensor: the gradient of "
        '"small/kernel". The weights are those before this batch. Use a lower learning rate (now 1).'
    )


def test_bad_weights_are_named():
    model = binary_model()
    model.set_weights([np.array([[np.nan], [0.0]]), np.zeros(1)])
    with pytest.raises(TrainingDivergedError) as caught:
        model.train_on_batch(X, Y)
    assert str(caught.value) == (
        'train_on_batch: the loss became nan. First bad tensor: the parameter "small/kernel". The weights are those '
        "before this batch. Build the model anew or load weights without NaN."
    )


def test_terminate_on_nan_stops_quietly(capsys):
    model = binary_model()
    x = X.copy()
    x[13] = np.inf
    with np.errstate(invalid="ignore"):
        history = model.fit(
            x, Y, batch_size=8, epochs=5, shuffle=False, verbose=0, callbacks=[callbacks.TerminateOnNaN()]
        )
    assert history.epoch == [0] and np.isnan(history.history["loss"][0])
    assert capsys.readouterr().out == "Batch 1: Invalid loss, terminating training\n"
    assert np.isfinite(model.get_weights()[0]).all()
