"""How a classifier trains: the hold-out, early stopping, averages, going on after a stop, several networks."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from classifier_cases import reviews, text_classifier
from unrolled.callbacks import Callback
from unrolled.classifiers import TextClassifier
from unrolled.models import load_model
from unrolled.saving import read_file
from unrolled.splits import stratified_holdout


def test_the_hold_out_is_stratified_and_keeps_repeats_together(rng: np.random.Generator) -> None:
    codes = np.array([0] * 100 + [1] * 20 + [2])
    keys = [*range(0, 100), *(100 + row // 2 for row in range(20)), 200]
    train, held = stratified_holdout(codes, 0.1, rng, keys)
    assert sorted([*train, *held]) == list(range(121))
    assert np.bincount(codes[held], minlength=3).tolist() == [10, 2, 0]
    assert not {keys[row] for row in train} & {keys[row] for row in held}
    everything, nothing = stratified_holdout(np.array([0, 0, 1]), 0.5, rng, ["a", "a", "b"])
    assert everything.tolist() == [0, 1, 2] and nothing.tolist() == []


def test_a_class_with_one_row_is_said(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 20)
    with pytest.warns(UserWarning) as found:
        classifier = text_classifier(epochs=1).fit([*texts, "odd", texts[0]], [*labels, "other", labels[0]])
    assert str(found[0].message) == (
        "TextClassifier: too few different rows to hold some out for early stopping in 1 of 3 classes ('other'); "
        "they are trained on all their rows. Add rows, or set early_stopping=False."
    )
    assert classifier.repeated_ == 1 and 20 not in classifier.held_out_ and len(classifier.held_out_) >= 2


def test_early_stopping_keeps_the_best_epoch(rng: np.random.Generator) -> None:
    texts, _ = reviews(rng, 60)
    labels = rng.integers(2, size=60)  # noise: the hold-out gets worse
    classifier = text_classifier(epochs=60, patience=3).fit(texts, labels)
    losses = classifier.history_["val_loss"]
    assert classifier.n_iter_ == len(losses) == int(np.argmin(losses)) + 4 < 60
    held = classifier.held_out_
    p = classifier.predict_proba([texts[row] for row in held])[np.arange(len(held)), labels[held]]
    assert_allclose(-np.log(p).mean(), min(losses), rtol=1e-5)


def test_averages_of_the_weights_are_judged_and_kept(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 160)
    arguments: dict[str, Any] = {"epochs": 6, "learning_rate": 0.05, "weight_averaging": 2}
    classifier = text_classifier(**arguments).fit(texts, labels)
    optimizer = classifier.model_.optimizer
    assert optimizer is not None and optimizer.ema_momentum == 1 - 1 / (2 * 9)  # 144 rows in batches of 16
    held = classifier.held_out_
    p = classifier.predict_proba([texts[row] for row in held])
    loss = -np.log(p[np.arange(len(held)), np.searchsorted(classifier.classes_, np.array(labels)[held])]).mean()
    assert classifier.validation_ is not None
    assert_allclose(loss, classifier.validation_["loss"], rtol=1e-5)
    plain = text_classifier(**arguments | {"weight_averaging": 0}).fit(texts, labels)
    assert plain.history_["loss"] == classifier.history_["loss"]  # training itself is the same
    assert plain.history_["val_loss"] != classifier.history_["val_loss"]


def test_validation_tells_the_kept_epoch(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 60)
    classifier = text_classifier(epochs=4).fit(texts, labels)
    best = int(np.argmin(classifier.history_["val_loss"]))
    assert classifier.validation_ == {
        "epoch": best + 1,
        "rows": len(classifier.held_out_),
        "loss": classifier.history_["val_loss"][best],
        "accuracy": classifier.history_["val_accuracy"][best],
    }
    assert text_classifier(epochs=1, early_stopping=False).fit(texts, labels).validation_ is None


class SeeRates(Callback):
    """Notes the learning rate of every step."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.rates.append(self.model.optimizer.learning_rate)


def test_the_learning_rate_falls_step_by_step(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 32)
    see = SeeRates()
    classifier = text_classifier(epochs=2, early_stopping=False, final_learning_rate=0.1)
    classifier.fit(texts, labels, callbacks=[see])
    assert_allclose(see.rates, [0.02, 0.0155, 0.011, 0.0065])  # four steps: 0.02 to 0.002
    with pytest.raises(ValueError, match="expected final_learning_rate of at most 1 and not negative, got 2"):
        text_classifier(final_learning_rate=2).fit(texts, labels)


# ---- going on


def test_warm_start_goes_on(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 80)
    whole = text_classifier(epochs=4, patience=9).fit(texts, labels)
    parts = text_classifier(epochs=2, patience=9, warm_start=True).fit(texts, labels)
    assert parts.history_ == {name: values[:2] for name, values in whole.history_.items()}
    held = parts.held_out_
    parts.fit(texts, labels)
    assert parts.n_iter_ == 4 and len(parts.history_["val_loss"]) == 4
    assert parts.history_["loss"][2] < parts.history_["loss"][0]
    assert_array_equal(parts.held_out_, held)
    assert parts.fit([*texts, "quite new words"], [*labels, "positive"]).n_iter_ == 6
    assert parts.vectorizer_.transform(["quite"]) == [[1]]  # the words are those of the first fit
    with pytest.raises(ValueError) as error:
        parts.fit([*texts, "x"], [*labels, "so so"])
    assert str(error.value) == (
        "TextClassifier: warm_start goes on with the classes ['negative', 'positive'], got 'so so' in y. "
        "Set warm_start=False to start anew."
    )
    anew = parts.set_params(warm_start=False, epochs=4).fit(texts, labels)
    assert anew.history_ == whole.history_


def test_warm_start_keeps_the_better_weights(rng: np.random.Generator) -> None:
    texts, _ = reviews(rng, 60)
    labels = rng.integers(2, size=60)  # noise: more training makes the hold-out worse
    classifier = text_classifier(epochs=30, patience=3, warm_start=True).fit(texts, labels)
    before = classifier.predict_proba(texts)
    best = min(classifier.history_["val_loss"])
    classifier.fit(texts, labels)
    assert min(classifier.history_["val_loss"]) == best
    assert_array_equal(classifier.predict_proba(texts), before)


class PressCtrlC(Callback):
    """Ctrl-C in the third epoch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if len(self.model.history.epoch) == 2 and batch == 1:
            signal.raise_signal(signal.SIGINT)


def test_a_fit_that_ctrl_c_stopped_is_saved_and_takes_the_epochs_left(
    tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, labels = reviews(rng, 80)
    classifier = text_classifier(epochs=5, patience=9, weight_averaging=0.5)
    classifier.fit(texts, labels, callbacks=[PressCtrlC()])
    assert "Stopped by Ctrl-C in epoch 3 of 5" in capsys.readouterr().err
    assert classifier.interrupted_ and classifier.n_iter_ == 2
    classifier.save(tmp_path / "model")
    again = TextClassifier.load(tmp_path / "model").set_params(warm_start=True)
    assert again.interrupted_ and again.seconds_ == classifier.seconds_ > 0
    assert_array_equal(again.predict_proba(texts), classifier.predict_proba(texts))
    assert again.model_.optimizer is not None and again.model_.optimizer.iterations > 0
    again.fit(texts, labels)
    assert not again.interrupted_ and again.n_iter_ == 5
    assert again.history_["loss"][:2] == classifier.history_["loss"]
    again.save(tmp_path / "finished")
    assert not any(name.startswith("optimizer/") for name in read_file(tmp_path / "finished")[0])


class PressCtrlCInTheSecondNetwork(Callback):
    """Ctrl-C in the second epoch of the second network."""

    networks = 0

    def on_train_begin(self, logs: Any = None) -> None:
        self.networks += 1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.networks == 2 and len(self.model.history.epoch) == 1:
            signal.raise_signal(signal.SIGINT)


def test_several_networks_stopped_by_ctrl_c_go_on_where_they_were(tmp_path: Path, rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 80)
    classifier = text_classifier(epochs=3, patience=9, networks=3)
    classifier.fit(texts, labels, callbacks=[PressCtrlCInTheSecondNetwork()])
    assert [member.epochs for member in classifier.members_] == [3, 1] and classifier.interrupted_
    classifier.save(tmp_path / "model")
    again = TextClassifier.load(tmp_path / "model").set_params(warm_start=True).fit(texts, labels)
    assert [member.epochs for member in again.members_] == [3, 3, 3] and not again.interrupted_
    assert_array_equal(again.model_.get_weights()[0], classifier.model_.get_weights()[0])


# ---- several networks


def test_the_probabilities_of_several_networks_are_averaged(tmp_path: Path, rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 80)
    classifier = text_classifier(epochs=2, networks=3, bigrams=50).fit(texts, labels)
    first, second, third = (member.model for member in classifier.members_)
    assert classifier.model_ is first and classifier.history_ is classifier.members_[0].history
    kinds = [type(model.layers[0]).__name__ for model in (first, second, third)]
    assert kinds == ["BigramEmbedding", "Embedding", "BigramEmbedding"]
    assert not np.array_equal(first.get_weights()[0], third.get_weights()[0])
    rows = classifier._rows(texts).to_array()
    mean = np.mean([model.predict(rows)[:, 0] for model in (first, second, third)], axis=0, dtype=np.float64)
    assert_allclose(classifier.predict_proba(texts)[:, 1], mean, atol=1e-6)  # float32
    held = classifier.held_out_
    right = (mean > 0.5) == (np.array(labels) == "positive")
    assert classifier.validation_ is not None and classifier.validation_["accuracy"] == right[held].mean()
    assert classifier.seconds_ == sum(member.seconds for member in classifier.members_)
    classifier.save(tmp_path / "model")
    again = TextClassifier.load(tmp_path / "model")
    assert_array_equal(again.predict_proba(texts), classifier.predict_proba(texts))
    assert again.validation_ == classifier.validation_ and again.max_epochs_ == 2
    assert [member.history for member in again.members_] == [member.history for member in classifier.members_]
    assert_array_equal(load_model(tmp_path / "model").get_weights()[0], first.get_weights()[0])
