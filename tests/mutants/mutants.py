"""Are the tests awake? Build each deliberate bug of mutants.toml into a copy of the native code: the battery must fail.

    python tests/mutants/mutants.py [--only NAME ...]

Passed means caught. A mutant whose text is no longer in the sources counts as failed: say it anew in mutants.toml.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOREIGN = "environment_variable or unknown_level"


@dataclass(frozen=True)
class Mutant:
    """why: what the author got wrong; edits: (file, text found there once, text in its place)."""

    name: str
    why: str
    edits: list[tuple[str, str, str]]


class Tree:
    """A copy of the sources with a build of its own, the kernels compiled for one instruction set and lightly."""

    def __init__(self, folder: Path, battery: list[str]) -> None:
        self.folder, self.battery = folder, battery
        for name in ("native", "src", "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        cmake = (ROOT / "CMakeLists.txt").read_text()
        assert "-O3" in cmake
        (folder / "CMakeLists.txt").write_text(cmake.replace("-O3", "-O1"))
        defines = {"CMAKE_BUILD_TYPE": "Release", "UNROLLED_LEVELS": "baseline", "Python_EXECUTABLE": sys.executable}
        self.run("cmake", "-S", ".", "-B", "build", "-G", "Ninja", *(f"-D{key}={defines[key]}" for key in defines))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ, "PATH": path}  # as in conftest.py
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode and command[0] == "cmake":
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done

    def caught(self) -> tuple[bool, str]:
        """Build and run the battery; whether it failed, and its last word."""
        self.run("cmake", "--build", "build")
        for module in self.folder.glob("build/_native*.so"):
            shutil.copy(module, self.folder / "src" / "unrolled" / module.name)
        # tests that start a Python of their own would meet the installed package there
        options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", "-k", f"not ({FOREIGN})"]
        done = self.run(sys.executable, str(HERE / "battery.py"), str(self.folder), *options, *self.battery)
        lines = [line for line in done.stdout.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        first_failure = next((line for line in lines if line.startswith("FAILED")), lines[-1])
        if done.returncode in (2, 3, 4, 5):  # interrupted, internal error, wrong usage, nothing collected
            raise SystemExit(f"the battery itself does not run:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.returncode != 0, first_failure


def load() -> tuple[list[str], list[Mutant]]:
    content = tomllib.loads((HERE / "mutants.toml").read_text())
    return content["battery"], [Mutant(name, **fields) for name, fields in content["mutants"].items()]


def judge(tree: Tree, mutant: Mutant) -> tuple[bool, str]:
    originals = {file: (tree.folder / file).read_text() for file, _, _ in mutant.edits}
    changed = dict(originals)
    for file, old, new in mutant.edits:
        if changed[file].count(old) != 1:
            return False, f"{file} holds {old!r} {changed[file].count(old)} times, expected once"
        changed[file] = changed[file].replace(old, new)
    try:
        for file, text in changed.items():
            (tree.folder / file).write_text(text)
        caught, what = tree.caught()
    finally:
        for file, text in originals.items():
            (tree.folder / file).write_text(text)
    return caught, what if caught else f"SURVIVED ({mutant.why})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    chosen = parser.parse_args().only
    battery, mutants = load()
    unknown = set(chosen) - {mutant.name for mutant in mutants}
    if unknown:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(Path(folder), battery)
        failed, what = tree.caught()
        print(f"without a mutant: {what}", flush=True)
        if failed:
            raise SystemExit("the battery fails on the sources as they are; mutants would prove nothing")
        results = []
        for mutant in mutants:
            if chosen and mutant.name not in chosen:
                continue
            caught, what = judge(tree, mutant)
            results.append(caught)
            print(f"{'caught' if caught else 'FAILED'}  {mutant.name}: {what}", flush=True)
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    raise SystemExit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
