"""Keras' names for small things: `to_categorical`, `pad_sequences`, `set_random_seed`."""

from unrolled.preprocessing.sequence import pad_sequences
from unrolled.random import set_random_seed
from unrolled.utils import data_utils
from unrolled.utils.numerical_utils import to_categorical

__all__ = ["data_utils", "pad_sequences", "set_random_seed", "to_categorical"]
