"""Write golden.npz, or dropout.npz: what Keras on TensorFlow computes for every case. By hand, with Keras installed.

    python tests/golden/make_golden.py [golden | dropout]

A case whose results stand at a kink (relu, hard_sigmoid) gets the next seed; the seeds are kept in the file.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path[0] = str(HERE.parent)

from golden.cases import all_cases, dropout_cases  # noqa: E402
from golden.with_keras import keras, run, steady, tf  # noqa: E402


def main(name: str = "golden") -> None:
    kept: dict[str, np.ndarray] = {}
    for case in {"golden": all_cases, "dropout": dropout_cases}[name]():
        for attempt in range(20):
            seeded = replace(case, seed=1000 * attempt + len(kept))
            results = run(seeded)
            if steady(seeded, results):
                break
        else:
            raise SystemExit(f"{case.name}: 20 seeds in a row stand at a kink")
        print(f"{case.name}: seed {seeded.seed}, {len(results)} arrays", flush=True)
        kept[f"{case.name}/seed"] = np.array(seeded.seed)
        kept |= {f"{case.name}/{name}": value for name, value in results.items()}
    kept["made with"] = np.array(f"Keras {keras.__version__} on TensorFlow {tf.__version__}")
    np.savez_compressed(HERE / f"{name}.npz", **kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
