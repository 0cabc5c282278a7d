"""`make mutants` builds deliberate bugs, outside CI for it takes long; here only: each can still be made."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_mutant_still_finds_its_text_in_the_sources():
    mutants = tomllib.loads((ROOT / "tests" / "mutants" / "mutants.toml").read_text())["mutants"]
    assert len(mutants) >= 12
    assert len({str(mutant["edits"]) for mutant in mutants.values()}) == len(mutants)
    for name, mutant in mutants.items():
        for file, old, new in mutant["edits"]:
            assert (ROOT / file).read_text().count(old) == 1, f"{name}: {old!r} in {file}"
            assert old != new
