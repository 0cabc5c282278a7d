"""Random stacks of layers: any cell, options, sizes and masks together."""

from __future__ import annotations

from typing import Any

from numpy.random import RandomState

from golden.case import MASKS, Case, Spec

SMOOTH = ("tanh", "sigmoid")
ALL = ("tanh", "sigmoid", "relu", "linear", "hard_sigmoid", "softsign")


def pick(random: RandomState, options: Any) -> Any:
    return options[random.randint(len(options))]


def chance(random: RandomState, probability: float) -> bool:
    return bool(random.random_sample() < probability)


def draw_case(seed: int) -> Case:
    """The case of a seed: dense input or ids, one to three recurrent layers, sometimes a layer on top."""
    random = RandomState(seed)
    wild = chance(random, 0.4)  # activations that do not saturate: short sequences only, or they grow without bound
    B, D = pick(random, (1, 2, 3, 7, 13, 33)), pick(random, (1, 2, 5, 16, 19))
    T = pick(random, (1, 2, 3, 6) if wild else (1, 2, 3, 7, 12, 24))
    vocabulary = pick(random, (0, 0, 3, 9, 40))
    depth = pick(random, (1, 1, 1, 2, 3))
    stack: list[Spec] = []
    if vocabulary:
        options = {"input_dim": vocabulary, "output_dim": D, "mask_zero": chance(random, 0.5)}
        stack.append(("Embedding", options))
    for level in range(depth):
        stack.append(draw_recurrent(random, wild, last=level == depth - 1))
    single = not returns_list(stack[-1])
    if single and chance(random, 0.3):
        stack += draw_top(random, steps=returns_steps(stack[-1]))
    mask = pick(random, (None, *MASKS))
    # a state for a layer whose whole prefix is shared is a state a row: both meet here
    initial_state = chance(random, 0.3)
    return Case(f"seed {seed}", tuple(stack), B, T, D, vocabulary, mask, initial_state, seed, 0.5 if wild else 1.0)


def draw_recurrent(random: RandomState, wild: bool, last: bool) -> Spec:
    kind = pick(random, ("SimpleRNN", "LSTM", "GRU", "GRU"))
    activations = ALL if wild else SMOOTH
    options: dict[str, Any] = {
        "units": pick(random, (1, 2, 8, 15, 16, 17, 32, 33, 40)),
        "activation": pick(random, activations),
        "use_bias": chance(random, 0.8),
        "return_sequences": not last or chance(random, 0.5),
        "return_state": last and chance(random, 0.3),
        "unroll": chance(random, 0.2),
    }
    if kind != "SimpleRNN":
        options["recurrent_activation"] = pick(random, activations)
    if kind == "GRU":
        options["reset_after"] = chance(random, 0.5)
    if chance(random, 0.3):
        options["unroll"] = False  # Keras unrolled zeroes the wrong steps of the backward layer under a mask
        modes = ("concat", "sum", "mul", "ave", None) if last else ("concat", "sum", "mul", "ave")
        return "Bidirectional", {"layer": (kind, options), "merge_mode": pick(random, modes)}
    return kind, options | {"go_backwards": chance(random, 0.3)}


def draw_top(random: RandomState, steps: bool) -> list[Spec]:
    dense: Spec = ("Dense", {"units": 3, "activation": pick(random, ("tanh", "sigmoid", "softmax"))})
    if not steps:
        again: list[Spec] = [("RepeatVector", {"n": 3}), ("GRU", {"units": 4, "return_sequences": True})]
        return pick(random, ([dense], again))
    return pick(random, ([dense], [("TimeDistributed", {"layer": dense})], [("Activation", {"activation": "tanh"})]))


def returns_list(spec: Spec) -> bool:
    inner = spec[1].get("layer", spec)[1]
    return bool(inner["return_state"] or spec[1].get("merge_mode", "") is None)


def returns_steps(spec: Spec) -> bool:
    return bool(spec[1].get("layer", spec)[1]["return_sequences"])
