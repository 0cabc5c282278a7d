"""Time one training step of every workload: `unrolled` against Keras on JAX, Keras on TensorFlow and PyTorch.

    python benchmarks/bench.py [--quick] [--only NAME ...] [--rounds N]

Every contestant is a process of its own with the same two CPUs, the same batches and the same initial weights; only one
runs at a time, in alternating rounds, after a round to warm up and to choose the fastest way of each. A run stops if
the losses (or predictions) disagree. Writes results/<time>.json, results/table.md and results/speed.png.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from report import write_report
from workloads import THREADS, WORKLOADS, Workload, make_arrays

HERE = Path(__file__).parent
CONTESTANTS = ("ours", "keras_jax", "keras_tensorflow", "pytorch")
PATIENCE = 420  # seconds to build, compile and take the first round
AGREE = {"train": 1e-3, "predict": 2e-5, "latency": 2e-5}  # of the largest value; training steps amplify rounding


class RefusalError(RuntimeError):
    """A contestant could not do what was asked, or took too long."""


class Remote:
    """A worker process; ask(...) sends an order and waits for its answer."""

    def __init__(self, contestant: str, log: Path) -> None:
        self.log = log
        command = [sys.executable, str(HERE / "worker.py"), contestant]
        with log.open("a") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, bufsize=1
            )

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps({"do": do, **order}) + "\n")
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        answer = self.process.stdout.readline() if ready else ""
        if not answer:
            self.process.kill()
            last = self.log.read_text().strip().splitlines()[-1:] or [""]
            raise RefusalError(last[0] if ready else f"no answer within {PATIENCE} s")
        return dict(json.loads(answer))

    def close(self) -> dict[str, Any]:
        answer = self.ask("quit")
        self.process.wait()
        return answer


def choose_variant(contestant: str, work: Workload, arrays: Path, log: Path) -> tuple[Remote, dict[str, Any]]:
    """Try each way to run the workload; the process of the fastest stays, with what is known of it."""
    best: tuple[Remote, dict[str, Any]] | None = None
    remote = Remote(contestant, log)
    about = remote.ask("variants", workload=work.name)
    tried: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for variant in about["variants"]:
        try:
            remote = remote if not tried else Remote(contestant, log)
            values[variant] = remote.ask("prepare", workload=work.name, variant=variant, arrays=str(arrays))["values"]
            tried[variant] = remote.ask("run", seconds=0.3)["seconds"]
        except RefusalError as reason:
            tried[variant] = f"failed: {reason}"
            print(f"  {contestant:17s} {variant:22s} {tried[variant]}", flush=True)
            continue
        print(f"  {contestant:17s} {variant:22s} {1e3 * tried[variant]:10.2f} ms", flush=True)
        if best is None or tried[variant] < tried[best[1]["variant"]]:
            loser, best = best, (remote, {"variant": variant, "versions": about["versions"]})
        else:
            loser = (remote, {})
        if loser is not None:
            loser[0].close()
    if best is None:
        raise RefusalError(f"{contestant}: {tried}")
    return best[0], best[1] | {"tried": tried, "values": values[best[1]["variant"]]}


def check_agreement(work: Workload, found: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The largest difference of each contestant's values from the first's, relative; stop if it is too large."""
    values = {name: np.asarray(facts.pop("values")) for name, facts in found.items()}
    first = next(iter(values))
    expected = values[first]
    scale = np.abs(expected).max()
    differences = {name: float(np.abs(v - expected[: len(v)]).max() / scale) for name, v in values.items()}
    if max(differences.values()) > AGREE[work.kind]:
        raise SystemExit(f"{work.name}: {first} and the others do not agree: {differences}\n{values}")
    return differences


def measure(work: Workload, contestants: list[str], rounds: int, scratch: Path) -> dict[str, Any]:
    """All rounds of one workload."""
    print(f"{work.name}: {work.title}", flush=True)
    arrays = scratch / f"{work.name}.npz"
    np.savez(arrays, **make_arrays(work))
    remotes: dict[str, Remote] = {}
    found: dict[str, dict[str, Any]] = {}
    for name in contestants:
        remotes[name], found[name] = choose_variant(name, work, arrays, scratch / f"{name}.log")
    differences = check_agreement(work, found)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds):
        order = contestants[turn % len(contestants) :] + contestants[: turn % len(contestants)]
        for name in order:
            time.sleep(0.2)  # let the last one's threads fall asleep
            times[name].append(remotes[name].ask("run", seconds=work.seconds)["seconds"])
    for name, remote in remotes.items():
        found[name] |= {"rounds": times[name], "seconds": statistics.median(times[name]), **remote.close()}
        found[name]["difference"] = differences[name]
        print(
            f"  {name:17s} {found[name]['variant']:22s} {1e3 * found[name]['seconds']:10.2f} ms, "
            f"{found[name]['peak_mb']:.0f} MB",
            flush=True,
        )
    return {"workload": work.name, "contestants": found} | compare(found, times)


def compare(found: dict[str, dict[str, Any]], times: dict[str, list[float]]) -> dict[str, Any]:
    """Our time against the best peer's: of the medians, and the smallest and largest of the rounds."""
    peers = [name for name in found if name != "ours"]
    if "ours" not in found or not peers:
        return {}
    best = min(peers, key=lambda name: found[name]["seconds"])
    each = [peer / mine for peer, mine in zip(times[best], times["ours"], strict=True)]
    ratio = found[best]["seconds"] / found["ours"]["seconds"]
    print(f"  ratio {ratio:.2f} ({min(each):.2f} to {max(each):.2f}) against {best}", flush=True)
    return {"best_peer": best, "ratio": ratio, "ratio_range": [min(each), max(each)]}


def machine(scratch: Path, contestants: list[str]) -> dict[str, Any]:
    """What ran this: processor, CPUs, and the float32 peak measured with a large matrix product."""
    peak = 0.0
    for name in contestants:
        if name in {"ours", "pytorch"}:
            remote = Remote(name, scratch / f"{name}.log")
            peak = max(peak, remote.ask("peak_flops")["gflops"])
            remote.close()
    model = [line.split(":")[1].strip() for line in cpuinfo() if line.startswith("model name")]
    flags = [line for line in cpuinfo() if line.startswith("flags")]
    return {
        "processor": model[0] if model else platform.processor(),
        "architecture": platform.machine(),
        "avx512": any("avx512f" in line for line in flags),
        "threads": THREADS,
        "peak_gflops": peak or None,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def cpuinfo() -> Iterator[str]:
    path = Path("/proc/cpuinfo")
    return iter(path.read_text().splitlines() if path.exists() else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds instead of nine")
    parser.add_argument("--rounds", type=int, help="rounds of each workload")
    parser.add_argument("--only", nargs="+", choices=[work.name for work in WORKLOADS], default=[], metavar="NAME")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])  # the workers inherit it
    rounds = options.rounds or (3 if options.quick else 9)
    chosen = [work for work in WORKLOADS if not options.only or work.name in options.only]
    started = datetime.now()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        result: dict[str, Any] = {"started": started.isoformat(timespec="seconds"), "rounds": rounds}
        result["machine"] = machine(scratch, options.contestants)
        result["results"] = [measure(work, options.contestants, rounds, scratch) for work in chosen]
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{started:%Y-%m-%d-%H%M}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    write_report(path, options.out)
    print((options.out / "table.md").read_text())


if __name__ == "__main__":
    main()
