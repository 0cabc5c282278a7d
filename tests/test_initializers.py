"""Initial weights: Keras 3's distributions, the seed, and names in all spellings."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest

import unrolled
from unrolled import activations, initializers, layers, random
from unrolled.errors import ShapeError

SHAPE = (400, 300)

# (name, smallest, largest, standard deviation) for SHAPE, from Keras 3's formulas
DISTRIBUTIONS = [
    ("zeros", 0, 0, 0),
    ("ones", 1, 1, 0),
    ("random_uniform", -0.05, 0.05, 0.05 / 3**0.5),
    ("random_normal", -np.inf, np.inf, 0.05),
    ("truncated_normal", -0.1, 0.1, 0.05 * 0.8796),
    ("glorot_uniform", -((6 / 700) ** 0.5), (6 / 700) ** 0.5, (2 / 700) ** 0.5),
    ("glorot_normal", -2.28 * (2 / 700) ** 0.5, 2.28 * (2 / 700) ** 0.5, (2 / 700) ** 0.5),
    ("he_uniform", -((6 / 400) ** 0.5), (6 / 400) ** 0.5, (2 / 400) ** 0.5),
    ("he_normal", -2.28 * (2 / 400) ** 0.5, 2.28 * (2 / 400) ** 0.5, (2 / 400) ** 0.5),
    ("lecun_uniform", -((3 / 400) ** 0.5), (3 / 400) ** 0.5, (1 / 400) ** 0.5),
    ("lecun_normal", -2.28 * (1 / 400) ** 0.5, 2.28 * (1 / 400) ** 0.5, (1 / 400) ** 0.5),
    ("variance_scaling", -2.28 * (1 / 400) ** 0.5, 2.28 * (1 / 400) ** 0.5, (1 / 400) ** 0.5),
]


@pytest.mark.parametrize(("name", "low", "high", "spread"), DISTRIBUTIONS)
def test_distribution(name: str, low: float, high: float, spread: float, rng: np.random.Generator) -> None:
    values = initializers.get(name)(SHAPE, "float64", rng)
    assert values.shape == SHAPE and values.dtype == np.float64 and values.flags.c_contiguous
    assert values.min() >= low and values.max() <= high
    if spread:  # 120,000 draws: the standard deviation is known to 0.3 %
        assert values.std() == pytest.approx(spread, rel=0.01)
        assert abs(values.mean()) < 0.01 * spread + 0.01 * values.std()
        assert values.max() > 0.95 * high if np.isfinite(high) else values.max() > 3 * spread


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (2, 3, 4)])
def test_orthogonal(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    q = initializers.Orthogonal(gain=2)(shape, "float64", rng).reshape(-1, shape[-1]) / 2
    small = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-12)


def test_constant_identity_and_arrays() -> None:
    assert (initializers.Constant(0.5)((2, 3)) == np.float32(0.5)).all()
    assert (initializers.Identity(2)((2, 3)) == [[2, 0, 0], [0, 2, 0]]).all()
    matrix = np.arange(6.0).reshape(2, 3)
    assert (initializers.get(matrix)((2, 3)) == matrix).all()
    with pytest.raises(ShapeError, match=r"Orthogonal: expected a shape with at least 2 axes, got \(3,\)"):
        initializers.Orthogonal()((3,))


def test_names_classes_functions_and_configurations() -> None:
    for name in ("Zeros", "zeros", "zero"):
        assert isinstance(initializers.get(name), initializers.Zeros)
    for name, cls in initializers.CLASSES.items():
        made = initializers.get(name)
        assert type(made) is cls
        again = initializers.get(initializers.serialize(made))
        assert repr(again) == repr(made)
        assert repr(pickle.loads(pickle.dumps(made))) == repr(made)
    assert isinstance(initializers.get(initializers.HeNormal), initializers.HeNormal)
    layer = layers.Dense(2, kernel_initializer=lambda shape, dtype: np.full(shape, 3.0, dtype))
    layer.build((None, 4))
    assert (layer.kernel.value == 3).all()


def test_same_seed_same_weights_and_streams() -> None:
    def draw() -> list[np.ndarray]:
        unrolled.set_random_seed(11)
        model = unrolled.Sequential([layers.Embedding(7, 3), layers.LSTM(4), layers.Dense(2)])
        return [*model.get_weights(), model.random.random(3), np.random.rand(2)]

    for first, second in zip(draw(), draw(), strict=True):
        assert (first == second).all()
    before = random.generator().bit_generator.state
    with random.using(np.random.default_rng(3)):
        layers.Dense(3).build((None, 4))
    assert random.generator().bit_generator.state == before


def test_own_seed_repeats_and_differs_from_another() -> None:
    one, same, other = (initializers.GlorotUniform(seed=s)((3, 4)) for s in (1, 1, 2))
    assert (one == same).all() and not (one == other).any()


def test_spawned_streams_differ_between_threads() -> None:
    found: list[float] = []
    threads = [threading.Thread(target=lambda: found.append(random.spawn().random())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 16


@pytest.mark.parametrize("name", activations.KNOWN)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_keep_type_and_nan_and_do_not_overflow(name: str, dtype: type) -> None:
    f = activations.get(name)
    x = np.array([[-90.0, -1.0, 0.5, 80.0]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y = f(x)
        d_x = f.backward(y, np.ones_like(y))
    assert y.dtype == dtype and d_x.dtype == dtype and np.isfinite(y).all() and np.isfinite(d_x).all()
    assert np.isnan(f(np.array([[np.nan]], dtype))).all()
    assert pickle.loads(pickle.dumps(f)) is f
    assert activations.get(f) is f and (activations.get(None) is f) == (name == "linear")
