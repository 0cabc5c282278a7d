"""pad_sequences and to_categorical: Keras' results, and errors that say what to do."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import unrolled.preprocessing.sequence
import unrolled.utils
import unrolled.utils.data_utils
from unrolled.errors import ShapeError
from unrolled.preprocessing import sequence
from unrolled.utils import pad_sequences, to_categorical

RAGGED = [[1], [2, 3], [4, 5, 6], []]


def test_every_import_path_of_the_chapter_is_one_function() -> None:
    assert sequence.pad_sequences is unrolled.utils.data_utils.pad_sequences is unrolled.utils.pad_sequences
    assert callable(unrolled.utils.set_random_seed)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [[0, 0, 1], [0, 2, 3], [4, 5, 6], [0, 0, 0]]),
        ({"padding": "post"}, [[1, 0, 0], [2, 3, 0], [4, 5, 6], [0, 0, 0]]),
        ({"value": -1}, [[-1, -1, 1], [-1, 2, 3], [4, 5, 6], [-1, -1, -1]]),
        ({"maxlen": 2}, [[0, 1], [2, 3], [5, 6], [0, 0]]),
        ({"maxlen": 2, "truncating": "post", "padding": "post"}, [[1, 0], [2, 3], [4, 5], [0, 0]]),
        ({"maxlen": 1, "truncating": "post"}, [[1], [2], [4], [0]]),
        ({"maxlen": 5, "padding": "post"}, [[1] + [0] * 4, [2, 3, 0, 0, 0], [4, 5, 6, 0, 0], [0] * 5]),
    ],
)
def test_pad_sequences(arguments: dict[str, Any], expected: list[list[int]]) -> None:
    for given in (RAGGED, tuple(RAGGED), np.array(RAGGED, dtype=object), [np.array(s) for s in RAGGED]):
        padded = pad_sequences(given, **arguments)
        assert_array_equal(padded, expected)
        assert padded.dtype == np.int32


def test_pad_sequences_float_types_text_and_steps_with_features() -> None:
    assert_array_equal(pad_sequences([[0.5], [1.5, 2.5]], dtype="float32"), np.float32([[0, 0.5], [1.5, 2.5]]))
    assert_array_equal(pad_sequences([[0.5], [1.5, -2.5]]), [[0, 0], [1, -2]])  # whole numbers: decimals are cut
    words = pad_sequences([["a"], ["b", "c"]], dtype=object, value="<pad>")
    assert words.tolist() == [["<pad>", "a"], ["b", "c"]]
    steps = pad_sequences([np.ones((1, 2)), np.full((3, 2), 2.0)], maxlen=2, dtype="float64", padding="post")
    assert_array_equal(steps, [[[1, 1], [0, 0]], [[2, 2], [2, 2]]])


def test_pad_sequences_of_nothing() -> None:
    assert pad_sequences([], maxlen=4).shape == (0, 4)
    assert pad_sequences([[], []]).shape == (2, 0)


@pytest.mark.parametrize(
    ("given", "arguments", "text"),
    [
        (RAGGED, {"padding": "left"}, 'pad_sequences: expected padding "pre" or "post", got \'left\'.'),
        (RAGGED, {"truncating": None}, 'pad_sequences: expected truncating "pre" or "post", got None.'),
        (
            RAGGED,
            {"maxlen": 0},
            "pad_sequences: expected maxlen to be an integer of at least 1, or None, got 0.",
        ),
        (
            RAGGED,
            {"maxlen": 2.5},
            "pad_sequences: expected maxlen to be an integer of at least 1, or None, got 2.5.",
        ),
        (
            RAGGED,
            {"value": "x"},
            "pad_sequences: value 'x' does not fit dtype int32. For text use dtype=object.",
        ),
        ([], {}, "pad_sequences: got no sequences, so the longest length is unknown. Give maxlen."),
        (
            (s for s in RAGGED),
            {},
            "pad_sequences: expected a list of sequences, got generator. Put a generator into a list first.",
        ),
        (
            [1, 2],
            {},
            "pad_sequences: expected a list of sequences, got 1 as sequences[0]. "
            "Put a single sequence into a list: [sequence].",
        ),
        (
            [[1], "this is"],
            {},
            "pad_sequences: expected sequences of numbers or of words, got the text 'this is' as sequences[1]. "
            "Turn texts into ids first.",
        ),
        (
            [[1], ["is"]],
            {},
            "pad_sequences: sequences[1] does not fit dtype int32: invalid literal for int() with base 10: 'is'. "
            "Turn words into ids first, or choose another dtype.",
        ),
    ],
)
def test_pad_sequences_errors(given: Any, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        pad_sequences(given, **arguments)
    assert str(caught.value) == text


def test_pad_sequences_wants_steps_of_one_shape() -> None:
    with pytest.raises(ShapeError) as caught:
        pad_sequences([np.ones((2, 3)), np.ones((2, 4))])
    assert str(caught.value) == (
        "pad_sequences: expected every step to have the shape (3,) of the first one, got (4,) in sequences[1]."
    )


@pytest.mark.timed
def test_pad_sequences_pads_a_data_set_in_a_second(rng: np.random.Generator) -> None:
    reviews = [list(range(n)) for n in rng.integers(11, 480, size=25_000)]
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        padded = pad_sequences(reviews, maxlen=500)
        seconds.append(time.perf_counter() - start)
    assert padded.shape == (25_000, 500)
    assert min(seconds) < 1  # 0.3 s measured; three tries because a machine may be busy


def test_to_categorical() -> None:
    one_hot = to_categorical([0, 2, 1])
    assert_array_equal(one_hot, [[1, 0, 0], [0, 0, 1], [0, 1, 0]])
    assert one_hot.dtype == np.float64
    assert_array_equal(to_categorical([2, 4], num_classes=5), [[0, 0, 1, 0, 0], [0, 0, 0, 0, 1]])
    assert_array_equal(to_categorical([[1], [0]]), [[0, 1], [1, 0]])  # a last axis of 1 is dropped
    assert to_categorical(np.zeros((2, 3), int), 4).shape == (2, 3, 4)
    assert_array_equal(to_categorical([1.0, 0.0]), [[0, 1], [1, 0]])
    assert to_categorical([], 3).shape == (0, 3)
    assert_array_equal(to_categorical(1, 3), [0, 1, 0])


@pytest.mark.parametrize(
    ("labels", "classes", "text"),
    [
        (
            [0, 3],
            3,
            "to_categorical: expected labels from 0 to 2, got 3. num_classes is the largest label plus one.",
        ),
        (
            [0, -1],
            None,
            "to_categorical: expected labels from 0 to 0, got -1. num_classes is the largest label plus one.",
        ),
        ([], None, "to_categorical: got no labels, so the number of classes is unknown. Give num_classes."),
        (
            [0.5, 1],
            None,
            "to_categorical: expected whole numbers as labels, got 0.5. Number the classes from 0 first.",
        ),
        (
            ["good", "bad"],
            None,
            "to_categorical: expected whole numbers as labels, got 'good'. Number the classes from 0 first.",
        ),
    ],
)
def test_to_categorical_errors(labels: Any, classes: int | None, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        to_categorical(labels, classes)
    assert str(caught.value) == text
