"""fit, evaluate and predict on rows of unequal length, on generators, and on batches larger than memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from unrolled import engine, layers, models, utils
from unrolled.preprocessing.sequence import pad_sequences

pytestmark = pytest.mark.filterwarnings("ignore::unrolled.errors.PaddingWarning")  # batches padded behind, on purpose


def ids_model(sequences: bool = False, mask_zero: bool = False, name: str = "ids") -> models.Sequential:
    model = models.Sequential(
        [
            layers.Embedding(12, 4, mask_zero=mask_zero),
            layers.Bidirectional(layers.GRU(5, return_sequences=True)),
            layers.LSTM(3, return_sequences=sequences),
            layers.Dense(1, "sigmoid"),
        ],
        name=name,
    )
    rng = np.random.default_rng(2)
    model.set_weights([rng.normal(scale=0.5, size=w.shape) for w in model.get_weights()])
    model.random = np.random.default_rng(1)
    model.compile("adam", "binary_crossentropy", metrics=["acc"])
    return model


@pytest.fixture
def ragged(rng: np.random.Generator) -> tuple[list[list[int]], np.ndarray]:
    rows = [rng.integers(1, 12, n).tolist() for n in rng.integers(1, 9, 50)]
    return rows, rng.integers(0, 2, 50)


# ---- rows of unequal length ----


def test_lists_train_as_padded_and_masked_arrays_do(ragged: Any) -> None:
    rows, y = ragged
    padded = pad_sequences(rows, padding="post")
    lists, arrays = ids_model(), ids_model(mask_zero=True)
    found = lists.fit(rows, y, batch_size=16, epochs=2, verbose=0, validation_split=0.2).history
    expected = arrays.fit(padded, y, batch_size=16, epochs=2, verbose=0, validation_split=0.2).history
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-6)
    assert_array_equal(lists.predict(rows), arrays.predict(padded))
    assert lists.evaluate(rows, y, verbose=0) == pytest.approx(arrays.evaluate(padded, y, verbose=0), rel=1e-6)
    assert_array_equal(lists.predict_on_batch(rows[:5]), lists.predict(rows[:5]))
    assert_array_equal(lists(rows[:5]), lists.predict(rows[:5]))


def test_a_row_is_what_it_is_alone_and_a_real_zero_runs(ragged: Any) -> None:
    """Padding is told from the rows' lengths, so the id 0 may be a word."""
    rows, _ = ragged
    rows[3] = [0, 5, 0]
    model = ids_model()
    together = model.predict(rows)
    for number in (0, 3, 7):
        assert_array_equal(together[number : number + 1], model.predict(np.array([rows[number]])))
    with engine.count_row_steps() as count:
        model.predict(rows)
    assert count.total == 3 * sum(map(len, rows))


def test_outputs_and_labels_of_each_step(rng: np.random.Generator) -> None:
    x = [rng.normal(size=(n, 3)) for n in (4, 1, 6, 2)]
    y = [rng.integers(0, 2, len(row)).tolist() for row in x]
    model = models.Sequential([layers.LSTM(4, return_sequences=True), layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    model.fit(x, y, epochs=1, batch_size=2, verbose=0)
    outputs = model.predict(x)
    assert [row.shape for row in outputs] == [(4, 1), (1, 1), (6, 1), (2, 1)]
    for row, found in zip(x, outputs, strict=True):
        assert_array_equal(model.predict(row[None])[0], found)
    flat, labels = np.concatenate(outputs)[:, 0].astype(float), np.concatenate(y)
    expected = -np.log(np.where(labels == 1, flat, 1 - flat)).mean()
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_empty_rows_and_object_arrays(ragged: Any) -> None:
    rows, y = ragged
    rows[1] = []
    model = ids_model()
    model.fit(np.array([np.array(row) for row in rows], object), y, verbose=0)
    assert np.isfinite(model.predict(rows)).all()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[1, 2], [3, 99, 4]], 'x[1]: Embedding "e": id 99 in row 0, step 1 is outside 0 to 11'),
        ([[1, 2], [3, "a", 4]], "x: expected rows of numbers, one list or array (steps,) or (steps, features)"),
        ([[1, 2], np.ones((3, 2))], "x: expected rows of one kind, the first has shape (2,), row 1 (3, 2)."),
    ],
)
def test_a_row_that_does_not_fit_is_named(x: Any, message: str) -> None:
    model = models.Sequential([layers.Embedding(12, 2, name="e"), layers.SimpleRNN(2)])
    with pytest.raises((ValueError, TypeError)) as caught:
        model.predict(x)
    assert message in str(caught.value)


def test_unequal_rows_without_time_are_refused() -> None:
    model = models.Sequential([layers.Dense(2)])
    with pytest.raises(TypeError, match=r"rows of different lengths or objects\. Use pad_sequences"):
        model.predict([[1.0, 2.0], [3.0]])


def test_a_mask_given_to_a_model() -> None:
    rows = [[3, 4, 5], [6], [7, 8]]
    model = ids_model()
    padded = pad_sequences(rows, padding="post")
    assert_array_equal(model(padded, mask=padded != 0), model.predict(rows))
    with pytest.raises(ValueError, match=r"expected mask"):
        models.Sequential([layers.LSTM(2)])(np.ones((2, 3, 1)), mask=np.ones((2, 2), bool))


# ---- streams ----


def parts(rows: Any, y: np.ndarray, size: int = 16) -> list[tuple[Any, np.ndarray]]:
    padded = pad_sequences(rows, padding="post")
    return [(padded[i : i + size], y[i : i + size]) for i in range(0, len(y), size)]


def endless(batches: list[Any]) -> Any:
    while True:
        yield from batches


class Numbered(utils.PyDataset):
    def __init__(self, batches: list[Any]) -> None:
        self.batches, self.read, self.ends = batches, [], 0

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Any:
        self.read.append(index)
        return self.batches[index]

    def on_epoch_end(self) -> None:
        self.ends += 1


class Iterable:
    def __init__(self, batches: list[Any]) -> None:
        self.batches = batches

    def __iter__(self) -> Any:
        return iter(self.batches)


def test_every_kind_of_stream_trains_as_the_arrays_do(ragged: Any) -> None:
    rows, y = ragged
    batches = parts(rows, y)
    whole = ids_model(mask_zero=True)
    padded = pad_sequences(rows, padding="post")
    expected = whole.fit(padded, y, batch_size=16, epochs=3, shuffle=False, verbose=0, validation_data=(padded, y))
    for make, steps in (
        (lambda: endless(batches), len(batches)), (lambda: Iterable(batches), None), (lambda: Numbered(batches), None),
        (lambda: Iterable(batches), len(batches)), (lambda: (b for _ in range(3) for b in batches), len(batches)),
    ):  # fmt: skip
        model = ids_model(mask_zero=True)
        history = model.fit(
            make(), epochs=3, steps_per_epoch=steps, shuffle=False, verbose=0,
            validation_data=make(), validation_steps=steps,
        )  # fmt: skip
        for one, other in zip(model.get_weights(), whole.get_weights(), strict=True):
            assert_array_equal(one, other)
        assert history.history["loss"] == expected.history["loss"]
        assert history.history["val_loss"] == pytest.approx(expected.history["val_loss"], rel=1e-6)
    assert whole.evaluate(Iterable(batches), verbose=0) == pytest.approx(whole.evaluate(padded, y, verbose=0), rel=1e-6)
    assert_allclose(whole.predict(Iterable(batches)), whole.predict(padded), rtol=0, atol=1e-7)
    assert whole.predict(endless(batches), steps=2).shape == (32, 1)


def test_numbered_batches_come_in_a_new_order_each_epoch(ragged: Any) -> None:
    data = Numbered(parts(*ragged, size=5))
    ids_model().fit(data, epochs=2, verbose=0)
    assert sorted(data.read[:10]) == sorted(data.read[10:]) == list(range(10))
    assert data.read[:10] != data.read[10:] and data.ends == 2


def test_batches_of_other_shapes_lists_and_weights(ragged: Any) -> None:
    rows, y = ragged
    batches = [(rows[:20], y[:20], np.linspace(0, 1, 20)), (pad_sequences(rows[20:], 7), y[20:])]
    history = ids_model().fit(iter(batches), verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_a_generator_that_ends_early_stops_training_with_a_warning(ragged: Any) -> None:
    batches = parts(*ragged)
    model = ids_model()
    with pytest.warns(UserWarning, match=r"fit: x yielded no more batches before epoch 2 of 3; training stops here"):
        assert len(model.fit(iter(batches), epochs=3, verbose=0).epoch) == 1
    with pytest.warns(UserWarning, match=r"no more batches in epoch 2 of 3, after batch 1; training stops here"):
        assert len(model.fit(iter(batches), epochs=3, steps_per_epoch=3, verbose=0).epoch) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, b: m.fit(iter([]), verbose=0), "fit: x yielded no batch."),
        (lambda m, b: m.evaluate(iter([]), verbose=0), "evaluate: x: yielded no batch."),
        (lambda m, b: m.predict(iter([])), "predict: x yielded no batch."),
        (lambda m, b: m.fit(iter([b[0], (1, 2, 3, 4)]), verbose=0),
         "fit: expected batches (x, y) or (x, y, sample_weight), got a tuple of 4 as batch 2."),
        (lambda m, b: m.fit(iter(b), b, verbose=0), "fit: x yields batches, so y must be left out. Yield (x, y)."),
        (lambda m, b: m.fit(iter(b), batch_size=8, verbose=0), "x yields batches, so batch_size must be left out."),
        (lambda m, b: m.fit(iter(b), validation_split=0.1, verbose=0), "Pass validation_data."),
        (lambda m, b: m.fit(*b[0], epochs=2, validation_data=iter(b), verbose=0),
         "fit: validation_data: yielded no batch. A generator can be read once"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(call: Any, message: str, ragged: Any) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        call(ids_model(), parts(*ragged))
    assert message in str(caught.value)


def test_only_one_batch_is_held() -> None:
    import tracemalloc

    def large() -> Any:
        for _ in range(30):
            yield np.ones((64, 50, 40), np.float32), np.zeros(64)

    model = models.Sequential([layers.SimpleRNN(2), layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    model.train_on_batch(*next(large()))
    tracemalloc.start()
    model.fit(large(), verbose=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 64 * 50 * 40 * 4  # 30 batches would be 30 times one
