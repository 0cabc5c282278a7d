"""The cases whose Keras results are kept in golden.npz: every cell with every option at least once."""

from __future__ import annotations

from typing import Any

from golden.case import Case, Spec

CELLS: dict[str, Spec] = {
    "simple_rnn": ("SimpleRNN", {}),
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {}),
    "gru_reset_before": ("GRU", {"reset_after": False}),
}
EVERYTHING = {"return_sequences": True, "return_state": True}


def cell(name: str, units: int = 17, **options: Any) -> Spec:
    kind, own = CELLS[name]
    return kind, {"units": units, **own, **options}


def both(inner: Spec, merge_mode: str | None = "concat") -> Spec:
    return "Bidirectional", {"layer": inner, "merge_mode": merge_mode}


def option_cases() -> list[Case]:
    """Every option of every cell."""
    cases = []
    for name in CELLS:
        cases += [
            Case(f"{name} plain", (cell(name),)),
            Case(f"{name} one of everything", (cell(name, 1),), B=1, T=1, D=1),
            Case(f"{name} one row", (cell(name, 17, return_sequences=True),), B=1, T=9, D=2, mask="any"),
            Case(f"{name} everything returned", (cell(name, **EVERYTHING),), initial_state=True),
            Case(f"{name} backwards", (cell(name, go_backwards=True, **EVERYTHING),), mask="leading"),
            Case(f"{name} no bias", (cell(name, use_bias=False),), mask="trailing"),
            Case(f"{name} inner mask", (cell(name, **EVERYTHING),), mask="inner", initial_state=True),
            Case(f"{name} whole rows masked", (cell(name, 7, **EVERYTHING),), mask="whole rows", initial_state=True),
        ]
    return cases


def activation_cases() -> list[Case]:
    """Every activation in every cell, as activation and as recurrent_activation."""
    cases = []
    pairs = [
        ("sigmoid", "hard_sigmoid"),
        ("relu", "tanh"),
        ("linear", "softsign"),
        ("softsign", "linear"),
        ("hard_sigmoid", "relu"),
    ]
    for name in CELLS:
        for activation, recurrent in pairs:
            options = {"activation": activation, "return_sequences": True}
            if name != "simple_rnn":
                options["recurrent_activation"] = recurrent
            label = f"{name} {activation}" + ("" if name == "simple_rnn" else f" {recurrent}")
            cases.append(Case(label, (cell(name, 5, **options),), mask="any", scale=0.6))
    return cases


def combination_cases() -> list[Case]:
    """Both directions, stacks, and token ids through an Embedding."""
    words: dict[str, Any] = {"vocabulary": 11, "T": 9}

    def embedding(mask_zero: bool = False) -> Spec:
        return "Embedding", {"input_dim": 11, "output_dim": 4, "mask_zero": mask_zero}

    dense: Spec = ("Dense", {"units": 3, "activation": "tanh"})
    return [
        Case("both concat", (both(cell("lstm", 5, return_sequences=True)),), mask="any"),
        Case("both sum", (both(cell("gru", 5), "sum"),), mask="leading"),
        Case("both mul", (both(cell("gru_reset_before", 5, return_sequences=True), "mul"),), mask="trailing"),
        Case("both ave", (both(cell("simple_rnn", 5), "ave"),), mask="whole rows"),
        Case("both none", (both(cell("lstm", 5, return_sequences=True), None),)),
        Case("both with states", (both(cell("lstm", 5, **EVERYTHING)),), mask="inner", initial_state=True),
        Case("two lstm", (cell("lstm", 5, return_sequences=True), cell("lstm", 3)), mask="any"),
        Case("gru, then both", (cell("gru", 5, return_sequences=True), both(cell("lstm", 3)), dense), mask="any"),
        Case("ids lstm 40", (embedding(), cell("lstm", 40)), mask="leading", **words),
        Case("ids gru 40 backwards", (embedding(), cell("gru", 40, go_backwards=True)), mask="leading", **words),
        Case("ids gru trailing", (embedding(), cell("gru_reset_before")), mask="trailing", **words),
        Case("ids rnn 40", (embedding(), cell("simple_rnn", 40, return_sequences=True)), mask="inner", **words),
        Case("ids masked lstm", (embedding(True), cell("lstm", return_sequences=True)), mask="trailing", **words),
        Case("ids masked gru", (embedding(True), cell("gru")), mask="leading", **words),
        Case("ids masked both", (embedding(True), both(cell("lstm", 5)), dense), mask="whole rows", **words),
        Case("ids both", (embedding(), both(cell("gru", 5, return_sequences=True))), mask="leading", **words),
        Case(
            "ids two lstm",
            (embedding(), cell("lstm", 5, return_sequences=True), cell("lstm", 3, return_sequences=True), dense),
            mask="leading",
            **words,
        ),
        Case(
            "ids four rnn",
            (embedding(), *[cell("simple_rnn", 5, return_sequences=True)] * 3, cell("simple_rnn", 3)),
            mask="leading",
            **words,
        ),
        Case(
            "ids masked two gru",
            (embedding(True), cell("gru", 5, return_sequences=True), cell("gru", 3, **EVERYTHING)),
            mask="any",
            **words,
        ),
        Case("ids lstm states", (embedding(), cell("lstm", **EVERYTHING)), mask="leading", initial_state=True, **words),
        Case("ids both states", (embedding(), both(cell("gru", 5))), mask="leading", initial_state=True, **words),
        *[
            Case(
                f"{name} last of whole rows masked",
                (cell(name, 7, return_state=True),),
                mask="whole rows",
                initial_state=True,
            )
            for name in CELLS
        ],
    ]


def dropout_cases() -> list[Case]:
    """dropout and recurrent_dropout in training, each alone and both: kept in dropout.npz."""
    cases = []
    rates = {"input": {"dropout": 0.3}, "state": {"recurrent_dropout": 0.4}}
    rates["both"] = {**rates["input"], **rates["state"]}
    for name in CELLS:
        cases += [
            Case(f"{name} {label} dropped", (cell(name, 5, **EVERYTHING, **rate),), initial_state=True, training=True)
            for label, rate in rates.items()
        ]
        cases.append(
            Case(f"{name} both dropped backwards", (cell(name, 17, go_backwards=True, **rates["both"]),), mask="any",
                 training=True)
        )  # fmt: skip
    words: dict[str, Any] = {"vocabulary": 11, "T": 9, "training": True}
    sequences = {"return_sequences": True}
    return [
        *cases,
        Case("both directions dropped", (both(cell("lstm", 5, **sequences, **rates["both"])),), mask="leading",
             training=True),
        Case("ids in front dropped",
             (("Embedding", {"input_dim": 11, "output_dim": 4}), cell("lstm", 5, **rates["both"])),
             mask="leading", **words),
        Case("ids masked stack dropped",
             (("Embedding", {"input_dim": 11, "output_dim": 4, "mask_zero": True}),
              cell("gru", 5, **sequences, **rates["both"]), cell("simple_rnn", 5, **sequences, **rates["input"]),
              both(cell("gru_reset_before", 3, **rates["state"]))),
             mask="trailing", **words),
    ]  # fmt: skip


def all_cases() -> list[Case]:
    cases = option_cases() + activation_cases() + combination_cases()
    assert len({case.name for case in cases}) == len(cases)
    return cases
