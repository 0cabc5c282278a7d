"""Random models trained by Keras and by `unrolled`, in float64: losses, metrics, weights, predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import RandomState

from golden.case import MASKS, draw_mask, make_layer, uniform
from golden.with_keras import keras, tf
from parity.random_cases import chance, pick
from unrolled import layers, models
from unrolled import optimizers as our_optimizers

STEPS = 3
Results = dict[str, np.ndarray]
HEADS = {
    "binary_crossentropy": ("sigmoid", (1, 1, 3)),
    "categorical_crossentropy": ("softmax", (2, 4)),
    "sparse_categorical_crossentropy": ("softmax", (2, 4)),
    "mean_squared_error": ("linear", (1, 3)),
    "mean_absolute_error": ("tanh", (1, 2)),
}
OPTIMIZERS = (
    ("SGD", {"learning_rate": 0.1}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True}),
    ("RMSprop", {}),
    ("RMSprop", {"rho": 0.8, "momentum": 0.5, "centered": True}),
    ("Adam", {}),
    ("Adam", {"learning_rate": 0.01, "beta_1": 0.8, "amsgrad": True}),
    ("AdamW", {"weight_decay": 0.02}),
)
CLIPS: tuple[dict[str, float], ...] = ({}, {}, {"clipnorm": 0.1}, {"clipvalue": 0.01}, {"global_clipnorm": 0.2})


@dataclass
class Plan:
    """A model, its data and how it is trained."""

    stack: list[Any]
    loss: str
    optimizer: tuple[str, dict[str, Any]]
    x: np.ndarray
    y: np.ndarray
    weighting: dict[str, Any]
    seed: int


def draw_plan(seed: int) -> Plan:
    random = RandomState(seed)
    B, T, per_step = pick(random, (2, 5, 16)), pick(random, (1, 3, 8)), chance(random, 0.4)
    loss = pick(random, sorted(HEADS))
    activation, widths = HEADS[loss]
    classes = pick(random, widths)
    kind = pick(random, ("SimpleRNN", "LSTM", "GRU"))
    recurrent: Any = (kind, {"units": pick(random, (3, 17)), "return_sequences": per_step})
    if chance(random, 0.3):
        recurrent = ("Bidirectional", {"layer": recurrent})
    keep = draw_mask(pick(random, ("leading", "trailing", *MASKS)), B, T, random)
    keep[0] = True  # some step counts
    if chance(random, 0.7):
        x = np.where(keep, random.randint(1, 9, (B, T)), 0).astype(np.int32)
        stack = [("Embedding", {"input_dim": 9, "output_dim": 4, "mask_zero": chance(random, 0.5)}), recurrent]
    else:
        x = np.where(keep[..., None], uniform(random, (B, T, 4)), 0).astype(np.float64)
        stack = [("Masking", {}), recurrent] if chance(random, 0.5) else [recurrent]
    if not per_step and chance(random, 0.3):
        stack.append(("Dense", {"units": 5, "activation": "relu"}))
    dense = ("Dense", {"units": classes, "activation": activation})
    stack.append(("TimeDistributed", {"layer": dense}) if per_step and chance(random, 0.5) else dense)
    y = draw_labels(random, loss, (B, T) if per_step else (B,), classes)
    name, options = pick(random, OPTIMIZERS)
    optimizer = (name, {**options, **pick(random, CLIPS)})
    return Plan(stack, loss, optimizer, x, y, draw_weighting(random, loss, B, T, per_step, classes), seed)


def draw_labels(random: RandomState, loss: str, places: tuple[int, ...], classes: int) -> np.ndarray:
    if loss.startswith("mean"):
        return uniform(random, (*places, classes)).astype(np.float64)
    if loss == "binary_crossentropy":
        return random.randint(0, 2, (*places, classes)).astype(np.float64)
    numbers = random.randint(0, classes, places)
    return numbers if loss.startswith("sparse") else np.eye(classes)[numbers]


def draw_weighting(random: RandomState, loss: str, B: int, T: int, per_step: bool, classes: int) -> dict[str, Any]:
    how = pick(random, ("none", "none", "sample", "sample", "class"))
    if how == "sample":
        shape = (B, T) if per_step else (B,)  # Keras fails on (B,) with a mask of steps
        return {"sample_weight": random.random_sample(shape) + 0.1}
    labelled = not loss.startswith("mean") and not per_step and not (loss == "binary_crossentropy" and classes > 1)
    if how == "class" and labelled:
        return {"class_weight": {k: 0.5 + k for k in range(max(classes, 2))}}
    return {}


def train(model: Any, plan: Plan) -> Results:
    """The numbers that Keras and we must agree on."""
    results = {"predicted before": model.predict(plan.x, verbose=0)}
    for step in range(STEPS):
        logs = model.train_on_batch(plan.x, plan.y, return_dict=True, **plan.weighting)
        results |= {f"{name} {step}": np.asarray(value) for name, value in logs.items()}
    sample_weight = plan.weighting.get("sample_weight")
    logs = model.evaluate(plan.x, plan.y, sample_weight=sample_weight, verbose=0, return_dict=True)
    results |= {f"evaluated {name}": np.asarray(value) for name, value in logs.items()}
    results |= {f"weight {i}": value for i, value in enumerate(model.get_weights())}
    return results | {"predicted after": model.predict(plan.x, verbose=0)}


def weights(plan: Plan, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    random = RandomState(plan.seed + 1)
    return [uniform(random, shape, 1.2 / np.sqrt(shape[0]) if len(shape) > 1 else 0.5) for shape in shapes]


def with_keras(plan: Plan) -> Results:
    keras.config.set_floatx("float64")
    try:
        model = keras.Sequential([make_layer(spec, keras.layers, "float64") for spec in plan.stack])
        model.build(plan.x.shape)
        model.set_weights(weights(plan, [tuple(w.shape) for w in model.weights]))
        optimizer = double_optimizer(*plan.optimizer)
        apply = optimizer.apply

        def apply_dense(gradients: Any, variables: Any = None) -> Any:
            """Rows of a repeated token added before they are squared: Keras 3.15 on TensorFlow squares them apart."""
            return apply([tf.convert_to_tensor(gradient) for gradient in gradients], variables)

        optimizer.apply = apply_dense
        model.compile(optimizer=optimizer, loss=plan.loss, metrics=["accuracy"], run_eagerly=True)
        return train(model, plan)
    finally:
        keras.config.set_floatx("float32")


def double_optimizer(name: str, options: dict[str, Any]) -> Any:
    """Keras' optimizer; it takes Python's numbers for float32 (0.999 would lose five digits of 1 - 0.999)."""
    optimizer = getattr(keras.optimizers, name)(**options)
    for option, value in vars(optimizer).items():
        if isinstance(value, float):
            setattr(optimizer, option, np.float64(value))
    return optimizer


def with_unrolled(plan: Plan) -> Results:
    model = models.Sequential([make_layer(spec, layers, "float64") for spec in plan.stack])
    model.build(plan.x.shape)
    model.set_weights(weights(plan, [w.shape for w in model.weights]))
    optimizer = getattr(our_optimizers, plan.optimizer[0])(**plan.optimizer[1])
    model.compile(optimizer=optimizer, loss=plan.loss, metrics=["accuracy"])
    return train(model, plan)
