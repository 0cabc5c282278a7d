"""Where one version of Keras keeps `pad_sequences`."""

from unrolled.preprocessing.sequence import pad_sequences

__all__ = ["pad_sequences"]
