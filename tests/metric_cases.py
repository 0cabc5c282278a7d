"""Metrics and their batches, the same for Keras and for us; golden/metrics.npz keeps what Keras gives."""

from __future__ import annotations

from typing import Any

import numpy as np

Batch = tuple[np.ndarray, np.ndarray, np.ndarray | None]

# name: (class, arguments, kind of labels and outputs)
CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "auc": ("AUC", {}, "binary"),
    "auc weighted": ("AUC", {}, "binary weighted"),
    "auc few thresholds": ("AUC", {"num_thresholds": 7}, "binary"),
    "auc uneven thresholds": ("AUC", {"thresholds": [0.11, 0.8, 0.34]}, "binary weighted"),
    "auc minoring": ("AUC", {"summation_method": "minoring", "num_thresholds": 20}, "binary"),
    "auc majoring": ("AUC", {"summation_method": "majoring", "num_thresholds": 20}, "binary"),
    "auc pr": ("AUC", {"curve": "PR"}, "binary"),
    "auc pr few thresholds": ("AUC", {"curve": "PR", "num_thresholds": 9}, "binary weighted"),
    "auc pr minoring": ("AUC", {"curve": "PR", "summation_method": "minoring"}, "binary"),
    "auc pr majoring": ("AUC", {"curve": "PR", "summation_method": "majoring"}, "binary"),
    "auc logits": ("AUC", {"from_logits": True}, "logits"),
    "auc of several as one": ("AUC", {}, "several"),
    "auc of several": ("AUC", {"multi_label": True}, "several weighted"),
    "auc of several, weights": ("AUC", {"multi_label": True, "label_weights": [1.0, 0.5, 3.0]}, "several"),
    "auc pr of several": ("AUC", {"multi_label": True, "curve": "PR"}, "several"),
    "auc of classes": ("AUC", {"multi_label": True, "num_labels": 6}, "classes"),
    "precision": ("Precision", {}, "binary"),
    "precision weighted": ("Precision", {}, "binary weighted"),
    "precision thresholds": ("Precision", {"thresholds": [0.7, 0.2, 0.5]}, "binary"),
    "precision even thresholds": ("Precision", {"thresholds": [0.0, 0.5, 1.0]}, "binary"),
    "precision top 2": ("Precision", {"top_k": 2}, "several"),
    "precision top 1 threshold": ("Precision", {"top_k": 1, "thresholds": 0.6}, "several weighted"),
    "precision of one class": ("Precision", {"class_id": 2}, "classes"),
    "precision of one class, top 2": ("Precision", {"class_id": 1, "top_k": 2}, "classes"),
    "recall": ("Recall", {}, "binary"),
    "recall weighted": ("Recall", {"thresholds": 0.3}, "binary weighted"),
    "recall top 3": ("Recall", {"top_k": 3}, "classes"),
    "recall of one class": ("Recall", {"class_id": 4, "thresholds": [0.1, 0.3]}, "classes"),
    "true positives": ("TruePositives", {}, "binary weighted"),
    "false positives": ("FalsePositives", {"thresholds": [0.25, 0.75]}, "binary"),
    "true negatives": ("TrueNegatives", {}, "several"),
    "false negatives": ("FalseNegatives", {"thresholds": [0.9, 0.1]}, "binary weighted"),
    "f1 each": ("F1Score", {}, "classes"),
    "f1 macro": ("F1Score", {"average": "macro"}, "classes weighted"),
    "f1 micro": ("F1Score", {"average": "micro"}, "classes"),
    "f1 weighted": ("F1Score", {"average": "weighted"}, "classes weighted"),
    "f1 threshold": ("F1Score", {"threshold": 0.5}, "several"),
    "f1 of one": ("F1Score", {"threshold": 0.5, "average": "macro"}, "binary"),
    "f2": ("FBetaScore", {"beta": 2.0, "average": "macro", "threshold": 0.4}, "several weighted"),
    "binary accuracy": ("BinaryAccuracy", {"threshold": 0.3}, "binary weighted"),
    "binary accuracy of several": ("BinaryAccuracy", {}, "several"),
    "categorical accuracy": ("CategoricalAccuracy", {}, "classes weighted"),
    "top 2": ("TopKCategoricalAccuracy", {"k": 2}, "classes weighted"),
    "top 5": ("TopKCategoricalAccuracy", {}, "classes"),
    "sparse top 2": ("SparseTopKCategoricalAccuracy", {"k": 2}, "numbers"),
    "sparse top 3 steps": ("SparseTopKCategoricalAccuracy", {"k": 3}, "steps"),
    "sparse top 2 of ids": ("SparseTopKCategoricalAccuracy", {"k": 2, "from_sorted_ids": True}, "ids"),
}


def batches(kind: str) -> list[Batch]:
    """Three batches of different sizes: labels, outputs, weights or None; some outputs stand on 0, 0.5 and 1."""
    random = np.random.RandomState(len(kind))
    made = []
    for rows in (17, 5, 30):
        outputs = {"several": 3, "classes": 6, "numbers": 6, "ids": 6, "steps": 6}.get(kind.split()[0], 1)
        y = random.random_sample((rows, outputs)).astype(np.float32)
        if kind.startswith(("binary", "several")):
            labels = (random.random_sample((rows, outputs)) < 0.3 + 0.4 * y).astype(np.float32)
            y[:3, 0] = [0.0, 0.5, 1.0]
        elif kind == "logits":
            labels = (random.random_sample((rows, 1)) < y).astype(np.float32)
            y = (6 * y - 3).astype(np.float32)
        else:
            y[0, :3] = 0.9375  # ties
            y /= y.sum(axis=1, keepdims=True)
            numbers = np.where(random.random_sample(rows) < 0.5, y.argmax(axis=1), random.randint(6, size=rows))
            labels = np.eye(6, dtype=np.float32)[numbers] if kind.startswith("classes") else numbers
        if kind == "steps":
            y, labels = np.stack([y, y[::-1]], axis=1), np.stack([labels, labels], axis=1)
        if kind == "ids":
            y = np.argsort(-y, axis=1, kind="stable").astype(np.float32)
            labels = labels.astype(np.float32)
        weights = random.random_sample(rows).astype(np.float32) if kind.endswith("weighted") else None
        made.append((labels, y, weights))
    return made


def results(metrics: Any) -> dict[str, np.ndarray]:
    """The result of every case after each batch, by the metrics of a module, Keras' or ours."""
    found = {}
    for name, (kind, arguments, data) in CASES.items():
        metric = getattr(metrics, kind)(**arguments)
        for number, batch in enumerate(batches(data)):
            metric.update_state(*batch)
            found[f"{name}/{number}"] = np.array(metric.result(), np.float64)
    return found
