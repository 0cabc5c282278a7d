"""The layers, under Keras' names."""

from unrolled.layers.base import Layer
from unrolled.layers.bigrams import BigramEmbedding
from unrolled.layers.core import (
    Activation,
    Dense,
    Flatten,
    Input,
    InputLayer,
    Masking,
    RepeatVector,
    Reshape,
)
from unrolled.layers.dropout import Dropout, SpatialDropout1D, WordDropout
from unrolled.layers.embeddings import Embedding
from unrolled.layers.pooling import GlobalAveragePooling1D, GlobalMaxAveragePooling1D, GlobalMaxPooling1D
from unrolled.layers.recurrent import GRU, LSTM, Recurrent, SimpleRNN
from unrolled.layers.wrappers import Bidirectional, TimeDistributed

__all__ = [
    "GRU",
    "LSTM",
    "Activation",
    "Bidirectional",
    "BigramEmbedding",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAveragePooling1D",
    "GlobalMaxAveragePooling1D",
    "GlobalMaxPooling1D",
    "Input",
    "InputLayer",
    "Layer",
    "Masking",
    "Recurrent",
    "RepeatVector",
    "Reshape",
    "SimpleRNN",
    "SpatialDropout1D",
    "TimeDistributed",
    "WordDropout",
]
