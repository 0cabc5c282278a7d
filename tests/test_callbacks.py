"""Callbacks: hooks in Keras' order, early stopping, schedules, files, and the printed progress."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from small_model import SmallModel
from unrolled import callbacks, metrics, progress

X = np.linspace(-1, 1, 24).reshape(12, 2)
Y = (np.arange(12) % 2).astype(int)


def model_of(metrics=("acc",)):
    model = SmallModel()
    model.compile("sgd", "binary_crossentropy", list(metrics))
    return model


class Watch(callbacks.Callback):
    """Writes every call down."""

    def __init__(self):
        super().__init__()
        self.calls = []


for hook in callbacks.HOOKS:

    def call(self, *arguments, hook=hook):
        self.calls.append(
            (hook.removeprefix("on_"), arguments[0] if len(arguments) > 1 else None, sorted(arguments[-1]))
        )

    setattr(Watch, hook, call)


def test_hooks_come_in_keras_order_with_keras_logs():
    watch = Watch()
    model = model_of()
    model.fit(X, Y, batch_size=8, epochs=1, validation_data=(X[:4], Y[:4]), verbose=0, callbacks=[watch])
    both, all_four = ["acc", "loss"], ["acc", "loss", "val_acc", "val_loss"]
    assert watch.calls == [
        ("train_begin", None, []), ("epoch_begin", 0, []),
        ("train_batch_begin", 0, []), ("train_batch_end", 0, both),
        ("train_batch_begin", 1, []), ("train_batch_end", 1, both),
        ("test_begin", None, []), ("test_batch_begin", 0, []), ("test_batch_end", 0, both), ("test_end", None, both),
        ("epoch_end", 0, all_four), ("train_end", None, all_four),
    ]  # fmt: skip
    assert watch.model is model and watch.params == {"verbose": 0, "epochs": 1, "steps": 2}
    watch.calls.clear()
    model.predict(X, callbacks=[watch])
    assert [name for name, _, _ in watch.calls] == [
        "predict_begin", "predict_batch_begin", "predict_batch_end", "predict_end",
    ]  # fmt: skip


def test_batch_logs_are_means_over_the_epoch_so_far():
    logs = []
    model = model_of()
    hook = callbacks.LambdaCallback(on_batch_end=lambda batch, now: logs.append(now["loss"]))
    history = model.fit(X, Y, batch_size=8, shuffle=False, verbose=0, callbacks=hook)
    assert logs[-1] == history.history["loss"][0] != logs[0]
    same = model_of()
    assert logs[0] == same.train_on_batch(X[:8], Y[:8])[0]


def test_stop_training_ends_after_the_batch_with_validation():
    model = model_of()

    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    history = model.fit(X, Y, batch_size=4, epochs=5, validation_data=(X, Y), verbose=0, callbacks=[Stop()])
    assert history.epoch == [0] and "val_loss" in history.history
    assert model.optimizer.iterations == 2


def test_a_history_of_ones_own_is_filled_and_goes_on():
    mine = callbacks.History()
    model = model_of()
    assert model.fit(X, Y, epochs=2, verbose=0, callbacks=[mine]) is mine
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[mine])
    assert len(mine.history["loss"]) == 3 and mine.epoch == [0]
    assert pickle.loads(pickle.dumps(mine)).history == mine.history


def run_early_stopping(values, **arguments):
    """Feed an EarlyStopping these values of val_loss; the epochs seen, and the model's weight at the end."""

    class Model:
        weights, stop_training = [0], False

        def better(self, name):
            return "max" if name == "val_acc" else "min"

        def get_weights(self):
            return list(self.weights)

        def set_weights(self, weights):
            self.weights = weights

    model, stopper = Model(), callbacks.EarlyStopping(**arguments)
    stopper.set_model(model)
    stopper.on_train_begin()
    epoch = 0
    for epoch, value in enumerate(values):
        model.weights = [epoch]
        stopper.on_epoch_end(epoch, {stopper.monitor: value})
        if model.stop_training:
            break
    stopper.on_train_end()
    return epoch, model.weights[0], stopper


@pytest.mark.parametrize(
    ("values", "arguments", "last", "weight"),
    [
        ([3, 2, 2.5, 1], {}, 2, 2),
        ([3, 2, 2.5, 1, 1.5, 1.6, 0], {"patience": 2}, 5, 5),
        ([3, 2, 2.5, 1, 1.5, 1.6, 0], {"patience": 2, "restore_best_weights": True}, 5, 3),
        ([1, 0.95, 0.90], {"min_delta": 0.1, "restore_best_weights": True}, 1, 0),
        ([0.1, 0.2, 0.15, 0.3], {"monitor": "val_acc", "restore_best_weights": True}, 2, 1),
        ([0.1, 0.2, 0.15], {"monitor": "val_acc", "mode": "min"}, 1, 1),
        ([3, 2, 2.5, 0], {"baseline": 0.5, "patience": 2}, 2, 2),
        ([3, 2, 1, 0.7], {"baseline": 0.5, "patience": 2}, 3, 3),
        ([1, 2, 3, 4, 5], {"start_from_epoch": 3}, 4, 4),
        ([3, 2, 1, 5], {"patience": 9, "restore_best_weights": True}, 3, 2),
        ([float("nan"), 2.0], {"restore_best_weights": True}, 1, 1),
    ],
)
def test_early_stopping(values, arguments, last, weight):
    epoch, kept, _ = run_early_stopping(values, **arguments)
    assert (epoch, kept) == (last, weight)


def test_early_stopping_in_fit_restores_the_best_weights(capsys):
    best = []
    model = model_of()
    keep = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: best.append(model.get_weights()[0]))
    stop = callbacks.EarlyStopping("loss", mode="max", patience=1, restore_best_weights=True, verbose=1)
    history = model.fit(X, Y, epochs=9, verbose=0, callbacks=[keep, stop])
    assert history.epoch == [0, 1]
    assert_array_equal(model.get_weights()[0], best[0])
    assert capsys.readouterr().out == (
        "Epoch 2: early stopping\nRestoring model weights from the end of the best epoch: 1.\n"
    )


@pytest.mark.parametrize(
    ("metric", "name", "better"),
    [
        (metrics.AUC(name="roc"), "roc", "max"),
        (metrics.Recall(name="found"), "val_found", "max"),
        (metrics.MeanSquaredError(name="brier_recall"), "val_brier_recall", "min"),
        ("acc", "val_acc", "max"),
        ("binary_crossentropy", "binary_crossentropy", "min"),
        ("mae", "val_loss", "min"),
    ],
)
@pytest.mark.parametrize("watching", ["EarlyStopping", "ModelCheckpoint", "ReduceLROnPlateau"])
def test_auto_asks_the_metric_itself_and_not_its_name(watching, metric, name, better, tmp_path):
    first = {"filepath": tmp_path / "best", "save_best_only": True} if watching == "ModelCheckpoint" else {}
    watch = getattr(callbacks, watching)(monitor=name, **first)
    model = model_of([metric])
    model.save = lambda path: None
    model.fit(X, Y, epochs=1, validation_data=(X, Y), verbose=0, callbacks=[watch])
    assert watch.mode == better


def test_auto_asks_for_a_direction_that_nobody_knows():
    def spread(y_true, y_pred):
        return y_pred.std(axis=-1)

    for metric, name in ((spread, "spread"), ("true_positives", "true_positives")):
        with pytest.raises(ValueError) as error:
            model_of([metric]).fit(X, Y, verbose=0, callbacks=[callbacks.EarlyStopping(name)])
        assert str(error.value) == (
            f'EarlyStopping: whether a larger or a smaller "{name}" is better is not known. '
            'Pass mode="max" or mode="min".'
        )
    model_of([spread]).fit(X, Y, verbose=0, callbacks=[callbacks.EarlyStopping("spread", mode="max")])


def test_a_value_that_is_not_there_warns():
    with pytest.warns(UserWarning) as caught:
        model_of().fit(X, Y, verbose=0, callbacks=[callbacks.EarlyStopping()])
    assert str(caught[0].message) == (
        "EarlyStopping: no 'val_loss' in the logs, only loss, acc; it does nothing. "
        "Set monitor to one of these, or give fit validation data."
    )


def test_learning_rates_by_schedule_and_plateau(capsys):
    model = model_of()
    schedule = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2, verbose=1)
    history = model.fit(X, Y, epochs=3, verbose=0, callbacks=[schedule])
    assert history.history["learning_rate"] == [0.005, 0.0025, 0.00125]
    assert capsys.readouterr().out.splitlines()[0] == "Epoch 1: learning rate 0.005"
    plateau = callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=2, cooldown=1, min_lr=1e-4)
    plateau.set_model(model)
    model.optimizer.learning_rate = 0.1
    rates = []
    for epoch, loss in enumerate([1, 1, 1, 1, 1, 1, 1, 1, 1, 1]):
        plateau.on_epoch_end(epoch, {"loss": loss})
        rates.append(round(model.optimizer.learning_rate, 10))
    assert rates == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001, 0.0001, 0.0001]
    with pytest.raises(TypeError) as error:
        model.fit(X, Y, verbose=0, callbacks=[callbacks.LearningRateScheduler(lambda epoch, rate: None)])
    assert str(error.value) == "LearningRateScheduler: expected a number from schedule(0, rate), got None."


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    model_of().fit(X, Y, epochs=2, verbose=0, callbacks=[callbacks.CSVLogger(path)])
    lines = path.read_text().splitlines()
    assert lines[0] == "epoch,loss,acc" and [line.split(",")[0] for line in lines[1:]] == ["0", "1"]
    model_of().fit(X, Y, epochs=1, verbose=0, callbacks=[callbacks.CSVLogger(path, append=True)])
    assert len(path.read_text().splitlines()) == 4
    model_of(()).fit(X, Y, epochs=1, verbose=0, callbacks=[callbacks.CSVLogger(path, append=True)])
    assert path.read_text().splitlines()[-1].endswith(",NA")


def test_model_checkpoint_saves_the_epochs_asked_for():
    saved = []

    class Saving(SmallModel):
        def save(self, path):
            saved.append(path)

    model = Saving()
    model.compile("sgd", "binary_crossentropy")
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[callbacks.ModelCheckpoint("m-{epoch:02d}-{loss:.1f}")])
    assert [name[:5] for name in saved] == ["m-01-", "m-02-"]
    saved.clear()
    best = callbacks.ModelCheckpoint("best-{epoch}", "loss", save_best_only=True)
    best.set_model(model)
    for epoch, loss in enumerate([2.0, 3.0, 1.0]):
        best.on_epoch_end(epoch, {"loss": loss})
    assert saved == ["best-1", "best-3"]
    with pytest.raises(ValueError) as error:
        model.fit(X, Y, verbose=0, callbacks=[callbacks.ModelCheckpoint("m-{val_loss}")])
    assert str(error.value) == (
        "ModelCheckpoint: filepath 'm-{val_loss}' has the field 'val_loss', the logs have only epoch, loss."
    )


def test_messages():
    with pytest.raises(TypeError) as error:
        callbacks.LambdaCallback(on_epoch=print)
    assert str(error.value).startswith("LambdaCallback: unknown hook 'on_epoch'. Known: on_train_begin, on_train_end,")
    with pytest.raises(ValueError) as error:
        callbacks.EarlyStopping(mode="best")
    assert str(error.value) == 'EarlyStopping: expected mode "auto", "min" or "max", got \'best\'.'
    with pytest.raises(ValueError) as error:
        callbacks.ReduceLROnPlateau(factor=1.5)
    assert str(error.value) == "ReduceLROnPlateau: expected factor of at least 0 and below 1, got 1.5."


# ---- what is printed


def test_one_line_per_epoch_where_there_is_no_terminal(capsys):
    for verbose in ("auto", 1, 2):
        model_of().fit(X, Y, epochs=2, validation_data=(X, Y), verbose=verbose)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 2
        assert lines[1].startswith("Epoch 2/2 - 0.") and " samples/s - loss: 0." in lines[1]
        assert "\x1b" not in lines[1] and " - acc: 0." in lines[1] and " - val_loss: 0." in lines[1]
    model_of().fit(X, Y, verbose=0)
    assert capsys.readouterr().out == ""
    model_of().evaluate(X, Y)
    assert capsys.readouterr().out.startswith("12 samples - loss: 0.")


def test_a_unit_of_ones_own(capsys):
    model_of().fit(X, Y, callbacks=[progress.ProgressLogger(unit="reviews")])
    assert " reviews/s - loss: " in capsys.readouterr().out


def test_the_bar_shows_loss_speed_and_time_left(monkeypatch):
    pytest.importorskip("rich")
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    model_of().fit(X, Y, batch_size=4, epochs=2, validation_data=(X, Y), callbacks=[progress.ProgressLogger("reviews")])
    shown = terminal.getvalue()
    assert "Epoch 1/2" in shown and "Epoch 2/2" in shown and "12/12" in shown and "4/12" in shown
    assert "reviews/s" in shown and "loss: 0." in shown and "val_acc: 0." in shown and "left" in shown


def test_without_rich_there_are_lines(monkeypatch, capsys):
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    assert progress.new_bar("samples") is None
    model_of().fit(X, Y)
    assert capsys.readouterr().out.startswith("Epoch 1/1 - ")


def test_logs_in_one_line():
    assert progress.show_logs({"loss": 0.34121, "acc": 0.0, "mse": 0.00012, "val_loss": float("nan")}) == (
        "loss: 0.3412 - acc: 0.0000 - mse: 1.2000e-04 - val_loss: nan"
    )
