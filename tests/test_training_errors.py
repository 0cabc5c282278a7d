"""What fit, evaluate and predict say of data and arguments that do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from small_model import MASKED_X, MASKED_Y, SmallModel, X, Y, binary_model
from unrolled.errors import NotCompiledError, ShapeError


def fit(x=X, y=Y, **arguments):
    return lambda: binary_model().fit(x, y, **{"verbose": 0} | arguments)


BAD = [
    (lambda: SmallModel().fit(X, Y), NotCompiledError,
     'fit: "small" is not compiled. Call compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["acc"]) '
     "first."),
    (lambda: binary_model(loss=None).evaluate(X, Y), NotCompiledError,
     'evaluate: "small" was compiled without a loss. Call compile(..., loss="binary_crossentropy").'),
    (fit(y=None), TypeError, "fit: expected labels y, got None."),
    (fit(x=None), TypeError, "x: expected an array of numbers, got None."),
    (fit(y=Y[:-1]), ShapeError,
     "expected x and y with the same number of samples, got 20 in x (20, 2) and 19 in y (19,)."),
    (fit(x=X[:0], y=Y[:0]), ShapeError, "x: expected at least one sample, got an empty array of shape (0, 2)."),
    (fit(x=3.0), ShapeError, "x: expected an array with one row per sample, got a single number."),
    (fit(x=["good", "bad"], y=[1, 0]), TypeError,
     "x: expected numbers, got text. Turn words into ids first (a tokenizer), then pad_sequences."),
    (fit(x=[[1, 2], [3]], y=[1, 0]), TypeError,
     "x: expected an array of numbers, got rows of different lengths or objects. "
     "Use pad_sequences to give all rows one length."),
    (fit(y=["pos"] * 20), TypeError,
     "y: expected numbers, got text. Number the classes first: np.unique(y, return_inverse=True)[1]."),
    (fit(batch_size=0), ValueError, "fit: batch_size: expected a whole number of at least 1, got 0."),
    (fit(batch_size=2.5), TypeError, "fit: batch_size: expected a whole number of at least 1, got 2.5."),
    (fit(epochs=-1), ValueError, "fit: epochs: expected a whole number of at least 0, got -1."),
    (fit(epochs="ten"), TypeError, "fit: epochs: expected a whole number of at least 0, got 'ten'."),
    (fit(steps_per_epoch=0), ValueError, "fit: steps_per_epoch: expected a whole number of at least 1, got 0."),
    (fit(verbose=3), ValueError, 'fit: expected verbose 0, 1, 2 or "auto", got 3.'),
    (fit(shuffle="rows"), ValueError, "fit: expected shuffle True, False or \"batch\", got 'rows'."),
    (fit(validation_split=1.0), ValueError, "fit: expected validation_split between 0 and 1, got 1.0."),
    (fit(validation_split=-0.5), ValueError, "fit: expected validation_split between 0 and 1, got -0.5."),
    (fit(x=X[:1], y=Y[:1], validation_split=0.5), ValueError,
     "fit: validation_split=0.5 of 1 samples leaves no training samples. Use another split, or pass validation_data."),
    (fit(validation_data=X), TypeError,
     "fit: expected validation_data as (x, y) or (x, y, sample_weight), got ndarray."),
    (fit(validation_data=(X, Y[:3])), ShapeError,
     "expected validation_data x and validation_data y with the same number of samples, got 20 in "
     "validation_data x (20, 2) and 3 in validation_data y (3,)."),
    (fit(sample_weight=np.ones(3)), ShapeError,
     "fit: sample_weight expected one number for each sample, shape (20,), got (3,)."),
    (fit(sample_weight=["a"] * 20), TypeError,
     "fit: sample_weight: expected numbers, got text. Number the classes first: np.unique(y, return_inverse=True)[1]."),
    (fit(sample_weight=np.full(20, np.nan)), ValueError,
     "fit: sample_weight: expected finite numbers, got nan at [0]. Remove such rows."),
    (fit(sample_weight=np.ones(20), class_weight={0: 1.0}), ValueError,
     "fit: expected sample_weight or class_weight, got both. Multiply them into sample_weight."),
    (fit(class_weight=[1, 2]), TypeError,
     "fit: class_weight expected a dict such as {0: 1.0, 1: 2.5}, got [1, 2]."),
    (fit(class_weight={"pos": 2}), TypeError, "fit: class_weight expected class numbers as keys, got 'pos'."),
    (fit(class_weight={1: np.inf}), ValueError, "fit: class_weight expected a finite number for class 1, got inf."),
    (fit(callbacks=["stop"]), TypeError, "callbacks: expected callbacks.Callback objects, got 'stop'."),
    (fit(y=np.tile(Y[:, None], (1, 2))), ShapeError,
     "y: binary_crossentropy expected labels of the output's shape (N, 1), got (20, 2). One-hot labels of 2 classes "
     "need an output of 2 units with softmax and loss='categorical_crossentropy'."),
    (lambda: binary_model(optimizer="fast"), ValueError,
     "unknown optimizer 'fast'. Known: sgd, rmsprop, adam, adamw."),
    (lambda: binary_model(metrics="acc"), TypeError, "compile: metrics expected a list such as ['acc'], got 'acc'."),
    (lambda: binary_model(metrics=["acuracy"]), ValueError,
     "unknown metric 'acuracy', did you mean 'accuracy'? Known: accuracy, acc, binary_accuracy, categorical_accuracy, "
     "sparse_categorical_accuracy, mean_squared_error, mse, mean_absolute_error, mae, root_mean_squared_error, "
     "top_k_categorical_accuracy, sparse_top_k_categorical_accuracy, auc, precision, recall, f1_score, fbeta_score, "
     "true_positives, true_negatives, false_positives, false_negatives, "
     "binary_crossentropy, categorical_crossentropy, sparse_categorical_crossentropy."),
    (lambda: binary_model().predict(X, batch_size=-1), ValueError,
     "predict: batch_size: expected a whole number of at least 1, got -1."),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "text"), BAD, ids=[text[:50] for _, _, text in BAD])
def test_bad_input_is_told_what_was_expected(call, kind, text):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == text


def test_labels_of_other_steps_than_the_outputs():
    model = SmallModel(3, "softmax")
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ShapeError) as error:
        model.fit(MASKED_X, MASKED_Y[:, :3], verbose=0)
    assert str(error.value) == "y: expected labels of shape (N, 4), one for each output, got (N, 3)."
    with pytest.raises(ShapeError) as error:
        model.fit(MASKED_X, MASKED_Y, sample_weight=np.ones((6, 3)), verbose=0)
    assert str(error.value) == (
        "fit: sample_weight expected one number for each sample, shape (6,) or, one for each step, (6, 4), got (6, 3)."
    )


def test_a_failed_compile_changes_nothing():
    model = binary_model()
    optimizer = model.optimizer
    with pytest.raises(ValueError):
        model.compile("sgd", "no_such_loss")
    assert model.optimizer is optimizer and model.loss.name == "binary_crossentropy"
