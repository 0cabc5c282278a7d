"""Keras' `backend.clear_session`: automatic layer and model names start afresh."""

from __future__ import annotations

from unrolled.layers.base import forget_names


def clear_session() -> None:
    """Forget all automatic names: the next LSTM is called "lstm" again. Models that exist are not touched."""
    forget_names()
