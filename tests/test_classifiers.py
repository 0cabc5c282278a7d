"""The classifiers: scikit-learn's own checks, every kind of input, labels, hold-out, files; real tweets and reviews."""

from __future__ import annotations

import csv
import gzip
import pickle
import signal
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from unrolled.callbacks import Callback
from unrolled.classifiers import SequenceClassifier, TextClassifier
from unrolled.classifiers.member import enough_epochs
from unrolled.classifiers.presets import PRESETS
from unrolled.errors import FileFormatError, MissingExtraError, ShapeError
from unrolled.models import Sequential, load_model
from unrolled.saving import read_file, write_file
from unrolled.splits import stratified_holdout

EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": (
        "trained on shuffled batches and a random hold-out: a row of weight 2 and a row given twice take other steps"
    ),
    "check_methods_subset_invariance": "probabilities are float32: other batches round by 1.4e-7, not 1e-7",
}


@parametrize_with_checks(
    [SequenceClassifier(random_state=0), TextClassifier(random_state=0)],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
@pytest.mark.filterwarnings("ignore:SequenceClassifier. too few different rows")
@pytest.mark.filterwarnings("ignore:Can't test estimator TextClassifier which requires input of type")
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


# ---- texts

GOOD, BAD = ["good", "great", "fine", "lovely"], ["bad", "awful", "poor", "boring"]


def reviews(rng: np.random.Generator, n: int = 120) -> tuple[list[str], list[str]]:
    """Texts of six words, one of which tells the class."""
    texts, labels = [], []
    for row in range(n):
        words = [f"w{i}" for i in rng.integers(30, size=6)]
        words[rng.integers(6)] = str(rng.choice(BAD if row % 2 else GOOD))
        texts.append(" ".join(words))
        labels.append("negative" if row % 2 else "positive")
    return texts, labels


def text_classifier(**arguments: Any) -> TextClassifier:
    """A small plain one: an LSTM's last state, no dropout."""
    plain = {"cell": "lstm", "bidirectional": False, "pooling": None, "weight_averaging": 0.0, "embedding_dropout": 0.0}
    plain |= {"word_dropout": 0.0, "dropout": 0.2, "final_learning_rate": 1.0}
    small = {"units": 8, "epochs": 15, "batch_size": 16, "learning_rate": 0.02, "random_state": 0}
    return TextClassifier(**plain | small | arguments)


def test_texts_are_learned(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 240)
    classifier = text_classifier().fit(texts, labels)
    assert classifier.classes_.tolist() == ["negative", "positive"]
    new, truth = reviews(rng)
    assert classifier.score(new, truth) > 0.95
    y = classifier.predict_proba(new)
    assert y.shape == (120, 2)
    assert_allclose(y.sum(axis=1), 1)
    assert_array_equal(classifier.predict(new), classifier.classes_[y.argmax(axis=1)])
    assert classifier.n_iter_ == len(classifier.history_["val_loss"]) <= 15
    assert isinstance(classifier.model_, Sequential)


@pytest.mark.parametrize(
    "arguments",
    [
        {"cell": "gru", "layers": 2}, {"cell": "simple_rnn", "pooling": "max"},
        {"bidirectional": True, "pooling": "max+mean"}, {"bigrams": 50, "embedding_dropout": 0.2, "word_dropout": 0.1},
        {"weight_averaging": 0.5},
        {"maxlen": 4, "truncating": "pre"}, {"early_stopping": False}, {"optimizer": "rmsprop"}, {"num_words": 5},
    ],
    ids=str,
)  # fmt: skip
def test_arguments_shape_the_network(arguments: dict[str, Any], rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 40)
    classifier = text_classifier(epochs=1, **arguments).fit(texts, labels)
    names = [layer.name for layer in classifier.model_.layers]
    cell = arguments.get("cell", "lstm")
    expected = (
        ["both_lstm_1"]
        if "bidirectional" in arguments
        else [f"{cell}_{i + 1}" for i in range(arguments.get("layers", 1))]
    )
    assert [name for name in names if name[-1].isdigit() and not name.startswith("dropout")] == expected
    assert ("pooling" in names) == ("pooling" in arguments)
    assert ("val_loss" in classifier.history_) == ("early_stopping" not in arguments)
    assert type(classifier.model_.optimizer).__name__.lower() == arguments.get("optimizer", "adam")
    embedding = classifier.model_.get_layer("embedding")
    assert type(embedding).__name__ == ("BigramEmbedding" if "bigrams" in arguments else "Embedding")
    assert getattr(embedding, "bigram_dropout", 0.5) == 0.5
    assert embedding.dropout == arguments.get("embedding_dropout", 0)
    assert ("word_dropout" in names) == ("word_dropout" in arguments)
    averages = classifier.model_.optimizer.averages
    assert (averages is not None) == ("weight_averaging" in arguments)
    rows = embedding.get_weights()[0].shape[0]
    assert rows == 7 if "num_words" in arguments else rows > 30


def test_long_texts_keep_the_ends_asked_for() -> None:
    texts, kept = ["a b c d e f", "g"], {"middle": "a b f", "pre": "d e f", "post": "a b c"}
    for side, words in kept.items():
        classifier = text_classifier(maxlen=3, truncating=side, epochs=1, early_stopping=False).fit(texts, [0, 1])
        assert classifier.vectorizer_.inverse_transform(classifier._rows(texts)) == [words, "g"]


def test_a_text_is_judged_alone(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 40)
    classifier = text_classifier(epochs=2, bidirectional=True, pooling="max").fit(texts, labels)
    alone = np.concatenate([classifier.predict_proba([text]) for text in texts[:5]])
    together = classifier.predict_proba([*texts[:5], "a much longer text " * 50])[:5]
    assert_allclose(together, alone, atol=1e-6)  # float32
    empty = classifier.predict_proba(["", "?!"])
    assert_array_equal(empty[0], empty[1])


def test_columns_of_any_kind_give_the_same_classifier(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 40)
    expected = text_classifier(epochs=1).fit(texts, labels).predict_proba(texts)
    kinds: list[Any] = [np.array, lambda c: pd.Series(c, index=range(7, 47)), pl.Series, pa.array]
    for kind in kinds:
        classifier = text_classifier(epochs=1).fit(kind(texts), kind(labels))
        assert_array_equal(classifier.predict_proba(kind(texts)), expected)
        assert classifier.classes_.tolist() == ["negative", "positive"]


@pytest.mark.parametrize("labels", [["a", "b", "c"], [3, 1, 2], [3.0, 1.0, 2.0], [True, False, True]], ids=str)
def test_labels_come_back_as_they_were(labels: list[Any]) -> None:
    classifier = text_classifier(epochs=1, early_stopping=False).fit(["x y", "y z", "z"] * 8, labels * 8)
    assert classifier.classes_.tolist() == sorted(set(labels))
    assert set(classifier.predict(["x", "y"]).tolist()) <= set(labels)
    assert classifier.predict_proba(["x"]).shape == (1, len(set(labels)))


def test_the_same_number_gives_the_same_bits(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 40)
    first, again, other = (text_classifier(epochs=2, random_state=seed).fit(texts, labels) for seed in (3, 3, 4))
    assert_array_equal(first.predict_proba(texts), again.predict_proba(texts))
    assert not np.array_equal(first.predict_proba(texts), other.predict_proba(texts))


def test_class_weights_move_the_decision() -> None:
    texts, labels = ["same words"] * 40, ["rare"] * 8 + ["usual"] * 32
    plain = text_classifier(early_stopping=False, epochs=30).fit(texts, labels)
    assert plain.predict(["same words"]) == ["usual"]
    for weights in ("balanced", {"rare": 4.0, "usual": 1.0}):
        weighted = text_classifier(early_stopping=False, epochs=30, class_weight=weights).fit(texts, labels)
        assert_allclose(weighted.predict_proba(["same words"]), [[0.5, 0.5]], atol=0.06)
        assert_allclose(plain.predict_proba(["same words"]), [[0.2, 0.8]], atol=0.06)
    by_row = text_classifier(early_stopping=False, epochs=30).fit(texts, labels, sample_weight=[4.0] * 8 + [1.0] * 32)
    assert_array_equal(by_row.predict_proba(texts), weighted.predict_proba(texts))


def test_repeats_are_counted(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 20)
    assert text_classifier(epochs=1).fit([*texts, *texts[:4]], [*labels, *labels[:4]]).repeated_ == 4
    series, truth = waves(rng, 30)
    assert sequence_classifier(epochs=1).fit([*series, *series[:6]], [*truth, *truth[:6]]).repeated_ == 6


def test_works_in_pipelines_and_searches(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 60)
    upper = Pipeline(
        [("plain", FunctionTransformer(lambda c: [t.lower() for t in c])), ("rnn", text_classifier(epochs=2))]
    )
    assert len(cross_val_score(upper, [t.upper() for t in texts], labels, cv=2)) == 2
    search = GridSearchCV(text_classifier(epochs=1), {"units": [2, 4]}, cv=2).fit(texts, labels)
    assert search.best_params_["units"] in (2, 4)
    assert clone(search.best_estimator_).get_params()["units"] == search.best_params_["units"]


# ---- the hold-out


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


def test_a_file_of_one_network_without_members_is_read(tmp_path: Path, rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 20)
    classifier = text_classifier(epochs=1).fit(texts, labels)
    classifier.save(tmp_path / "model")
    arrays, header = read_file(tmp_path / "model")
    for name in ("members", "validation", "max_epochs"):
        del header["estimator"][name]
    header["estimator"]["history"] = classifier.history_
    for name in ("networks", "bigrams", "final_learning_rate"):
        del header["estimator"]["arguments"][name]
    write_file(tmp_path / "model", arrays, header)
    again = TextClassifier.load(tmp_path / "model")
    assert_array_equal(again.predict_proba(texts), classifier.predict_proba(texts))
    assert again.history_ == classifier.history_ and not again.interrupted_


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


# ---- presets


def test_presets_are_arguments_that_can_be_overridden() -> None:
    assert TextClassifier.from_preset("fast").get_params() == TextClassifier().get_params()
    best = TextClassifier.from_preset("best", units=5)
    assert best.units == 5 and best.get_params() == TextClassifier().get_params() | PRESETS["best"] | {"units": 5}
    assert "units" not in PRESETS["best"]
    with pytest.raises(ValueError) as error:
        TextClassifier.from_preset("bset")
    assert str(error.value) == "TextClassifier: unknown preset 'bset', did you mean 'best'? Known: fast, best."


def test_epochs_by_themselves_are_few_for_many_rows() -> None:
    assert [enough_epochs(rows) for rows in (10, 4_000, 10_500, 22_500, 45_000, 10**6)] == [20, 20, 8, 4, 3, 3]
    classifier = text_classifier(epochs=None, early_stopping=False).fit(["a b", "c d"] * 3, [0, 1] * 3)
    assert classifier.n_iter_ == 20
    with pytest.raises(ValueError, match="expected epochs as a whole number of at least 1, got 0"):
        text_classifier(epochs=0).fit(["a", "b"], [0, 1])


@pytest.mark.parametrize("name", PRESETS)
def test_presets_learn(name: str, rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 400)
    classifier = TextClassifier.from_preset(name, random_state=0).fit(texts, labels)
    assert classifier.score(*reviews(rng)) > 0.9


# ---- series


def waves(rng: np.random.Generator, n: int = 90, channels: int = 2) -> tuple[list[np.ndarray], list[str]]:
    """Series of 5 to 20 steps: slow or fast waves or noise around 100, on the last channel."""
    series, labels = [], []
    for row in range(n):
        steps = rng.integers(8, 20)
        x = rng.normal(size=(steps, channels))
        label = ("slow", "fast", "noise")[row % 3]
        if label != "noise":
            x[:, -1] = 2 * np.sin(np.arange(steps) * (0.4 if label == "slow" else 2.0) + rng.uniform(0, 6))
        series.append(100 + 10 * x)
        labels.append(label)
    return series, labels


def sequence_classifier(**arguments: Any) -> SequenceClassifier:
    return SequenceClassifier(**{"units": 16, "epochs": 40, "learning_rate": 0.02, "random_state": 0} | arguments)


def test_series_of_unequal_length_are_learned(rng: np.random.Generator) -> None:
    series, labels = waves(rng, 300)
    classifier = sequence_classifier(cell="gru").fit(series, labels)
    new, truth = waves(rng)
    assert classifier.score(new, truth) > 0.85
    assert classifier.n_channels_ == 2 and not hasattr(classifier, "n_features_in_")
    steps = np.concatenate(series)
    assert_allclose(classifier.mean_, steps.mean(axis=0))
    assert_allclose(classifier.scale_, steps.std(axis=0))
    alone = np.concatenate([classifier.predict_proba([row]) for row in new[:5]])
    assert_allclose(classifier.predict_proba(new)[:5], alone, atol=1e-6)  # float32; other rows change the padding


def test_steps_of_zeros_are_steps() -> None:
    classifier = sequence_classifier(standardize=False, epochs=1, early_stopping=False).fit(
        [[[1.0]], [[0.0], [2.0]]] * 8, [0, 1] * 8
    )
    rows = classifier._rows([np.array([[0.0], [0.0], [3.0]]), np.array([[0.0]])])
    mask = (rows.to_array() != 0).any(axis=2)
    assert mask.tolist() == [[True, True, True], [False, False, True]]
    y = classifier.predict_proba([[[3.0]], [[0.0], [3.0]]])
    assert abs(y[0, 0] - y[1, 0]) > 1e-5


def test_series_of_any_kind_give_the_same_classifier(rng: np.random.Generator) -> None:
    table, y = rng.normal(size=(30, 6)), np.arange(30) % 2
    expected = sequence_classifier(epochs=1).fit(table, y).predict_proba(table)
    kinds: dict[str, Any] = {
        "nested lists": table.tolist(),
        "3-D": table[:, :, None],
        "list of vectors": list(table),
        "list of arrays": list(table[:, :, None]),
        "pandas table": pd.DataFrame(table, columns=list("abcdef")),
        "polars table": pl.DataFrame(table),
        "pandas column": pd.Series(list(table)),
        "polars column": pl.Series(table.tolist()),
        "arrow column": pa.array(table.tolist()),
        "objects": pd.Series(list(table)).to_numpy(),
    }
    for kind, x in kinds.items():
        got = sequence_classifier(epochs=1).fit(x, y).predict_proba(x)
        assert_array_equal(got, expected, err_msg=kind)


SERIES_ERRORS = {
    "step": (
        [[1.0, np.nan], [1.0]],
        "X[0]: expected finite numbers, got nan at step 1, feature 0. Fill such values or cut the series there.",
    ),
    "empty": ([[1.0, 2.0], []], "X[1]: expected an array (steps, features) with at least one step, got (0,)."),
    "features": ([np.ones((2, 3)), np.ones((4, 2))], "expected 3 features in every series as in X[0], got 2 in X[1]."),
    "text": ([["a"], [1.0, 2.0]], "X[0]: expected numbers in steps of equal size, got ['a']."),
}


@pytest.mark.parametrize("case", SERIES_ERRORS)
def test_bad_series(case: str) -> None:
    series, text = SERIES_ERRORS[case]
    with pytest.raises((ShapeError, ValueError, TypeError)) as error:
        SequenceClassifier().fit(series, [0, 1])
    assert str(error.value) == f"SequenceClassifier: {text}"


def test_bad_arguments_and_labels(rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 6)
    for arguments, text in (
        ({"cell": "lstn"}, "TextClassifier: unknown cell 'lstn', did you mean 'lstm'? Known: simple_rnn, lstm, gru."),
        ({"pooling": "sum"}, "TextClassifier: unknown pooling 'sum'. Known: max, mean, max+mean."),
        ({"bigrams": -1}, "TextClassifier: expected bigrams as a whole number of at least 0, got -1."),
        ({"word_dropout": 1}, "TextClassifier: expected word_dropout below 1 and not negative, got 1."),
        (
            {"weight_averaging": -1},
            "TextClassifier: expected weight_averaging as a number of epochs, 0 for none, got -1.",
        ),
        ({"units": 0}, "TextClassifier: expected units as a whole number of at least 1, got 0."),
        ({"maxlen": 0}, "TextClassifier: expected maxlen as a whole number of at least 1, got 0."),
        ({"dropout": 1.0}, "TextClassifier: expected dropout below 1 and not negative, got 1.0."),
        ({"truncating": "both"}, 'TextClassifier: expected truncating "middle", "pre" or "post", got \'both\'.'),
    ):
        with pytest.raises(ValueError) as error:
            TextClassifier(**arguments).fit(texts, labels)
        assert str(error.value) == text
    for y, text in (
        (["a"] * 6, "expected at least two classes in y, got one class: 'a'."),
        (
            labels[:5],
            "Found input variables with inconsistent numbers of samples: expected one label for each of 6 rows in X, "
            "got 5 in y.",
        ),
        ([*labels[:5], None], "Input y contains NaN: the label of row 5 is missing. Drop such rows."),
    ):
        with pytest.raises(ValueError) as error:
            TextClassifier().fit(texts, y)
        assert str(error.value) == f"TextClassifier: {text}"
    with pytest.raises(
        TypeError, match=r"TextClassifier: expected labels of one type in y, got int, str. Turn them into"
    ):
        TextClassifier().fit(texts, np.array([1, 2, 3, "a", "b", "c"], object))
    with pytest.raises(TypeError, match="X: expected a text in every row, got int 3 in row 1"):
        TextClassifier().fit(["a", 3], [0, 1])
    with pytest.raises(NotFittedError):
        TextClassifier().predict(["a"])
    with pytest.raises(ShapeError, match="expected series of 1 features as in fit, got 2"):
        sequence_classifier(epochs=1, early_stopping=False).fit([[1.0], [2.0, 3.0]] * 4, [0, 1] * 4).predict(
            [np.ones((3, 2))]
        )


# ---- files


def test_a_saved_text_classifier_predicts_the_same_bits(tmp_path: Path, rng: np.random.Generator) -> None:
    texts, labels = reviews(rng, 40)
    weights = {"negative": 2.0, "positive": 1.0}
    classifier = text_classifier(epochs=2, class_weight=weights, stop_words=("w1",)).fit(texts, labels)
    classifier.save(tmp_path / "model")
    again = TextClassifier.load(tmp_path / "model")
    assert_array_equal(again.predict_proba([*texts, "new words"]), classifier.predict_proba([*texts, "new words"]))
    assert again.predict(texts).tolist() == classifier.predict(texts).tolist()
    assert again.get_params() == classifier.get_params() | {"stop_words": ["w1"]}
    assert again.history_ == classifier.history_ and again.n_iter_ == 2
    assert_array_equal(again.held_out_, classifier.held_out_)
    again.fit(texts, labels)
    assert_array_equal(again.predict_proba(texts), classifier.predict_proba(texts))
    network = load_model(tmp_path / "model")
    assert_array_equal(network.get_weights()[0], classifier.model_.get_weights()[0])
    assert pickle.loads(pickle.dumps(classifier)).predict(texts).tolist() == classifier.predict(texts).tolist()


def test_a_saved_sequence_classifier_predicts_the_same_bits(tmp_path: Path, rng: np.random.Generator) -> None:
    table, y = rng.normal(size=(30, 6)), np.arange(30) % 3
    classifier = sequence_classifier(epochs=1).fit(table, y)
    classifier.save(tmp_path / "model")
    again = SequenceClassifier.load(tmp_path / "model")
    assert_array_equal(again.predict_proba(table), classifier.predict_proba(table))
    assert again.classes_.tolist() == [0, 1, 2] and again.n_features_in_ == 6
    with pytest.raises(FileFormatError) as error:
        TextClassifier.load(tmp_path / "model")
    assert str(error.value) == (
        f'"{tmp_path / "model"}" expected a TextClassifier, got SequenceClassifier. '
        "Read it with SequenceClassifier.load."
    )
    classifier.model_.save(tmp_path / "network")
    with pytest.raises(FileFormatError, match=r"got a model without a classifier. Read it with models.load_model."):
        SequenceClassifier.load(tmp_path / "network")


@pytest.mark.parametrize("lost", ["arguments", "classes", "state", "members"])
def test_a_header_without_an_entry_is_an_error(lost: str, tmp_path: Path) -> None:
    classifier = text_classifier(epochs=1, early_stopping=False).fit(["a", "b"], [0, 1])
    classifier.save(tmp_path / "model")
    arrays, header = read_file(tmp_path / "model")
    del header["estimator"][lost]
    write_file(tmp_path / "model", arrays, header)
    with pytest.raises(FileFormatError) as error:
        TextClassifier.load(tmp_path / "model")
    assert str(error.value) == (
        f"\"{tmp_path / 'model'}\" does not describe a TextClassifier: KeyError('{lost}'). Save it again."
    )


def test_a_function_as_tokenizer_is_not_saved(tmp_path: Path) -> None:
    classifier = text_classifier(epochs=1, tokenizer=str.split).fit(["a b", "c d", "e", "f"], [0, 1, 0, 1])
    with pytest.raises(TypeError, match="the tokenizer is a function"):
        classifier.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("unrolled.classifiers")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for name in [name for name in sys.modules if name.startswith("sklearn.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingExtraError) as error:
        import unrolled.classifiers  # noqa: F401
    assert str(error.value) == (
        'unrolled.classifiers needs the package "sklearn", which is not installed. '
        'Install it with: pip install "unrolled[sklearn]"'
    )


# ---- real data


def test_airline_tweets(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "airline" / "tweets_3class.csv")[:4000]
    classifier = TextClassifier(epochs=3, learning_rate=0.005, pooling="max", maxlen=40, random_state=0)
    classifier.fit(table["text"][:3000], table["airline_sentiment"][:3000])
    assert classifier.classes_.tolist() == ["negative", "neutral", "positive"]
    majority = (table["airline_sentiment"][3000:] == "negative").mean()
    assert classifier.score(table["text"][3000:], table["airline_sentiment"][3000:]) > majority + 0.05


def test_imdb_reviews(shared_data: Path) -> None:
    csv.field_size_limit(sys.maxsize)
    with gzip.open(shared_data / "imdb" / "reviews.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = [(row["review"], row["label"]) for row in islice(csv.DictReader(file), 0, 25_000, 6)]
    texts, labels = zip(*rows, strict=True)
    classifier = TextClassifier(random_state=0).fit(texts[::2], labels[::2])
    assert classifier.score(texts[1::2], labels[1::2]) > 0.8  # 2,084 reviews to learn from
