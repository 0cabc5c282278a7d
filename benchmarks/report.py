"""Turn a result of bench.py into a Markdown table and a picture.

python benchmarks/report.py results/2026-01-01-1200.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from workloads import WORKLOADS

TITLES = {"ours": "unrolled", "keras_jax": "Keras on JAX", "keras_tensorflow": "Keras on TF", "pytorch": "PyTorch"}
COLORS = {"ours": "#c0392b", "keras_jax": "#7f8c8d", "keras_tensorflow": "#b2babb", "pytorch": "#5d6d7e"}
WORK = {work.name: work for work in WORKLOADS}


def write_report(path: Path, out: Path) -> None:
    """Write table.md and speed.png into `out`."""
    result = json.loads(path.read_text())
    (out / "table.md").write_text(table(result))
    picture(result, out / "speed.png")


def table(result: dict[str, Any]) -> str:
    names = list(result["results"][0]["contestants"])
    lines = [heading(result), "", *times_table(result, names), "", *flops_table(result, names)]
    lines += ["Peak memory of the process, MB:", "", *memory_table(result, names), "", versions(result, names)]
    return "\n".join(lines) + "\n"


def heading(result: dict[str, Any]) -> str:
    machine = result["machine"]
    wide = " with AVX-512" if machine["avx512"] else ""
    peak = f", float32 peak {machine['peak_gflops']:.0f} GFLOP/s (measured)" if machine["peak_gflops"] else ""
    return (
        f"Milliseconds a training step (or a call), median of {result['rounds']} alternating rounds, "
        f"{machine['threads']} threads each, {machine['processor']}{wide}{peak}. "
        "Ratio: the best peer's time over ours; in brackets its range over the rounds."
    )


def times_table(result: dict[str, Any], names: list[str]) -> list[str]:
    columns = ["Workload", "Shape", *(TITLES[name] for name in names), "Ratio", "Asked"]
    lines = ["| " + " | ".join(columns) + " |", "|---|---|" + "---:|" * (len(columns) - 2)]
    for entry in result["results"]:
        work, found = WORK[entry["workload"]], entry["contestants"]
        cells = [work.title, shape(entry["workload"])]
        cells += [milliseconds(found[name]["seconds"]) for name in names]
        if "ratio" in entry:
            low, high = entry["ratio_range"]
            cells += [f"**{entry['ratio']:.1f}** ({low:.1f} to {high:.1f})", f"{work.must:g}"]
        else:
            cells += ["", f"{work.must:g}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def shape(name: str) -> str:
    work = WORK[name]
    source = f"V={work.vocabulary:,}" if work.vocabulary else f"D={work.features}"
    return f"B={work.B:,}, T={work.T:,}, {source}" + (f", {work.optimizer}" if work.kind == "train" else "")


def milliseconds(seconds: float) -> str:
    value = 1e3 * seconds
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def flops_table(result: dict[str, Any], names: list[str]) -> list[str]:
    """GFLOP/s of the workloads with dense input, where products are all there is."""
    entries = [entry for entry in result["results"] if not WORK[entry["workload"]].vocabulary]
    if not entries:
        return []
    lines = ["GFLOP/s, 2(D+H)GH forward and 2(D+2H)GH backward a row-step:", ""]
    lines += ["| Workload | " + " | ".join(TITLES[name] for name in names) + " |", "|---|" + "---:|" * len(names)]
    for entry in entries:
        flops = WORK[entry["workload"]].flops
        rates = [f"{flops / entry['contestants'][name]['seconds'] / 1e9:.0f}" for name in names]
        lines.append(f"| {WORK[entry['workload']].title} | " + " | ".join(rates) + " |")
    return [*lines, ""]


def memory_table(result: dict[str, Any], names: list[str]) -> list[str]:
    lines = ["| Workload | " + " | ".join(TITLES[name] for name in names) + " |", "|---|" + "---:|" * len(names)]
    for entry in result["results"]:
        cells = [f"{entry['contestants'][name]['peak_mb']:,.0f}" for name in names]
        lines.append(f"| {WORK[entry['workload']].title} | " + " | ".join(cells) + " |")
    return lines


def versions(result: dict[str, Any], names: list[str]) -> str:
    found = result["results"][0]["contestants"]
    return "; ".join(found[name]["versions"] for name in names) + f". {result['started']}."


def picture(result: dict[str, Any], path: Path) -> None:
    """Bars of the time of each contestant, relative to ours."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    entries = result["results"]
    names = list(entries[0]["contestants"])
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.75 * len(entries)))
    height = 0.8 / len(names)
    base = names[0]
    for place, name in enumerate(names):
        relative = [e["contestants"][name]["seconds"] / e["contestants"][base]["seconds"] for e in entries]
        at = [row + place * height for row in range(len(entries))]
        axes.barh(at, relative, height * 0.92, color=COLORS[name], label=TITLES[name])
        for y, value, entry in zip(at, relative, entries, strict=True):
            text = f" {milliseconds(entry['contestants'][name]['seconds'])} ms"
            axes.text(value, y, text, va="center", fontsize=7, color="#333333")
    axes.set_yticks([row + 0.4 - height / 2 for row in range(len(entries))])
    axes.set_yticklabels([WORK[entry["workload"]].title for entry in entries])
    axes.set_xscale("log")
    axes.set_xlabel(f"time relative to {TITLES[base]} (logarithmic; shorter is faster)")
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(names))
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    source = Path(sys.argv[1])
    write_report(source, source.parent)
