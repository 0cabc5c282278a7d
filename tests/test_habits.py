"""What people who know Keras pass by habit, and what they get wrong first."""

from __future__ import annotations

import copy
import inspect
import warnings

import numpy as np
import pytest

from unrolled import callbacks, datasets, layers, models, optimizers
from unrolled.errors import FileFormatError, ShapeError
from unrolled.layers import (
    GRU,
    LSTM,
    Activation,
    Bidirectional,
    Dense,
    Embedding,
    GlobalMaxPooling1D,
    Input,
    SimpleRNN,
    TimeDistributed,
)
from unrolled.models import Sequential

IDS = np.arange(1, 73).reshape(12, 6) % 19 + 1
X = np.sin(np.arange(12 * 6 * 3).reshape(12, 6, 3)).astype(np.float32)
Y = np.arange(12) % 2


def text_model(**compiled) -> Sequential:
    model = Sequential([
        Embedding(20, 3, name="words"), LSTM(4, name="lstm"), Dense(1, activation="sigmoid", name="head"),
    ], name="net")  # fmt: skip
    model.compile(**{"optimizer": "rmsprop", "loss": "binary_crossentropy", "metrics": ["acc"]} | compiled)
    return model


def stateful_model() -> Sequential:
    model = Sequential([Input(batch_shape=(4, 6, 3)), Bidirectional(LSTM(3, stateful=True)), Dense(1)])
    model.compile("adam", "mse")
    return model


# ---- arrays of every kind


@pytest.mark.parametrize("kind", [list, lambda x: x.astype(object), lambda x: [*x], lambda x: x.astype("u1"),
                                  np.asfortranarray, lambda x: x.astype(float)])  # fmt: skip
def test_ids_of_every_kind_are_the_same_ids(kind):
    model = text_model()
    np.testing.assert_array_equal(model.predict(kind(IDS)), model.predict(IDS))
    np.testing.assert_array_equal(model(kind(IDS)), model.predict(IDS))


def test_an_array_of_lists_of_one_length_is_an_array():
    rows = np.empty(12, object)
    rows[:] = IDS.tolist()
    model = text_model()
    np.testing.assert_array_equal(model.predict(rows), model.predict(IDS))


def test_frames_and_series():
    pandas = pytest.importorskip("pandas")
    plain, model = text_model(), None
    for labels in (Y[:, None], Y.astype(bool), Y.astype(object), pandas.Series(Y, index=range(50, 62)),
                   pandas.Series(Y).astype("category"), pandas.Series(Y).astype("Int64")):  # fmt: skip
        model = copy.deepcopy(plain)
        model.fit(pandas.DataFrame(IDS), labels, verbose=0, shuffle=False)
    expected = copy.deepcopy(plain)
    expected.fit(IDS, Y, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_are_arrays_for_numpy_and_cannot_be_changed_through_it():
    weight = text_model().layers[1].weights[0]
    array = np.asarray(weight)
    assert array.shape == (3, 16)
    assert array.dtype == np.float32
    array[...] = 0
    assert np.asarray(weight, np.float64).dtype == np.float64
    assert np.abs(np.asarray(weight)).max() > 0


# ---- arguments


def test_a_layer_shows_all_its_arguments():
    assert list(inspect.signature(LSTM).parameters) == [
        "units", "activation", "recurrent_activation", "unit_forget_bias", "use_bias", "kernel_initializer",
        "recurrent_initializer", "bias_initializer", "dropout", "recurrent_dropout", "return_sequences", "return_state",
        "go_backwards", "stateful", "unroll", "name", "trainable", "dtype", "input_shape", "batch_input_shape",
        "input_dim", "input_length", "weights",
    ]  # fmt: skip
    assert "noise_shape" not in inspect.signature(layers.SpatialDropout1D).parameters
    assert [p.kind for p in inspect.signature(SimpleRNN).parameters.values()][:2] == [inspect.Parameter(
        "units", inspect.Parameter.POSITIONAL_OR_KEYWORD).kind] * 2  # fmt: skip


def test_arguments_of_keras_that_are_switched_off_are_taken():
    layer = LSTM(
        3, dropout=0.0, recurrent_dropout=0, kernel_regularizer=None, bias_constraint=None, activity_regularizer=None,
        implementation=2, time_major=False, use_cudnn="auto", seed=7,
    )  # fmt: skip
    assert layer.get_config().keys() == LSTM(3).get_config().keys()
    Dense(3, kernel_regularizer=None)
    Embedding(3, 3, embeddings_regularizer=None, embeddings_constraint=None)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Dense(3, name="d", kernel_regularizer="l2"),
         "Dense \"d\": kernel_regularizer='l2' is not supported. Leave it out; optimizers.AdamW(weight_decay=...) "
         "keeps weights small."),
        (lambda: Dense(3, name="d", kernel_constraint="max_norm"),
         "Dense \"d\": kernel_constraint='max_norm' is not supported. Leave it out; optimizers take clipnorm=... to "
         "keep steps small."),
        (lambda: LSTM(3, name="l", time_major=True),
         'LSTM "l": time_major=True is not supported. Give x as (batch, time, features): x.swapaxes(0, 1).'),
        (lambda: LSTM(3, name="l", return_sequence=True),
         'LSTM "l": there is no argument "return_sequence". Did you mean "return_sequences"?'),
        (lambda: optimizers.SGD(lr=0.1), 'sgd: there is no argument "lr". Write learning_rate=...'),
        (lambda: optimizers.Adam(decay=0.1),
         'adam: there is no argument "decay". Lower learning_rate with callbacks.LearningRateScheduler or '
         "ReduceLROnPlateau."),
        (lambda: callbacks.LearningRateScheduler(3),
         "LearningRateScheduler: expected a function schedule(epoch, rate), got 3."),
        (lambda: layers.Masking("a", name="m"), "Masking \"m\": expected mask_value to be a number, got 'a'."),
        (lambda: datasets.imdb.load_data(num_words="a"),
         "imdb.load_data: expected num_words to be a whole number or None, got 'a'."),
        (lambda: text_model().predict(np.full((2, 2), np.inf)),
         'Embedding "words": expected whole numbers (token ids), got inf in row 0, step 0.\n'
         "For data that are not ids leave out Embedding and give the recurrent layer x[..., None]."),
        (lambda: text_model().set_weights(None), 'Sequential "net": expected a list of 6 arrays, got None.'),
        (lambda: models.load_model(None), "expected the path of a file as text or pathlib.Path, got NoneType."),
        (lambda: text_model().save(3), "expected the path of a file as text or pathlib.Path, got int."),
        (lambda: Sequential([text_model()], name="outer"),
         'Sequential "outer": expected a layer, got <Sequential "net", 3 layers>. Add its layers one by one.'),
    ],
)  # fmt: skip
def test_arguments_that_are_refused(make, text):
    with pytest.raises(TypeError) as error:
        make()
    assert str(error.value) == text


@pytest.mark.parametrize("function", [np.tanh, abs])
def test_an_activation_is_a_name_not_any_function_of_that_name(function):
    with pytest.raises(ValueError, match="expected activation to be one of tanh, sigmoid"):
        LSTM(3, activation=function)


# ---- layers that do not follow each other


@pytest.mark.parametrize(
    ("layer", "label"),
    [
        (lambda: LSTM(3, name="l"), 'LSTM "l"'),
        (lambda: Bidirectional(GRU(3), name="b"), 'Bidirectional "b"'),
        (lambda: TimeDistributed(Dense(3), name="t"), 'TimeDistributed "t"'),
        (lambda: GlobalMaxPooling1D(name="p"), 'GlobalMaxPooling1D "p"'),
    ],
)
def test_a_layer_for_sequences_behind_a_last_state(layer, label):
    with pytest.raises(ShapeError) as error:
        Sequential([Embedding(20, 3), SimpleRNN(5, name="first"), layer()], name="net")
    assert str(error.value) == (
        f'Sequential "net": {label} needs sequences (batch, time, features), and SimpleRNN "first" gives (None, 5).\n'
        "Make the recurrent layer before it return_sequences=True, or put RepeatVector(n) between them."
    )


@pytest.mark.parametrize(
    ("sequences", "labels", "text"),
    [
        (True, Y, "y: binary_crossentropy expected labels of the output's shape (N, T, 1), got (12,). For one label a "
                  "row give the last recurrent layer return_sequences=False."),
        (False, X[:, :, :1] > 0, "y: binary_crossentropy expected labels of the output's shape (N, 1), got (12, 6, 1). "
                                 "For a label at every step give the last recurrent layer return_sequences=True."),
    ],
)  # fmt: skip
def test_labels_for_rows_where_outputs_are_for_steps(sequences, labels, text):
    model = Sequential([Embedding(20, 3), LSTM(4, return_sequences=sequences), Dense(1), Activation("sigmoid")])
    model.compile("adam", "binary_crossentropy")
    with pytest.raises(ShapeError) as error:
        model.fit(IDS, labels, verbose=0)
    assert str(error.value) == text


# ---- data


@pytest.mark.parametrize(
    ("x", "kind", "text"),
    [
        (np.where(X > 0.99, np.inf, X), ValueError,
         'LSTM "l": x holds infinity (or what float32 cannot hold), first at x[0, 4, 2]; 10 in all.\n'
         "Fill or drop them before (numpy.nan_to_num, or dropna in pandas)."),
        (np.where(X > 0.99, 1e300, X.astype(float)), ValueError,
         'LSTM "l": x holds infinity (or what float32 cannot hold), first at x[0, 4, 2]; 10 in all.\n'
         "Fill or drop them before (numpy.nan_to_num, or dropna in pandas)."),
        ({"x": X}, TypeError, "x: expected an array of numbers, got dict."),
        (X + 1j, TypeError, "x: expected real numbers, got complex64."),
        (np.array([["a", 1], ["b", 2]], object), TypeError,
         "x: expected numbers, got text. Turn words into ids first (a tokenizer), then pad_sequences."),
    ],
)  # fmt: skip
def test_inputs_that_are_refused(x, kind, text):
    model = Sequential([LSTM(3, name="l")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ask in (model.predict, model):
            with pytest.raises(kind) as error:
                ask(x)
            assert str(error.value) == text


def test_a_mask_of_numbers_says_how_to_make_it_one():
    with pytest.raises(ShapeError) as error:
        LSTM(3, name="l")(X, mask=np.ones((12, 6)))
    assert str(error.value) == (
        'LSTM "l": expected mask (batch, time) = (12, 6) of bool, got (12, 6) of float64. '
        "Use mask.astype(bool), True = keep."
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"validation_freq": 0}, "fit: validation_freq: expected a whole number of at least 1, got 0."),
        ({"validation_freq": "a"}, "fit: validation_freq: expected a whole number of at least 1, got 'a'."),
        ({"validation_batch_size": 0}, "fit: validation_batch_size: expected a whole number of at least 1, got 0."),
        ({"validation_batch_size": "a", "validation_steps": 1},
         "fit: validation_batch_size: expected a whole number of at least 1, got 'a'."),
        ({"validation_data": (IDS, Y[:3])},
         "expected validation_data x and validation_data y with the same number of samples, got 12 in "
         "validation_data x (12, 6) and 3 in validation_data y (3,)."),
    ],
)  # fmt: skip
def test_validation_that_cannot_be(arguments, text):
    with pytest.raises((ValueError, TypeError)) as error:
        text_model().fit(IDS, Y, **{"validation_data": (IDS, Y), "verbose": 0} | arguments)
    assert str(error.value) == text


# ---- training


def test_a_model_without_anything_to_learn_is_fitted_and_stays_the_same():
    model = text_model()
    model.trainable = False
    before = model.get_weights()
    history = model.fit(IDS, Y, epochs=2, verbose=0)
    assert history.history["loss"][0] == pytest.approx(history.history["loss"][1])
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_loss_that_overflows_is_reported_without_warnings():
    model = Sequential([Input((6, 3)), LSTM(3), Dense(1)])
    model.compile(optimizers.SGD(1e30), "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"fit: the loss became inf in epoch 1, batch 2 of 3\. First bad tensor: "):
            model.fit(X, Y * 100.0, epochs=5, batch_size=4, verbose=0)


def test_stateful_layers_carry_their_states_through_predict_and_evaluate():
    model = stateful_model()
    whole = model.predict(X[:4], batch_size=4)
    model.reset_states()
    carried = model.predict(np.concatenate([X[:4], X[:4]]), batch_size=4)
    np.testing.assert_array_equal(carried[:4], whole)
    assert np.abs(carried[4:] - whole).max() > 1e-4
    model.reset_states()
    twice, labels = np.concatenate([X[:4], X[:4]]), np.arange(8) % 2
    loss = model.evaluate(twice, labels, batch_size=4, verbose=0)
    assert loss == pytest.approx(float(np.mean((carried[:, 0] - labels) ** 2)), rel=1e-6)


@pytest.mark.parametrize("schedule", [lambda epoch: 0.5 / (epoch + 1), lambda epoch, rate: 0.5 / (epoch + 1)])
def test_a_schedule_takes_the_epoch_or_the_rate_too(schedule):
    history = text_model().fit(IDS, Y, epochs=2, verbose=0, callbacks=[callbacks.LearningRateScheduler(schedule)])
    assert history.history["learning_rate"] == [0.5, 0.25]


def test_validation_at_named_epochs():
    history = text_model().fit(IDS, Y, epochs=4, validation_data=(IDS, Y), validation_freq=[1, 4], verbose=0)
    assert len(history.history["val_loss"]) == 2


# ---- files and what is printed


def test_load_model_without_compile(tmp_path):
    model = text_model()
    model.save(tmp_path / "model")
    loaded = models.load_model(tmp_path / "model", compile=False)
    assert not loaded.compiled
    np.testing.assert_array_equal(loaded.predict(IDS), model.predict(IDS))


def test_saving_where_there_is_no_folder_or_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError) as missing:
        text_model().save(tmp_path / "no" / "model")
    assert str(missing.value) == f'There is no folder "{tmp_path / "no"}". Make it first.'
    with pytest.raises(IsADirectoryError) as folder:
        text_model().save(tmp_path)
    assert str(folder.value) == (
        f'"{tmp_path}" is a folder. Give the name of a file, for example "{tmp_path / "model"}".'
    )
    with pytest.raises(FileFormatError, match=r"is a folder, not a file that model\.save wrote"):
        models.load_model(tmp_path)


def test_reprs_say_what_things_are():
    model = text_model(optimizer="sgd")
    assert repr(model.optimizer) == (
        "SGD(name='sgd', learning_rate=0.01, weight_decay=None, clipnorm=None, clipvalue=None, global_clipnorm=None, "
        "use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None, momentum=0.0, nesterov=False)"
    )
    assert repr(model.loss) == (
        "BinaryCrossentropy(name='binary_crossentropy', reduction='sum_over_batch_size', from_logits=False, "
        "label_smoothing=0.0)"
    )
    assert repr(model.fit(IDS, Y, epochs=2, verbose=0)) == "<History, epochs=2: loss, acc>"


def test_a_warning_points_at_the_line_of_the_user():
    with pytest.warns(UserWarning, match="EarlyStopping: no 'val_loss' in the logs") as caught:
        text_model().fit(IDS, Y, verbose=0, callbacks=[callbacks.EarlyStopping()])
    assert caught[0].filename == __file__
