"""`unrolled` through its public API: train_on_batch and predict."""

from __future__ import annotations

from typing import Any

import numpy as np

import unrolled
from unrolled import layers, models
from workloads import THREADS, Arrays, Workload, build, loss_name

unrolled.set_num_threads(THREADS)


def versions() -> str:
    return f"unrolled {unrolled.__version__}"


def variants(work: Workload) -> list[str]:
    if work.kind == "predict":
        return ["predict 128", "predict 512"]
    return ["train_on_batch"] if work.kind == "train" else ["predict_on_batch"]


class Contestant:
    def __init__(self, work: Workload, arrays: Arrays, variant: str) -> None:
        self.model = build(work, models, layers)
        self.model.set_weights([arrays[f"w{i}"] for i in range(sum(name[0] == "w" for name in arrays))])
        self.model.compile(optimizer=work.optimizer, loss=loss_name(work))
        self.x, self.y = list(arrays["x"]), list(arrays["y"])
        self.size = int(variant.split()[1]) if work.kind == "predict" else work.B
        self.result: Any = None
        self.step = getattr(self, work.kind)

    def train(self, i: int) -> None:
        self.result = self.model.train_on_batch(self.x[i], self.y[i])

    def predict(self, i: int) -> None:
        self.result = self.model.predict(self.x[i], batch_size=self.size, verbose=0)

    def latency(self, i: int) -> None:
        self.result = self.model.predict_on_batch(self.x[i])

    def wait(self) -> None:
        pass

    def finish(self) -> None:
        """Rows that wait for their steps take them before weights are read."""
        self.model.get_weights()

    def values(self) -> np.ndarray:
        return np.asarray(self.result)
