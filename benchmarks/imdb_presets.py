"""The presets on IMDB's raw texts: trained on the 25,000 training rows, judged once on the 25,000 test rows.

Run: python benchmarks/imdb_presets.py --data reviews.csv.gz [--presets fast best] [--seeds 3] [--threads 2]
Writes imdb_presets.json to benchmarks/results and the table of all finished runs into imdb_presets.md between its two
marks; each finished run is kept, so a stopped measurement goes on where it was. The csv has the columns split (train,
test), review and label.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from unrolled import get_num_threads, set_num_threads
from unrolled.classifiers import TextClassifier

RESULTS = Path(__file__).parent / "results"
START, END = "<!-- runs -->", "<!-- end of runs -->"


def read(path: Path) -> dict[str, tuple[list[str], list[int]]]:
    """Texts and labels of each side of the split."""
    csv.field_size_limit(sys.maxsize)
    parts: dict[str, tuple[list[str], list[int]]] = {"train": ([], []), "test": ([], [])}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            texts, labels = parts[row["split"]]
            texts.append(row["review"])
            labels.append(int(row["label"]))
    return parts


def run(name: str, seed: int, parts: dict[str, tuple[list[str], list[int]]]) -> dict[str, Any]:
    """One preset with one seed: figures, and seconds by the clock and of the processor."""
    classifier = TextClassifier.from_preset(name, random_state=seed)
    wall, cpu = time.perf_counter(), time.process_time()
    classifier.fit(*parts["train"])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    asked = time.perf_counter()
    accuracy = classifier.score(*parts["test"])
    asked = time.perf_counter() - asked
    held = classifier.validation_
    assert held is not None
    return {
        "preset": name,
        "seed": seed,
        "test_accuracy": accuracy,
        "held_out_accuracy": held["accuracy"],
        "epochs": classifier.n_iter_,
        "kept_epoch": held["epoch"],
        "fit_seconds": round(wall, 2),
        "training_seconds": round(classifier.seconds_, 2),
        "fit_cpu_seconds": round(cpu, 2),
        "predict_seconds": round(asked, 2),
        "threads": get_num_threads(),
    }


def to_markdown(runs: list[dict[str, Any]]) -> str:
    """The table of all finished runs, and the medians."""
    lines = [
        "| preset | seed | test accuracy | held-out accuracy | epochs (kept) | training, s | fit, s | fit, CPU s "
        "| predict 25,000, s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in runs:
        lines.append(
            f"| {r['preset']} | {r['seed']} | {r['test_accuracy']:.4f} | {r['held_out_accuracy']:.4f} "
            f"| {r['epochs']} ({r['kept_epoch']}) | {r['training_seconds']:.1f} | {r['fit_seconds']:.1f} "
            f"| {r['fit_cpu_seconds']:.1f} | {r['predict_seconds']:.1f} |"
        )
    for name in dict.fromkeys(r["preset"] for r in runs):
        mine = [r for r in runs if r["preset"] == name]
        accuracy = statistics.median(r["test_accuracy"] for r in mine)
        seconds = statistics.median(r["training_seconds"] for r in mine)
        lines += ["", f"Median of {len(mine)} seeds, {name}: test accuracy {accuracy:.4f}, training {seconds:.1f} s."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="reviews.csv.gz")
    parser.add_argument("--presets", nargs="+", default=["fast", "best"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    set_num_threads(arguments.threads)
    parts = read(arguments.data)
    kept, table = RESULTS / "imdb_presets.json", RESULTS / "imdb_presets.md"
    runs: list[dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else []
    for name in arguments.presets:
        for seed in range(arguments.seeds):
            if any(r["preset"] == name and r["seed"] == seed for r in runs):
                continue
            runs.append(run(name, seed, parts))
            print(json.dumps(runs[-1]), flush=True)
            kept.write_text(json.dumps(runs, indent=1) + "\n")
            before = table.read_text() if table.exists() else f"{START}\n{END}\n"
            head, _, rest = before.partition(START)
            table.write_text(f"{head}{START}\n{to_markdown(runs)}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
