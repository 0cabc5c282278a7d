"""Keras on TensorFlow: Keras' own train step in one tf.function, with and without XLA.

With an Embedding its optimizers see an IndexedSlices in which a token that occurs twice has two rows; Keras 3.15
squares each row before it adds them; on other backends it squares the sum. So there only the first loss must agree.
"""

from __future__ import annotations

import os
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf

from workloads import THREADS, Arrays, Workload, build, loss_name

tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(THREADS)


def versions() -> str:
    return f"Keras {keras.__version__} on TensorFlow {tf.__version__}"


def variants(work: Workload) -> list[str]:
    if work.kind == "train":
        return ["graph", "xla", "graph unrolled", "xla unrolled"] if work.T <= 30 else ["graph", "xla"]
    if work.kind == "latency":
        return ["predict_on_batch", "graph", "xla"]
    return ["graph 128", "graph 512", "xla 512"]


def comparable(work: Workload) -> int | None:
    """How many of the first round's values follow the same mathematics; None for all."""
    return 1 if work.kind == "train" and work.vocabulary else None


class Contestant:
    def __init__(self, work: Workload, arrays: Arrays, variant: str) -> None:
        self.model = model = build(work, keras.models, keras.layers, unroll="unrolled" in variant)
        model.set_weights([arrays[f"w{i}"] for i in range(len(model.weights))])
        self.raw = arrays["x"]
        self.x = [tf.constant(batch) for batch in self.raw]
        self.y = [tf.constant(batch) for batch in arrays["y"]]
        self.result: Any = None
        self.step = getattr(self, work.kind)
        compiled = {"jit_compile": "xla" in variant}
        if work.kind == "train":
            model.compile(optimizer=work.optimizer, loss=loss_name(work), **compiled)
            model._symbolic_build(data_batch=(self.x[0], self.y[0]))
            self.call = tf.function(lambda x, y: model.train_step((x, y)), **compiled)
        else:
            self.call = tf.function(lambda x: model(x, training=False), **compiled)
        if work.kind == "predict":
            size = int(variant.split()[1])
            self.parts = [self.x[0][i : i + size] for i in range(0, work.B, size)]
        if variant == "predict_on_batch":
            self.step = self.predict_on_batch

    def train(self, i: int) -> None:
        self.result = self.call(self.x[i], self.y[i])

    def predict(self, i: int) -> None:
        self.result = np.concatenate([self.call(part).numpy() for part in self.parts])

    def latency(self, i: int) -> None:
        self.result = self.call(self.raw[i]).numpy()

    def predict_on_batch(self, i: int) -> None:
        self.result = self.model.predict_on_batch(self.raw[i])

    def wait(self) -> None:
        if isinstance(self.result, dict):
            self.result["loss"].numpy()

    def finish(self) -> None:
        pass

    def values(self) -> np.ndarray:
        if not isinstance(self.result, dict):
            return self.result
        loss = self.result["loss"].numpy()  # Keras' running mean: start it anew
        self.model.reset_metrics()
        return loss
