"""What all tests share: a seeded generator, and the real data where it is present."""

from __future__ import annotations

import os
import signal
from pathlib import Path

# The reference multiplies small matrices: threads of BLAS would wait for each other, for long on a busy machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read once, when NumPy is imported

import numpy as np
import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # what a shell does to programs behind it; tests press Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


def find_shared_data() -> Path | None:
    """The folder with imdb/, airline/, stopwords/: $UNROLLED_TEST_DATA, else ../shared/data by the repo."""
    given = os.environ.get("UNROLLED_TEST_DATA")
    if given and not Path(given).is_dir():
        raise FileNotFoundError(f"UNROLLED_TEST_DATA names {given}, which is not a folder")
    folder = Path(given) if given else Path(__file__).parents[2] / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real data; the test is skipped where it is absent (it may not be redistributed)."""
    folder = find_shared_data()
    if folder is None:
        pytest.skip("no real data: set UNROLLED_TEST_DATA to the folder with imdb/, airline/, stopwords/")
    return folder


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator of its own for each test, the same in every run."""
    return np.random.default_rng(list(request.node.name.encode()))
