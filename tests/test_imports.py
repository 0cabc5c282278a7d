"""Imports run one way, cost little, and Keras' old paths lead somewhere."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import unrolled

SOURCE = Path(unrolled.__file__).parent

# docs/architecture.md, lowest first. A module may import its own level and those below it.
LEVELS = [
    {"errors"},
    {"columns", "_native", "parameters", "batch", "engine", "activations", "random"},
    {"evaluation", "splits", "printing", "plotting"},  # judge and show plain arrays
    {"initializers"},
    {"layers"},
    {"losses", "metrics", "optimizers", "callbacks", "feed", "sources", "progress", "interrupt"},
    {"loop", "steps", "training", "saving", "summary", "stack"},
    {"inspect"},  # models hand a traced pass to it
    {"models", "backend"},
    {"text", "baselines", "tables"},
    {"classifiers"},
    {"chapter"},
    {"cli", "__main__"},
]
ALONE = {"datasets", "preprocessing", "utils", "reference", "from_scratch"}  # nothing but errors, and each other
RANK = {name: rank for rank, names in enumerate(LEVELS) for name in names}
PREPARES_DATA = RANK["text"]  # from here up a module may use what stands alone


def imported(path: Path) -> Iterator[str]:
    """Names of our own top-level modules that a file imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "unrolled":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unrolled."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("unrolled."))


def upward(module: str, imports: set[str]) -> set[str]:
    """Those imports that the module may not have."""
    if module in ALONE:
        allowed = ALONE | {"errors"} | ({"random"} if module == "utils" else set())
        return imports - allowed
    alone = ALONE if RANK[module] < PREPARES_DATA else set()
    alone = alone - {"reference"} if module == "inspect" else alone  # it proves what it shows
    return {name for name in imports - {module} if name in alone or RANK.get(name, 0) > RANK[module]}


FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(SOURCE)) for path in FILES])
def test_no_import_goes_upward(path: Path) -> None:
    module = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    assert module in RANK or module in ALONE, f"put {module} into a level"
    assert upward(module, set(imported(path))) == set()


def test_the_rule_sees_an_upward_import(tmp_path: Path) -> None:
    path = tmp_path / "batch.py"
    path.write_text("def f():\n    from unrolled.models import Sequential\n    import unrolled.errors\n")
    assert upward("batch", set(imported(path))) == {"models"}
    assert upward("reference", {"batch", "errors"}) == {"batch"}
    assert upward("models", {"preprocessing", "text"}) == {"preprocessing", "text"}
    assert upward("text", {"preprocessing", "classifiers"}) == {"classifiers"}


def seconds(statement: str) -> float:
    """Least processor time of fresh interpreters; NumPy and its random part, which it loads late, do not count."""
    clock = "time.process_time()"
    program = f"import time, numpy.random\nstart = {clock}\n{statement}\nprint({clock} - start)"
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in range(5)
    ]
    return min(float(run.stdout) for run in runs)


def test_import_takes_less_than_a_tenth_of_a_second_beyond_numpy() -> None:
    # 27 ms when written. Models and layers (75 ms) are held by the next test instead: a shared machine is too noisy.
    assert seconds("import unrolled") < 0.1


def test_nothing_but_numpy_is_imported() -> None:
    program = (
        "import sys, numpy.random, numpy.typing\n"
        "before = set(sys.modules)\n"
        "import unrolled.models, unrolled.layers\n"
        "names = {m.split('.')[0] for m in set(sys.modules) - before}\n"
        "print(*sorted(names - set(sys.stdlib_module_names) - {'numpy', 'unrolled'}))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


OLD_PATHS = {
    "unrolled.models": ["Sequential", "load_model"],
    "unrolled.layers": [
        "Embedding", "SimpleRNN", "LSTM", "GRU", "Dense", "Activation", "Bidirectional", "TimeDistributed",
        "RepeatVector", "GlobalMaxPooling1D", "GlobalAveragePooling1D", "Dropout", "SpatialDropout1D", "Flatten",
        "Input",
    ],
    "unrolled.layers.recurrent": ["SimpleRNN", "LSTM", "GRU"],
    "unrolled.layers.embeddings": ["Embedding"],
    "unrolled.layers.core": ["Dense", "Activation", "Dropout", "Flatten", "RepeatVector"],
    "unrolled.layers.wrappers": ["Bidirectional", "TimeDistributed"],
    "unrolled.preprocessing": ["sequence"],
    "unrolled.preprocessing.sequence": ["pad_sequences"],
    "unrolled.utils.data_utils": ["pad_sequences"],
    "unrolled.utils": ["to_categorical", "set_random_seed"],
    "unrolled.backend": ["clear_session"],
}  # fmt: skip


@pytest.mark.parametrize("module", OLD_PATHS)
def test_paths_that_the_texts_import(module: str) -> None:
    found = importlib.import_module(module)
    assert [name for name in OLD_PATHS[module] if not hasattr(found, name)] == []


def test_names_of_the_package() -> None:
    for name in unrolled.__all__:
        assert getattr(unrolled, name) is not None
    assert set(dir(unrolled)) == set(unrolled.__all__)
    with pytest.raises(AttributeError, match='module "unrolled" has no attribute "layer"'):
        unrolled.layer  # noqa: B018
