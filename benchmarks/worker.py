"""One contestant in a process of its own, told what to do by lines of JSON on its standard input.

{"do": "prepare", "workload": ..., "variant": ..., "arrays": path}  ->  {"values": [...], "versions": ...}
{"do": "run", "seconds": least}                                     ->  {"seconds": one step's}
{"do": "quit"}                                                      ->  {"peak_mb": ...}
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from workloads import WORKLOADS

KEPT = 64  # values kept of a prediction, for the check


class Worker:
    def __init__(self, contestant: str) -> None:
        self.module = importlib.import_module(f"contestants.{contestant}")

    def variants(self, workload: str) -> dict[str, Any]:
        self.work = next(work for work in WORKLOADS if work.name == workload)
        return {"variants": self.module.variants(self.work), "versions": self.module.versions()}

    def prepare(self, workload: str, variant: str, arrays: str) -> dict[str, Any]:
        """Build, compile and take one round of steps, whose values are returned for the check."""
        self.variants(workload)
        with np.load(arrays) as file:
            self.contestant = self.module.Contestant(self.work, dict(file), variant)
        values: list[float] = []
        for i in range(self.work.batches):
            self.contestant.step(i)
            self.contestant.wait()
            values += np.ravel(self.contestant.values())[:KEPT].tolist()
        comparable = getattr(self.module, "comparable", lambda work: None)
        return {"values": values[: comparable(self.work)]}

    def run(self, seconds: float) -> dict[str, Any]:
        """Whole rounds over the batches until `seconds` have passed; seconds a step, with all work that was put off.

        While the others had their turn the system may have taken memory and caches away: one round first, not counted.
        """
        contestant, steps = self.contestant, 0
        for i in range(self.work.batches):
            contestant.step(i)
        contestant.wait()
        start = time.perf_counter()
        while True:
            for i in range(self.work.batches):
                contestant.step(i)
            contestant.wait()
            steps += self.work.batches
            passed = time.perf_counter() - start
            if passed >= seconds:
                contestant.finish()
                return {"seconds": (time.perf_counter() - start) / steps}

    def peak_flops(self, size: int = 3072) -> dict[str, Any]:
        """The best of ten float32 products of square matrices: what this machine can reach."""
        random = np.random.default_rng(0)
        a, b = (random.standard_normal((size, size), np.float32) for _ in "ab")
        multiply = np.matmul
        if "torch" in sys.modules:
            torch = sys.modules["torch"]
            a, b, multiply = torch.from_numpy(a), torch.from_numpy(b), torch.mm
        best = float("inf")
        for _ in range(10):
            start = time.perf_counter()
            multiply(a, b)
            best = min(best, time.perf_counter() - start)
        return {"gflops": 2 * size**3 / best / 1e9}

    def quit(self) -> dict[str, Any]:
        return {"peak_mb": peak_kilobytes() / 1024}


def peak_kilobytes() -> int:
    """Of this process alone: getrusage would count what it was forked from."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")  # whatever a library prints goes to standard error
    os.dup2(2, 1)
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        order = json.loads(line)
        what = order.pop("do")
        print(json.dumps(getattr(worker, what)(**order)), file=answers, flush=True)
        if what == "quit":
            return


if __name__ == "__main__":
    main()
