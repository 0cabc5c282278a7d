"""PyTorch: nn.LSTM, nn.GRU, nn.RNN with and without oneDNN, with Keras' optimizer formulas in fused operations."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from workloads import THREADS, Arrays, Workload

torch.set_num_threads(THREADS)
MODULES = {"SimpleRNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
ORDER = {"SimpleRNN": [0], "LSTM": [0, 1, 2, 3], "GRU": [1, 0, 2]}  # Keras' gate at each of PyTorch's places


def versions() -> str:
    return f"PyTorch {torch.__version__}"


def variants(work: Workload) -> list[str]:
    ways = ["oneDNN", "native"] if work.cell == "LSTM" else ["native"]
    if work.kind == "predict":
        return [f"{way} {size}" for way in ways for size in (128, 512)]
    return [*ways, *(f"{way} time first" for way in ways)]


class Network(nn.Module):
    """Embedding, recurrent layers, Dense; returns logits."""

    def __init__(self, work: Workload, values: list[np.ndarray], time_first: bool) -> None:
        super().__init__()
        self.time_first = time_first
        tensors = [torch.from_numpy(value.copy()) for value in values]
        self.embedding = nn.Embedding.from_pretrained(tensors.pop(0), freeze=False) if work.vocabulary else None
        self.recurrent = nn.ModuleList()
        for _ in range(work.depth):
            self.recurrent.append(recurrent(work, *tensors[:3], batch_first=not time_first))
            del tensors[:3]
        self.head = nn.Linear(work.units, work.classes)
        self.head.weight.data, self.head.bias.data = tensors[0].T.contiguous(), tensors[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.time_first:
            x = x.transpose(0, 1)
        if self.embedding is not None:
            x = self.embedding(x)
        for layer in self.recurrent:
            x, _ = layer(x)
        return self.head(x[-1] if self.time_first else x[:, -1])


def recurrent(
    work: Workload, kernel: torch.Tensor, recurrent_kernel: torch.Tensor, bias: torch.Tensor, batch_first: bool
) -> nn.Module:
    """One layer with Keras' weights. Where PyTorch has a second bias and Keras has not, it stays at zero."""
    layer = MODULES[work.cell](kernel.shape[0], work.units, batch_first=batch_first)

    def gates(value: torch.Tensor) -> torch.Tensor:
        parts = value.split(work.units, dim=-1)
        return torch.cat([parts[g] for g in ORDER[work.cell]], dim=-1).T.contiguous()

    layer.weight_ih_l0.data, layer.weight_hh_l0.data = gates(kernel), gates(recurrent_kernel)
    if work.cell == "GRU":
        layer.bias_ih_l0.data, layer.bias_hh_l0.data = gates(bias[:1])[:, 0], gates(bias[1:])[:, 0]
    else:
        layer.bias_ih_l0.data, layer.bias_hh_l0.data = bias, torch.zeros_like(bias)
        layer.bias_hh_l0.requires_grad_(False)
    return layer


class RMSprop:
    """Keras' RMSprop: divides by sqrt(v + epsilon), where PyTorch's own divides by sqrt(v) + epsilon."""

    def __init__(self, parameters: list[torch.Tensor]) -> None:
        self.parameters = parameters
        self.v = [torch.zeros_like(p) for p in parameters]

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        gradients = [p.grad for p in self.parameters]
        torch._foreach_mul_(self.v, 0.9)
        torch._foreach_addcmul_(self.v, gradients, gradients, 0.1)
        divisor = torch._foreach_add(self.v, 1e-7)
        torch._foreach_sqrt_(divisor)
        torch._foreach_addcdiv_(self.parameters, gradients, divisor, -1e-3)


class Adam(torch.optim.Adam):
    """Keras' Adam: its epsilon is added before the correction of v for the first steps, PyTorch's after it."""

    def __init__(self, parameters: list[torch.Tensor]) -> None:
        super().__init__(parameters, lr=1e-3, fused=True)
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        self.param_groups[0]["eps"] = 1e-7 / (1 - 0.999**self.steps) ** 0.5
        super().step()


class Contestant:
    def __init__(self, work: Workload, arrays: Arrays, variant: str) -> None:
        values = [arrays[f"w{i}"] for i in range(sum(name[0] == "w" for name in arrays))]
        self.model = Network(work, values, "time first" in variant)
        self.raw = arrays["x"]
        self.x = [torch.from_numpy(batch) for batch in self.raw]
        self.y = [torch.from_numpy(batch) for batch in arrays["y"]]
        self.result: Any = None
        self.run = getattr(self, work.kind)
        self.native = "native" in variant
        self.activate = torch.sigmoid if work.classes == 1 else functional.softmax
        self.loss = functional.binary_cross_entropy_with_logits if work.classes == 1 else functional.cross_entropy
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = {"rmsprop": RMSprop, "adam": Adam}[work.optimizer](trainable)
        if work.kind == "predict":
            self.parts = self.x[0].split(int(variant.split()[1]))

    def step(self, i: int) -> None:
        with torch.backends.mkldnn.flags(enabled=False) if self.native else contextlib.nullcontext():
            self.run(i)

    def train(self, i: int) -> None:
        self.optimizer.zero_grad()
        loss = self.loss(self.model(self.x[i]), self.y[i])
        loss.backward()
        self.optimizer.step()
        self.result = loss.detach()

    @torch.inference_mode()
    def predict(self, i: int) -> None:
        self.result = torch.cat([self.activate(self.model(part)) for part in self.parts])

    @torch.inference_mode()
    def latency(self, i: int) -> None:
        self.result = self.activate(self.model(torch.from_numpy(self.raw[i])))

    def wait(self) -> None:
        pass

    def finish(self) -> None:
        pass

    def values(self) -> np.ndarray:
        return self.result.numpy()
