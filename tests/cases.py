"""Random cases for every cell of the engine: distinct weights, non-zero states, ragged masks, shared prefixes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from differences import TOLERANCE, differences
from unrolled import _native, engine, reference
from unrolled.batch import Sequence
from unrolled.layers.recurrent import GRU, LSTM, Recurrent, SimpleRNN
from unrolled.layers.recurrent_dropout import NONE, Factors
from unrolled.parameters import Backprop, Gradients, Mode

CELLS = tuple(engine.CELLS)
SHAPES = [(1, 1, 1, 1), (7, 5, 3, 17), (13, 9, 5, 40), (3, 4, 2, 70)]  # B, T, D, H


@contextmanager
def level(name: str) -> Iterator[None]:
    """Run the block on one instruction set."""
    before = _native.level()
    _native.set_level(name)
    try:
        yield
    finally:
        _native.set_level(before)


@contextmanager
def threads(n: int) -> Iterator[None]:
    before = engine.get_num_threads()
    engine.set_num_threads(n)
    try:
        yield
    finally:
        engine.set_num_threads(before)


def make_layer(cell: str, units: int, **options: Any) -> Recurrent:
    if cell == "simple_rnn":
        options.pop("recurrent_activation", None)
        return SimpleRNN(units, **options)
    if cell == "lstm":
        return LSTM(units, **options)
    return GRU(units, reset_after=cell == "gru_reset_after", **options)


@dataclass
class Case:
    """A layer with its input and the gradients that come from above."""

    cell: str
    layer: Recurrent
    x: np.ndarray
    mask: np.ndarray | None
    states: list[np.ndarray] | None
    d_y: np.ndarray
    d_h: np.ndarray
    d_c: np.ndarray
    factors: Factors = NONE
    results: dict[str, np.ndarray] = field(default_factory=dict)


def random_case(
    cell: str,
    shape: tuple[int, int, int, int],
    rng: np.random.Generator,
    *,
    masked: bool = False,
    states: bool = False,
    lead: bool = False,
    dtype: str = "float64",
    dropped: str = "",  # "input", "state", both, and "gates": of the input too, each gate its own
    **options: Any,
) -> Case:
    batch, steps, features, units = shape
    layer = make_layer(cell, units, return_sequences=True, return_state=True, dtype=dtype, **options)
    layer.build((None, steps, features))
    for parameter in layer.weights:
        parameter.assign(rng.normal(size=parameter.shape) * min(0.4, 1.5 / np.sqrt(units)))
    x = rng.normal(size=(batch, steps, features))
    if lead:  # zeros in front (behind, for the other direction), of another length in every row
        for b in range(batch):
            zeros = int(rng.integers(0, steps + 1))
            x[b, steps - zeros :] = 0
            if not layer.go_backwards:
                x[b] = x[b, ::-1]
    mask = None
    if masked:
        mask = rng.random((batch, steps)) < 0.6
        mask[0] = False  # a whole row
    given = [rng.normal(size=(batch, units)).astype(dtype) for _ in range(layer.kind.states)] if states else None
    return Case(
        cell,
        layer,
        x.astype(dtype),
        mask,
        given,
        rng.normal(size=(batch, steps, units)),
        rng.normal(size=(batch, units)),
        rng.normal(size=(batch, units)),
        random_factors(layer, batch, features, dropped, rng) if dropped else NONE,
    )


def random_factors(layer: Recurrent, batch: int, features: int, dropped: str, rng: np.random.Generator) -> Factors:
    """A third dropped; the others each multiplied by something else, so that no two can be mistaken for each other."""
    gates = layer.kind.gates

    def draw(*shape: int) -> np.ndarray:
        return ((rng.random(shape) > 0.33) * rng.uniform(0.8, 1.8, shape)).astype(layer.dtype)

    of_input = draw(batch, gates if "gates" in dropped else 1, features) if "input" in dropped else None
    return Factors(of_input, draw(batch, gates, layer.units) if "state" in dropped else None)


def run_forward(case: Case, keep: bool = False) -> tuple[Any, Backprop, dict[str, np.ndarray]]:
    """The layer's output, its way back, and the outputs by the reference's names."""
    layer = case.layer
    layer.draw_factors = lambda batch, mode: case.factors  # type: ignore[method-assign]
    mode = Mode(training=case.factors.any, keep=keep)
    y, backprop = layer.forward(Sequence.from_array(case.x, case.mask), mode, case.states)
    found = {"outputs": y[0].to_array(), "h": y[1]} | ({"c": y[2]} if layer.kind.states == 2 else {})
    return y, backprop, found


def run_engine(case: Case) -> dict[str, np.ndarray]:
    """Outputs and all gradients as the engine computes them, under the reference's names."""
    layer = case.layer
    y, backprop, found = run_forward(case, keep=True)
    gradients = Gradients()
    d_y = y[0].collect(case.d_y.astype(layer.dtype))
    d_x = backprop((d_y, case.d_h, case.d_c)[: 1 + layer.kind.states], gradients)
    if case.states is not None:
        d_x, d_states = d_x
        found |= dict(zip(("d_h0", "d_c0"), d_states, strict=False))
    found["d_values"] = d_x
    for parameter in layer.weights:
        found[f"d_{parameter.name}"] = gradients.dense(parameter)
    return found


def run_reference(case: Case) -> dict[str, np.ndarray]:
    """The same from reference.py, in float64."""
    if case.factors.any:
        return run_reference_by_row(case)
    layer = case.layer
    wide = [p.value.astype(np.float64) for p in layer.weights]
    states = [s.astype(np.float64) for s in case.states or []]
    names = ("h", "c")[: layer.kind.states]
    ran = reference.forward(
        case.cell,
        case.x.astype(np.float64),
        wide,
        mask=case.mask,
        activation=layer.activation,
        recurrent_activation=layer.recurrent_activation,
        go_backwards=layer.go_backwards,
        **{f"{name}0": state for name, state in zip(names, states, strict=False)},
    )
    back = reference.backward(ran, case.d_y, d_h=case.d_h, **({"d_c": case.d_c} if "c" in names else {}))
    expected = {"outputs": ran.outputs, "h": ran.h} | ({"c": ran.c} if "c" in names else {})
    for name in ("d_kernel", "d_recurrent_kernel", "d_bias"):
        if name in back and back[name] is not None and (name != "d_bias" or layer.use_bias):
            expected[name] = back[name]
    if case.states is not None:
        expected |= {f"d_{name}0": back[f"d_{name}0"] for name in names}
    sequence = Sequence.from_array(case.x, case.mask)
    d_values = np.zeros((sequence.n, case.x.shape[2]))
    np.add.at(d_values, sequence.index.reshape(-1), back["d_x"].reshape(-1, case.x.shape[2]))
    return expected | {"d_values": d_values}


def run_reference_by_row(case: Case) -> dict[str, np.ndarray]:
    """Under dropout each row runs through a network of its own (reference.thinned); gradients add."""
    layer, gates, found = case.layer, case.layer.kind.gates, []
    weights = reference.Weights(*(p.value.astype(np.float64) for p in layer.weights))
    for b in range(len(case.x)):
        masks = [None if f is None else f[b].astype(np.float64) for f in (case.factors.input, case.factors.state)]
        thin = make_layer(
            case.cell, layer.units, activation=layer.activation, recurrent_activation=layer.recurrent_activation,
            go_backwards=layer.go_backwards, use_bias=layer.use_bias, dtype="float64",
        )  # fmt: skip
        thin.build((None, *case.x.shape[1:]))
        thin.set_weights([w for w in reference.thinned(weights, gates, *masks) if w is not None])
        row = slice(b, b + 1)
        one = replace(
            case, layer=thin, x=case.x[row], mask=None if case.mask is None else case.mask[row],
            states=None if case.states is None else [s[row] for s in case.states],
            d_y=case.d_y[row], d_h=case.d_h[row], d_c=case.d_c[row], factors=NONE,
        )  # fmt: skip
        results = run_reference(one)
        back = reference.thinned(reference.Weights(results["d_kernel"], results["d_recurrent_kernel"]), gates, *masks)
        found.append(results | {"d_kernel": back.kernel, "d_recurrent_kernel": back.recurrent_kernel})
    sums = ("d_kernel", "d_recurrent_kernel", "d_bias")
    joined = {name: sum(r[name] for r in found) for name in sums if name in found[0]}
    joined |= {name: np.concatenate([r[name] for r in found]) for name in found[0] if name not in (*sums, "d_values")}
    sequence = Sequence.from_array(case.x, case.mask)
    d_values = np.zeros((sequence.n, case.x.shape[2]))
    for b, results in enumerate(found):
        alone = Sequence.from_array(case.x[b : b + 1], None if case.mask is None else case.mask[b : b + 1])
        np.add.at(d_values, sequence.index[b], results["d_values"][alone.index[0]])
    return joined | {"d_values": d_values}


def assert_same(
    found: dict[str, np.ndarray],
    expected: dict[str, np.ndarray],
    tolerance: float,
    rounding: dict[str, float] | None = None,
) -> None:
    """Every tensor within `tolerance` of its own largest entry, and of what `rounding` may change in it."""
    assert found.keys() == expected.keys()
    for name, want in expected.items():
        scale = max(float(np.abs(want).max(initial=0)), 1e-300)
        atol = tolerance * scale + (rounding or {}).get(name, 0.0)
        np.testing.assert_allclose(found[name], want, rtol=0, atol=atol, err_msg=name)


def assert_differences(case: Case) -> None:
    """Every gradient of a float64 case with states against central differences of the outputs."""
    found = run_engine(case)
    above = {"outputs": case.d_y, "h": case.d_h, "c": case.d_c}

    def loss() -> float:
        return sum(float(np.sum(y * above[name])) for name, y in run_forward(case)[2].items())

    tensors = {f"d_{p.name}": p.value for p in case.layer.weights} | {"d_values": case.x}
    tensors |= dict(zip(("d_h0", "d_c0"), case.states or [], strict=False))
    for name, tensor in tensors.items():
        numeric = differences(loss, tensor)
        scale = np.abs(numeric).max()
        analytic = found[name].reshape(tensor.shape)
        np.testing.assert_allclose(analytic, numeric, rtol=0, atol=TOLERANCE * scale, err_msg=name)
