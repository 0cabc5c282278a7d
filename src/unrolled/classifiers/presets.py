"""Sets of arguments for TextClassifier, by name: the one place where they are written down."""

from __future__ import annotations

from typing import Any

from unrolled.errors import closest

# "fast" is what the constructor's defaults say; "best" is what differs from them. Chosen on a hold-out of IMDB's
# training rows, never on its test rows: benchmarks/results/imdb_presets.md has everything that was tried.
PRESETS: dict[str, dict[str, Any]] = {
    "fast": {},
    "best": {"bigrams": 100_000, "networks": 6},
}


def preset(name: str) -> dict[str, Any]:
    """The arguments of a preset (a new dict).

    Raises: ValueError for an unknown name.
    """
    if name not in PRESETS:
        hint = closest(name, PRESETS) if isinstance(name, str) else "."
        raise ValueError(f"TextClassifier: unknown preset {name!r}{hint} Known: {', '.join(PRESETS)}.")
    return dict(PRESETS[name])
