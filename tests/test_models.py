"""Sequential: building, summaries, weights, gradients through a stack, and what it says about mistakes."""

from __future__ import annotations

import copy
import pickle
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import unrolled
from differences import assert_close, differences
from unrolled import backend, layers, models
from unrolled.batch import Sequence
from unrolled.errors import NotBuiltError, PaddingWarning, ShapeError, UnknownAxisError
from unrolled.parameters import Gradients, Mode


@pytest.fixture(autouse=True)
def fresh_names() -> Iterator[None]:
    backend.clear_session()
    yield


CHAPTER = """\
Model: "sequential"
_________________________________________________________________
Layer (type)                 Output Shape              Param #   
=================================================================
embedding (Embedding)        (None, None, 32)          320000    
_________________________________________________________________
simple_rnn (SimpleRNN)       (None, None, 32)          2080      
_________________________________________________________________
simple_rnn_1 (SimpleRNN)     (None, None, 32)          2080      
_________________________________________________________________
simple_rnn_2 (SimpleRNN)     (None, None, 32)          2080      
_________________________________________________________________
simple_rnn_3 (SimpleRNN)     (None, 32)                2080      
=================================================================
Total params: 328,320
Trainable params: 328,320
Non-trainable params: 0
_________________________________________________________________
"""  # noqa: W291  columns are padded


def test_the_chapters_summary_before_any_data(capsys: pytest.CaptureFixture[str]) -> None:
    model = models.Sequential()
    model.add(layers.Embedding(10000, 32))
    for _ in range(3):
        model.add(layers.SimpleRNN(32, return_sequences=True))
    model.add(layers.SimpleRNN(32))
    assert model.summary() is None
    assert capsys.readouterr().out == CHAPTER
    assert model.count_params() == 328320


def lines(model: models.Sequential, **kwargs: Any) -> list[str]:
    found: list[str] = []
    model.summary(print_fn=found.append, **kwargs)
    return found


def test_summary_of_frozen_unbuilt_and_long_names() -> None:
    model = models.Sequential(
        [layers.Embedding(10, 4, input_length=20, trainable=False), layers.LSTM(3, name="x" * 40), layers.Dense(1)]
    )
    shown = lines(model, line_length=90)
    assert {len(line) for line in shown[1:-4]} == {90}
    assert "embedding (Embedding)" in shown[4] and "(None, 20, 4)" in shown[4]
    assert shown[6].startswith("x" * 40 + " (LSTM) ")
    assert shown[-4:-1] == ["Total params: 140", "Trainable params: 100", "Non-trainable params: 40"]
    unbuilt = lines(models.Sequential([layers.GRU(4), layers.Dense(2)]))
    assert unbuilt[4].split() == ["gru", "(GRU)", "?", "?"]
    assert unbuilt[-5:] == [
        "Total params: ?",
        "Trainable params: ?",
        "Non-trainable params: ?",
        "_" * 65,
        "Not built yet (?): give the first layer an input_shape, call build(input_shape), or fit.",
    ]


@pytest.mark.parametrize(
    ("first", "input_shape"),
    [
        (lambda: layers.SimpleRNN(1, input_shape=(2, 1)), (None, 2, 1)),
        (lambda: layers.LSTM(1, batch_input_shape=(8, None, 3)), (8, None, 3)),
        (lambda: layers.GRU(1, input_dim=3, input_length=5), (None, 5, 3)),
        (lambda: layers.Bidirectional(layers.GRU(1, input_shape=(None, 3))), (None, None, 3)),
        (lambda: layers.TimeDistributed(layers.Dense(1), input_shape=(4, 3)), (None, 4, 3)),
        (lambda: layers.Dense(1, input_dim=7), (None, 7)),
        (lambda: layers.Embedding(5, 2, input_length=6), (None, 6)),
    ],
)
def test_a_declared_shape_builds_at_once(first: Any, input_shape: Any) -> None:
    model = models.Sequential([first()])
    assert model.built and model.input_shape == input_shape
    assert models.Sequential([layers.Input(input_shape[1:]), first()]).built


def test_input_goes_first_and_is_not_listed() -> None:
    model = models.Sequential([layers.Input(shape=(None, 8)), layers.LSTM(3)])
    assert [layer.name for layer in model.layers] == ["lstm"]
    assert model.input_shape == (None, None, 8) and model.output_shape == (None, 3)
    with pytest.raises(ValueError, match=r'expected Input as the first entry, got it after LSTM "lstm"'):
        model.add(layers.Input(shape=(3,)))


def test_data_build_what_no_shape_told() -> None:
    model = models.Sequential([layers.GRU(4, return_sequences=True), layers.Dense(2)])
    assert not model.built and model.weights == []
    with pytest.raises(NotBuiltError, match="set_weights needs weights"):
        model.set_weights([])
    assert model.predict(np.ones((3, 5, 2))).shape == (3, 5, 2)
    assert model.built and model.output_shape == (None, None, 2)
    assert model.predict(np.ones((3, 6, 2))).shape == (3, 6, 2)  # the number of steps stays open


def test_flatten_waits_for_the_number_of_steps() -> None:
    model = models.Sequential([layers.Embedding(9, 4), layers.Flatten(), layers.Dense(1)])
    assert not model.built and model.layers[0].built
    assert model.predict(np.ones((2, 5), int)).shape == (2, 1)
    assert [p.shape for p in model.weights] == [(9, 4), (20, 1), (1,)]
    with pytest.raises(UnknownAxisError, match='Dense "dense_1": the size of the last axis is not known'):
        models.Sequential([layers.Embedding(9, 4), layers.Flatten(), layers.Dense(1)]).build((None, None))


def test_add_pop_and_get_layer() -> None:
    model = models.Sequential([layers.Embedding(9, 4), layers.LSTM(3), layers.Dense(2)])
    assert model.pop().name == "dense" and model.output_shape == (None, 3)
    model.add(layers.Dense(5))
    assert model.output_shape == (None, 5) and model.get_layer("lstm") is model.layers[1]
    assert model.get_layer(index=-1) is model.layers[-1]
    with pytest.raises(ValueError, match=r"there is no layer 'gru'\. Layers: embedding, lstm, dense_1."):
        model.get_layer("gru")
    with pytest.raises(
        ShapeError, match=r'GRU "gru" needs sequences \(batch, time, features\), and Dense "dense_1" gives \(None, 5\)'
    ):
        model.add(layers.GRU(2))
    for several in (layers.LSTM(2, return_state=True), layers.Bidirectional(layers.GRU(2), merge_mode=None)):
        with pytest.raises(
            ValueError, match=r"returns \d outputs, and a Sequential passes on one\. Use return_state=False"
        ):
            models.Sequential([layers.Embedding(9, 4), several])
    assert len(model.layers) == 3  # the layer that does not fit is not kept
    with pytest.raises(ValueError, match='expected layers of different names, got "lstm" twice'):
        model.add(layers.LSTM(2, name="lstm"))
    with pytest.raises(TypeError, match=r"expected a layer, got <class .*LSTM'>. Write LSTM\(...\)."):
        model.add(layers.LSTM)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"expected a list of layers, got one layer. Write Sequential\(\[dense_2\]\)"):
        models.Sequential(layers.Dense(1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no layers to take away"):
        models.Sequential().pop()
    with pytest.raises(NotBuiltError, match=r"has no layers\. Add some"):
        models.Sequential().predict(np.ones((2, 2)))


def test_names_paths_and_order_of_weights() -> None:
    model = models.Sequential(
        [layers.Embedding(9, 4), layers.Bidirectional(layers.GRU(3)), layers.Dense(2), layers.Dense(2, name="head")]
    )
    assert [p.path for p in model.weights] == [
        "embedding/embeddings",
        "bidirectional/forward_gru/kernel",
        "bidirectional/forward_gru/recurrent_kernel",
        "bidirectional/forward_gru/bias",
        "bidirectional/backward_gru/kernel",
        "bidirectional/backward_gru/recurrent_kernel",
        "bidirectional/backward_gru/bias",
        "dense/kernel",
        "dense/bias",
        "head/kernel",
        "head/bias",
    ]
    weights = [w + 1 for w in model.get_weights()]
    model.set_weights(weights)
    assert all((a == b).all() for a, b in zip(model.get_weights(), weights, strict=True))
    model.get_weights()[0][:] = 0  # copies
    assert (model.weights[0].value == weights[0]).all()


def test_set_weights_writes_all_or_nothing() -> None:
    model = models.Sequential([layers.Dense(2, input_shape=(3,))])
    before = model.get_weights()
    with pytest.raises(ShapeError) as caught:
        model.set_weights([np.ones((3, 2)), np.ones(3)])
    assert str(caught.value) == (
        'Sequential "sequential": expected 2 arrays:\n  dense/kernel (3, 2)\n  dense/bias (2,)\ngot 2: (3, 2), (3,).'
    )
    with pytest.raises(TypeError, match='"dense/bias": expected numbers, got an array of <U1'):
        model.set_weights([np.ones((3, 2)), np.array(["a", "b"])])
    assert all((a == b).all() for a, b in zip(model.get_weights(), before, strict=True))


def test_clear_session_starts_names_afresh() -> None:
    assert [layers.LSTM(1).name, layers.LSTM(1).name, layers.SimpleRNN(1).name] == ["lstm", "lstm_1", "simple_rnn"]
    assert layers.GlobalMaxPooling1D().name == "global_max_pooling1d"
    backend.clear_session()
    assert layers.LSTM(1).name == "lstm" and models.Sequential().name == "sequential"


def stack(dtype: str = "float64") -> models.Sequential:
    return models.Sequential(
        [
            layers.Embedding(8, 3, dtype=dtype),
            layers.Dense(3, "tanh", dtype=dtype),
            layers.Bidirectional(layers.LSTM(2, return_sequences=True, dtype=dtype)),
            layers.GRU(3, dtype=dtype),
            layers.Dense(2, "softmax", dtype=dtype),
        ]
    )


@pytest.mark.filterwarnings("ignore::unrolled.errors.PaddingWarning")
@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("frozen", [None, 0, 2])
def test_gradients_through_a_stack(logits: bool, frozen: int | None, rng: np.random.Generator) -> None:
    model = stack()
    if frozen is not None:
        for layer in model.layers[: frozen + 1]:
            layer.trainable = False
    ids = np.array([[0, 0, 5, 1, 2], [0, 3, 3, 1, 0], [7, 1, 2, 5, 4]])
    for parameter in model.weights:
        parameter.assign(rng.normal(scale=0.6, size=parameter.shape))
    weight = rng.normal(size=(3, 2))

    def total() -> float:
        return float((model.forward(ids, Mode(), logits)[0] * weight).sum())

    gradients = Gradients()
    _, backprop = model.forward(ids, Mode(keep=True, input_gradient=False), logits)
    backprop(weight, gradients)
    assert {id(p) for p, _ in gradients} == {id(p) for p in model.trainable_weights}
    for parameter in model.trainable_weights:
        expected = differences(total, parameter.value)
        assert_close(gradients.dense(parameter), expected, parameter.path)


@pytest.mark.parametrize("zeros", [0, 2])
def test_gradient_of_dense_input(zeros: int, rng: np.random.Generator) -> None:
    model = models.Sequential([layers.LSTM(3, dtype="float64"), layers.Dense(2, dtype="float64")])
    x = rng.normal(size=(4, 5, 2))
    x[:, :zeros] = 0  # a prefix that the engine shares
    model.build_from_data(x)
    weight = rng.normal(size=(4, 2))

    def total() -> float:
        return float((model.forward(x, Mode())[0] * weight).sum())

    _, backprop = model.forward(x, Mode(keep=True))
    assert_close(backprop(weight, Gradients()), differences(total, x), "x")


def test_mixed_float_types_train(rng: np.random.Generator) -> None:
    model = models.Sequential(
        [layers.LSTM(3, dtype="float64"), layers.Dense(4, dtype="float32"), layers.Dense(1, dtype="float64")]
    )
    model.compile("sgd", "mse")
    x, y = rng.normal(size=(8, 5, 2)), rng.normal(size=(8, 1))
    first = model.train_on_batch(x, y)
    assert model.train_on_batch(x, y) < first
    assert [p.dtype.name for p in model.weights] == ["float64"] * 3 + ["float32"] * 2 + ["float64"] * 2


def test_frozen_layers_keep_their_weights(rng: np.random.Generator) -> None:
    model = models.Sequential([layers.Embedding(9, 4, trainable=False), layers.LSTM(3), layers.Dense(1)])
    model.layers[1].trainable = False
    model.compile("adam", "mse")
    before = model.get_weights()
    model.fit(rng.integers(1, 9, (16, 5)), rng.normal(size=16), verbose=0)
    same = [bool((a == b).all()) for a, b in zip(model.get_weights(), before, strict=True)]
    assert same == [True] * 4 + [False] * 2
    assert model.trainable
    model.trainable = False
    assert model.trainable_weights == [] and len(model.non_trainable_weights) == 6 and not model.trainable


def test_masks_reach_the_output(rng: np.random.Generator) -> None:
    model = models.Sequential(
        [
            layers.Embedding(9, 4, mask_zero=True),
            layers.SpatialDropout1D(0.3),
            layers.LSTM(3, return_sequences=True),
            layers.Dropout(0.3),
            layers.TimeDistributed(layers.Dense(2, "softmax")),
        ]
    )
    ids = np.array([[0, 3, 0, 2], [1, 2, 3, 4]])
    y, _ = model.forward(ids, Mode(training=True, keep=True, random=rng))
    assert isinstance(y, Sequence) and (y.mask == (ids != 0)).all()
    assert model.logits_activation == "softmax"


# ---- unmasked padding behind an Embedding

POST = np.array([[1, 2, 0, 0], [3, 4, 5, 0]])
PRE = np.array([[0, 0, 1, 2], [0, 0, 0, 0]])


def warned(model: models.Sequential, *batches: np.ndarray) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for batch in batches:
            model.predict(batch)
    return [w for w in caught if w.category is PaddingWarning]


def test_trailing_zeros_warn_once_and_name_the_remedy() -> None:
    model = models.Sequential([layers.Embedding(9, 4), layers.Dropout(0.1), layers.LSTM(3, name="reader")])
    found = warned(model, POST, POST)
    assert [str(w.message) for w in found] == [
        '2 of 2 rows end in zeros, and LSTM "reader" runs on through them: its last state has to survive the padding. '
        "Use pad_sequences(..., padding='pre'), or Embedding(..., mask_zero=True)."
    ]
    assert found[0].filename == __file__  # the user's line, not ours


@pytest.mark.parametrize(
    "stack",
    [
        lambda: [layers.Embedding(9, 4, mask_zero=True), layers.LSTM(3)],
        lambda: [layers.Embedding(9, 4), layers.LSTM(3, go_backwards=True)],
        lambda: [layers.Embedding(9, 4), layers.LSTM(3, return_sequences=True), layers.Dense(2)],
        lambda: [layers.Embedding(9, 4), layers.GlobalMaxPooling1D()],
    ],
)
def test_no_warning_where_padding_does_no_harm(stack: Any) -> None:
    assert warned(models.Sequential(stack()), POST) == []


def test_no_warning_for_padding_in_front() -> None:
    assert warned(models.Sequential([layers.Embedding(9, 4), layers.LSTM(3)]), PRE) == []


# ---- copies, threads, the global names


def test_deepcopy_and_pickle_continue_alike(rng: np.random.Generator) -> None:
    model = models.Sequential([layers.Embedding(9, 4), layers.Dropout(0.3), layers.GRU(3), layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["acc"])
    x, y = rng.integers(1, 9, (40, 6)), rng.integers(0, 2, 40)
    model.fit(x, y, verbose=0)
    copies = [model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    histories = [m.fit(x, y, epochs=2, verbose=0).history for m in copies]
    assert histories[0] == histories[1] == histories[2]
    for other in copies[1:]:
        assert all((a == b).all() for a, b in zip(model.get_weights(), other.get_weights(), strict=True))
    copies[1].layers[0].weights[0].value[:] = 0
    assert model.layers[0].weights[0].value.any()


def test_two_threads_predict_with_one_model(rng: np.random.Generator) -> None:
    model = stack("float32")
    batches = [rng.integers(1, 8, (20, 9)) for _ in range(2)]
    expected = [model.predict(x) for x in batches]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(30):
            if not (model.predict(batches[i]) == expected[i]).all():
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_calling_a_model_switches_dropout() -> None:
    unrolled.set_random_seed(3)
    model = models.Sequential([layers.Dropout(0.5)])
    x = np.ones((4, 50), np.float32)
    assert (model(x) == x).all()
    dropped = model(x, training=True)
    assert set(np.unique(dropped)) == {0.0, 2.0} and 60 < (dropped == 0).sum() < 140


def test_pretrained_embeddings_stay_if_frozen() -> None:
    matrix = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    layer = layers.Embedding(9, 4, weights=[matrix], trainable=False)
    assert (layer.get_weights()[0] == matrix).all()
    model = models.Sequential([layer, layers.GlobalAveragePooling1D()])
    assert np.allclose(model(np.array([[2.0, 3.0]])), matrix[2:4].mean(axis=0))  # ids as floats
