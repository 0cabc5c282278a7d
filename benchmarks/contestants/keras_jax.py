"""Keras on JAX: Keras' own train step, compiled once, its state donated and kept on the device between steps."""

from __future__ import annotations

import os
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import keras
import numpy as np

from workloads import Arrays, Workload, build, loss_name

STATE = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")


def versions() -> str:
    return f"Keras {keras.__version__} on JAX {jax.__version__}"


def variants(work: Workload) -> list[str]:
    if work.kind == "train":
        return ["scan", "unrolled"] if work.T <= 30 else ["scan"]
    return ["predict_on_batch", "jit"] if work.kind == "latency" else ["jit 128", "jit 512"]


class Contestant:
    def __init__(self, work: Workload, arrays: Arrays, variant: str) -> None:
        self.model = model = build(work, keras.models, keras.layers, unroll=variant == "unrolled")
        model.set_weights([arrays[f"w{i}"] for i in range(len(model.weights))])
        self.raw = arrays["x"]
        self.x = [jax.numpy.asarray(batch) for batch in self.raw]
        self.y = [jax.numpy.asarray(batch) for batch in arrays["y"]]
        self.result: Any = None
        self.step = getattr(self, work.kind)
        if work.kind == "train":
            self.prepare_training(work)
        else:
            variables = ([v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables])
            self.call = jax.jit(lambda x: model.stateless_call(*variables, x, training=False)[0])
        if work.kind == "predict":
            size = int(variant.split()[1])
            self.parts = [self.x[0][i : i + size] for i in range(0, work.B, size)]
        if variant == "predict_on_batch":
            self.step = self.predict_on_batch

    def prepare_training(self, work: Workload) -> None:
        model = self.model
        model.compile(optimizer=work.optimizer, loss=loss_name(work))
        model._symbolic_build(data_batch=(self.x[0], self.y[0]))
        model.make_train_function()
        self.state = model._get_jax_state(**dict.fromkeys(STATE, True), purge_model_variables=False)

    def train(self, i: int) -> None:
        self.result, self.state = self.model.train_function(self.state, iter([(self.x[i], self.y[i])]))

    def predict(self, i: int) -> None:
        self.result = np.concatenate([np.asarray(y) for y in [self.call(part) for part in self.parts]])

    def latency(self, i: int) -> None:
        self.result = np.asarray(self.call(self.raw[i]))

    def predict_on_batch(self, i: int) -> None:
        self.result = self.model.predict_on_batch(self.raw[i])

    def wait(self) -> None:
        if isinstance(self.result, dict):
            jax.block_until_ready((self.result, self.state))

    def finish(self) -> None:
        pass

    def values(self) -> np.ndarray:
        if not isinstance(self.result, dict):
            return self.result
        loss = np.asarray(self.result["loss"])  # Keras' running mean: start it anew
        self.state = (*self.state[:3], [jax.numpy.zeros_like(value) for value in self.state[3]])
        return loss
