"""The gates of each cell by word and by Keras' letter, in the order of the weights."""

from __future__ import annotations

from unrolled.errors import UnknownNameError, closest

GATES: dict[str, tuple[str, ...]] = {
    "simple_rnn": ("hidden",),
    "lstm": ("input", "forget", "candidate", "output"),
    "gru_reset_after": ("update", "reset", "candidate"),
    "gru_reset_before": ("update", "reset", "candidate"),
}
LETTERS: dict[str, tuple[str, ...]] = {
    "simple_rnn": ("h",),
    "lstm": ("i", "f", "c", "o"),
    "gru_reset_after": ("z", "r", "h"),
    "gru_reset_before": ("z", "r", "h"),
}


def gate_name(cell: str, asked: object, label: str) -> str:
    """The word for a word or letter.

    Raises: UnknownNameError (a KeyError) listing the gates there are.
    """
    names, letters = GATES[cell], LETTERS[cell]
    if asked in names:
        return str(asked)
    if asked in letters:
        return names[letters.index(str(asked))]
    if asked == "g" and "candidate" in names:
        return "candidate"
    known = ", ".join(f"{name} ({letter})" for name, letter in zip(names, letters, strict=True))
    hint = closest(asked, names) if isinstance(asked, str) else "."
    raise UnknownNameError(f"{label}: there is no gate {asked!r}{hint} Gates: {known}.")


def gate_columns(cell: str, units: int, path: str, asked: object) -> slice:
    """The columns of kernel, recurrent_kernel and bias that belong to a gate, by word, letter or number."""
    k = asked if isinstance(asked, int) else GATES[cell].index(gate_name(cell, asked, f'"{path}"'))
    return slice(k * units, (k + 1) * units)
