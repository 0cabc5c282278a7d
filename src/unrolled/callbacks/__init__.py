"""Callbacks with Keras' hooks, called by fit and evaluate with the epoch or batch (from 0) and the logs so far."""

from unrolled.callbacks.base import HOOKS, Callback, CallbackList, History, LambdaCallback, Logs, overrides
from unrolled.callbacks.routine import CSVLogger, LearningRateScheduler, SwapEMAWeights, TerminateOnNaN
from unrolled.callbacks.watching import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

__all__ = [
    "HOOKS",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "Logs",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "SwapEMAWeights",
    "TerminateOnNaN",
    "overrides",
]
