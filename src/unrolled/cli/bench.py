"""unrolled bench: milliseconds a training step on this machine, beside PyTorch and Keras where they are installed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer

from unrolled.cli import options as o
from unrolled.cli.options import say
from unrolled.errors import require_extra
from unrolled.parameters import Array
from unrolled.printing import Table

V, B, T, D, H = 10_000, 128, 500, 32, 32  # words, texts a step, steps, embedding, units: the chapter's LSTM
BATCHES = 4
STEADY = 1.5  # the longest time over the shortest; beyond it a reader is warned
Step = Callable[[Array, Array], float]  # one training step on (B, T) ids and (B,) labels; returns the loss


def bench(
    rounds: Annotated[int, typer.Option(help="Rounds; in each, every library takes its turn.", min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="Least time of a turn.", min=0.01)] = 1.0,
    threads: Annotated[int | None, typer.Option(help="Threads of each library. Default: the cores.", min=1)] = None,
) -> None:
    """Measure a training step on this machine, beside PyTorch and Keras if they can be imported.

    The model is the teaching chapter's: Embedding(10000, 32), LSTM(32), Dense(1), rmsprop, batches of 128 texts of 500
    steps. The texts are made up: as long as film reviews (median 178 words, padded in front), words as frequent as in a
    language. All start from the same weights, and the losses of the first step are compared before the clock runs.
    Turns alternate; medians are shown. The whole comparison, on real reviews, is in the project's benchmarks/.

    ```
    unrolled bench
    unrolled bench --rounds 9 --threads 1
    ```
    """
    threads = threads or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else threads or os.cpu_count()
    assert threads is not None
    random = np.random.default_rng(0)
    batches = [make_batch(random) for _ in range(BATCHES)]
    weights = make_weights(random)
    steps: dict[str, Step] = {}
    for name, (package, start) in CONTESTANTS.items():
        if package == "unrolled" or find_spec(package) is not None:
            steps[called(name, package)] = start(weights, threads)
        else:
            say(f"{name} is not installed, and not measured.")
    say(f"{rounds} rounds of {', '.join(steps)}, each at least {seconds:g} s ...")
    losses = {name: step(*batches[0]) for name, step in steps.items()}
    for name, loss in losses.items():
        if abs(loss - losses["unrolled"]) > 1e-4:
            raise ValueError(
                f"bench: {name} has another loss after the first step, {loss}, unrolled {losses['unrolled']}."
            )
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(measure(step, batches, seconds))
    o.show_table(results(times, threads))
    spread = max(max(found) / min(found) for found in times.values())
    if spread > STEADY:
        say(
            f"\nTimes of one library differ by a factor of up to {spread:.1f}: "
            "the machine is busy, and ratios say little."
        )


def called(name: str, package: str) -> str:
    """A library with its version; Keras with its backend, which does the work."""
    if package == "unrolled":
        return name
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reports its build on every start
    module = require_extra(package, "bench", f"measuring {name}")
    backend = f" on {module.backend.backend()}" if package == "keras" else ""
    return f"{name} {module.__version__.partition('+')[0]}{backend}"


def make_batch(random: np.random.Generator) -> tuple[Array, Array]:
    """Ids padded in front with 0, and labels."""
    lengths = np.clip(random.lognormal(np.log(178), 0.65, B).astype(int), 11, T)
    ids = np.minimum(random.zipf(1.2, (B, T)), V - 1).astype(np.int32)
    ids[np.arange(T) < (T - lengths)[:, None]] = 0
    return ids, random.integers(0, 2, B).astype(np.float32)


def make_weights(random: np.random.Generator) -> list[Array]:
    """Embedding, kernel, recurrent kernel, bias, and the two of Dense, in Keras' order."""
    shapes = [(V, D), (D, 4 * H), (H, 4 * H), (4 * H,), (H, 1), (1,)]
    weights = [random.uniform(-0.1, 0.1, shape).astype(np.float32) for shape in shapes]
    weights[3][:], weights[3][H : 2 * H], weights[5][:] = 0, 1, 0
    return weights


def start_ours(weights: list[Array], threads: int) -> Step:
    """A step of this package."""
    from unrolled import engine, layers, models

    engine.set_num_threads(threads)
    network = [layers.Input((T,)), layers.Embedding(V, D), layers.LSTM(H), layers.Dense(1, "sigmoid")]
    return _keras_like(models.Sequential(network), weights)


def start_keras(weights: list[Array], threads: int) -> Step:
    """A step of Keras, on the backend that it is set to."""
    keras = require_extra("keras", "bench", "measuring Keras")
    if keras.backend.backend() == "tensorflow":
        config = require_extra("tensorflow", "bench", "measuring Keras").config.threading
        config.set_intra_op_parallelism_threads(threads)
    layers = keras.layers
    network = [layers.Input((T,), dtype="int32"), layers.Embedding(V, D), layers.LSTM(H), layers.Dense(1, "sigmoid")]
    return _keras_like(keras.Sequential(network), weights)


def _keras_like(model: Any, weights: list[Array]) -> Step:
    model.compile(optimizer="rmsprop", loss="binary_crossentropy")
    model.set_weights(weights)

    def step(ids: Array, labels: Array) -> float:
        result = model.train_on_batch(ids, labels[:, None])
        return float(result[0] if isinstance(result, list) else result)

    return step


def start_torch(weights: list[Array], threads: int) -> Step:
    """A step of PyTorch's nn.LSTM; its second bias stays at zero, for Keras has one."""
    torch = require_extra("torch", "bench", "measuring PyTorch")
    torch.set_num_threads(threads)
    table, kernel, recurrent, bias, dense, shift = (torch.from_numpy(value.copy()) for value in weights)
    embedding = torch.nn.Embedding.from_pretrained(table, freeze=False)
    lstm = torch.nn.LSTM(D, H, batch_first=True)
    lstm.weight_ih_l0.data, lstm.weight_hh_l0.data = kernel.T.contiguous(), recurrent.T.contiguous()
    lstm.bias_ih_l0.data, lstm.bias_hh_l0.data = bias, torch.zeros_like(bias)
    lstm.bias_hh_l0.requires_grad_(False)
    head = torch.nn.Linear(H, 1)
    head.weight.data, head.bias.data = dense.T.contiguous(), shift
    learned = [p for part in (embedding, lstm, head) for p in part.parameters() if p.requires_grad]
    optimizer = torch.optim.RMSprop(learned, lr=0.001, alpha=0.9, eps=1e-7)

    def step(ids: Array, labels: Array) -> float:
        optimizer.zero_grad()
        outputs, _ = lstm(embedding(torch.from_numpy(ids)))
        logits = head(outputs[:, -1])[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels))
        loss.backward()
        optimizer.step()
        return loss.item()  # type: ignore[no-any-return]  # no types there

    return step


CONTESTANTS: dict[str, tuple[str, Callable[[list[Array], int], Step]]] = {
    "unrolled": ("unrolled", start_ours), "PyTorch": ("torch", start_torch), "Keras": ("keras", start_keras)
}  # fmt: skip


def measure(step: Step, batches: list[tuple[Array, Array]], seconds: float) -> float:
    """Milliseconds a step, over at least so many seconds and every batch; one step before warms up."""
    step(*batches[0])
    start, number = time.perf_counter(), 0
    while (taken := time.perf_counter() - start) < seconds or number < len(batches):
        step(*batches[number % len(batches)])
        number += 1
    return 1000 * taken / number


def results(times: dict[str, list[float]], threads: int) -> Table:
    """A line a library."""
    ours = times["unrolled"]
    lines = []
    for name, found in times.items():
        ratio = median(theirs / own for theirs, own in zip(found, ours, strict=True))
        lines.append(
            [
                name,
                f"{median(found):.2f}",
                f"{min(found):.2f} to {max(found):.2f}",
                f"{1000 / median(found):.0f}",
                f"{1000 * B / median(found):,.0f}",
                "" if name == "unrolled" else f"{ratio:.1f}",
            ]
        )
    title = f"Training steps of LSTM(32), {B} texts of {T} steps, {threads} threads, median of {len(ours)} rounds"
    return Table(title, ["", "ms a step", "range", "steps/s", "texts/s", "times ours"], lines)
