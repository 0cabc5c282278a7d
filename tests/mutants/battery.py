"""Run the kernel battery on the `unrolled` of one folder, whatever is installed.

python battery.py FOLDER [pytest arguments]
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


def main() -> int:
    source = Path(sys.argv[1]) / "src"
    # an editable install finds its own tree before sys.path is looked at
    sys.meta_path[:] = [finder for finder in sys.meta_path if "Redirecting" not in type(finder).__name__]
    sys.path.insert(0, str(source))
    import unrolled._native

    assert Path(unrolled._native.__file__).is_relative_to(source), unrolled._native.__file__
    return int(pytest.main(sys.argv[2:]))


if __name__ == "__main__":
    raise SystemExit(main())
