"""Words that stand at many places of a batch: blocks of rows add up their gradients on the way back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cases import CELLS, level, random_case, run_reference, threads
from unrolled import _native
from unrolled.batch import Sequence, leading
from unrolled.parameters import Gradients, Mode

WORDS, SHAPE = 40, (40, 30, 4, 9)


@pytest.fixture
def frequent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many words each way back took as frequent."""
    seen: list[int] = []
    original = _native.project_backward

    def spy(*arguments: Any) -> Any:
        seen.append(len(arguments[8]))
        return original(*arguments)

    monkeypatch.setattr(_native, "project_backward", spy)
    return seen


def words_case(cell: str, rng: np.random.Generator, *, lead: bool, masked: bool, go_backwards: bool) -> Any:
    """A case whose input is a table of words, a few of them at most places, and the sequence of it."""
    case = random_case(cell, SHAPE, rng, masked=masked, go_backwards=go_backwards)
    batch, steps, features, _ = SHAPE
    share = 1 / np.arange(1, WORDS) ** 1.5
    ids = rng.choice(np.arange(1, WORDS), (batch, steps), p=share / share.sum())
    if lead:
        for b, zeros in enumerate(rng.integers(0, steps, batch)):
            ids[b, :zeros] = 0
        if go_backwards:
            ids = ids[:, ::-1]
    table = rng.normal(size=(WORDS, features))
    index = np.ascontiguousarray(ids, np.int32)
    zeros = np.zeros(batch, np.int32) if masked else None
    sequence = Sequence(
        table=table, index=index, mask=case.mask,
        lead=leading(ids == 0) if zeros is None else zeros,
        trail=leading(ids[:, ::-1] == 0) if zeros is None else zeros,
    )  # fmt: skip
    return replace(case, x=table[ids]), sequence


def gradients_of(case: Any, sequence: Sequence) -> dict[str, np.ndarray]:
    y, backprop = case.layer.forward(sequence, Mode(keep=True))
    gradients = Gradients()
    d_y = (y[0].collect(case.d_y), case.d_h, case.d_c)[: 1 + case.layer.kind.states]
    found = {"words": backprop(d_y, gradients)}
    return found | {p.name: gradients.dense(p) for p in case.layer.weights}


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize(("lead", "masked"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("simd", _native.levels())
def test_gradients_at_frequent_words_match_the_reference(cell, lead, masked, go_backwards, simd, rng, frequent):
    case, sequence = words_case(cell, rng, lead=lead, masked=masked, go_backwards=go_backwards)
    with level(simd):
        found = gradients_of(case, sequence)
    assert 3 < frequent[0] < WORDS - 3  # some words are frequent and some are not
    expected = run_reference(case)
    by_word = np.zeros((WORDS, SHAPE[2]))
    np.add.at(by_word, sequence.index.reshape(-1), expected["d_values"])  # no step is all zeros: a row a place
    for name, value in {
        "words": by_word, "kernel": expected["d_kernel"], "recurrent_kernel": expected["d_recurrent_kernel"],
        "bias": expected["d_bias"],
    }.items():  # fmt: skip
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-12 * np.abs(value).max(), err_msg=name)


@pytest.mark.parametrize("cell", CELLS)
def test_frequent_words_have_the_same_bits_for_any_number_of_threads(cell, rng, frequent):
    case, sequence = words_case(cell, rng, lead=True, masked=False, go_backwards=False)
    runs = []
    for n in (1, 2, 4):
        with threads(n):
            runs.append(gradients_of(case, sequence))
    assert min(frequent) > 0
    for other in runs[1:]:
        for name, value in runs[0].items():
            np.testing.assert_array_equal(value, other[name], err_msg=name)
