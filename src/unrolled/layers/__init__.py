"""The layers, under Keras' names."""

from unrolled.layers.base import Layer

__all__ = ["Layer"]
