"""Keras' names for small things: `to_categorical`, `pad_sequences`, `set_random_seed`, `PyDataset`."""

from unrolled.preprocessing.sequence import pad_sequences
from unrolled.random import set_random_seed
from unrolled.utils import data_utils
from unrolled.utils.numerical_utils import to_categorical
from unrolled.utils.py_dataset import PyDataset

Sequence = PyDataset  # its name in Keras 2

__all__ = ["PyDataset", "Sequence", "data_utils", "pad_sequences", "set_random_seed", "to_categorical"]
