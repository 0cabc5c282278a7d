"""Token ids to vectors of words and of pairs of neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.batch import Sequence, distinct_tokens, sum_rows
from unrolled.layers.dropout import draw_scale
from unrolled.layers.embeddings import Embedding
from unrolled.parameters import Array, Backprop, Gradients, Mode, RowGradient, Shape, no_backprop

_FIRST, _SECOND = np.uint32(0x9E3779B1), np.uint32(0x85EBCA6B)  # odd numbers with well spread bits


class BigramEmbedding(Embedding):
    """A vector for each word, and one added for the word together with the one before it. Not in Keras.

    y[b, t] = E[x[b, t]] + P[bucket(x[b, t - 1], x[b, t])]

    A pair finds its row of P by a hash of its ids, so pairs may share one; no list of pairs is kept. Pairs with padding
    (0) or `unknown`, and the first word of a row, have none. A recurrent layer behind it projects every position, for
    few pairs repeat.

    Args:
        input_dim, output_dim, embeddings_initializer, mask_zero, trainable and others: as Embedding.
        buckets: K, rows of P, 100,000. P starts at zero. unknown: the id of unknown words, 1.
        dropout: in training, of whole vectors of words, as Embedding; bigram_dropout: of whole vectors of pairs.
    Input:   x (B, T) integers in [0, V). Output: (B, T, F).
    Weights: embeddings (V, F), bigrams (K, F).
    Source:  Joulin et al. 2017, "Bag of tricks for efficient text classification".
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        buckets: int = 100_000,
        bigram_dropout: float = 0.0,
        unknown: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_dim, output_dim, **kwargs)
        self.buckets = self.positive_integer("buckets", buckets)
        self.bigram_dropout = self.fraction("bigram_dropout", bigram_dropout)
        self.unknown = int(unknown)

    def build(self, input_shape: Shape) -> None:
        """embeddings (V, F), bigrams (K, F)."""
        new = not self.built
        super().build(input_shape)
        if new:
            self.bigrams = self.add_weight("bigrams", (self.buckets, self.output_dim), "zeros")

    def pairs(self, x: Array) -> Array:
        """The bucket of each word with the one before it, (B, T) int32 from 1; 0 where there is no pair."""
        ids = x.astype(np.uint32)
        real = (x != 0) & (x != self.unknown)
        mixed = ids[:, :-1] * _FIRST + ids[:, 1:] * _SECOND
        mixed ^= mixed >> np.uint32(15)
        found = np.zeros(x.shape, np.int32)
        found[:, 1:] = (mixed % np.uint32(self.buckets) + 1) * (real[:, :-1] & real[:, 1:])
        return found

    def forward(self, x: Array, mode: Mode) -> tuple[Sequence, Backprop]:
        """A row for every kept position, zeros at masked ones."""
        words, back_words = super().forward(x, mode)
        rows, index, _, _ = distinct_tokens(self.pairs(np.asarray(x)), self.buckets + 1)
        none = rows == 0
        rows = np.maximum(rows - 1, 0)
        scale = np.ones((len(rows), 1), self.dtype)
        if mode.training and self.bigram_dropout > 0:
            scale = draw_scale(scale.shape, self.bigram_dropout, self.dtype, mode)
        scale[none] = 0
        kept = np.ones(x.shape, bool) if words.mask is None else words.mask
        of_word, of_pair = words.index[kept], index[kept]
        n, bigrams = len(of_word), self.bigrams
        table = np.empty((n + 1, self.output_dim), self.dtype)
        np.take(words.values, of_word, axis=0, out=table[:n])
        table[:n] += (bigrams.table(rows[~none])[rows] * scale)[of_pair]
        table[n] = 0
        places = np.full(x.shape, n, np.int32)
        places[kept] = np.arange(n)

        def backprop(d_values: Array, gradients: Gradients) -> None:
            d_values = d_values[:n]
            back_words(sum_rows(d_values, of_word, words.n), gradients)
            if bigrams.trainable:
                d_pairs = sum_rows(d_values, of_pair, len(rows)) * scale
                gradients.add(bigrams, RowGradient(rows[~none], d_pairs[~none]))

        return Sequence(table=table, index=places, mask=words.mask), backprop if mode.keep else no_backprop

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"buckets": self.buckets, "bigram_dropout": self.bigram_dropout, "unknown": self.unknown}
        return super().get_config() | own
