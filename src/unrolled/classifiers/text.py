"""A classifier of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

import numpy as np

from unrolled.callbacks import Callback
from unrolled.classifiers.base import RecurrentClassifier
from unrolled.classifiers.presets import preset
from unrolled.columns import as_texts
from unrolled.inspect.words import Words, require_words
from unrolled.layers import BigramEmbedding, Embedding, Layer, WordDropout
from unrolled.text import OOV_ID, PackedIds, TextVectorizer

TRUNCATING = ("pre", "middle", "post")


class TextClassifier(RecurrentClassifier):
    """Classes of texts: words, Embedding, recurrent layers, softmax, as a scikit-learn estimator.

    TextClassifier(cell="gru").fit(texts, labels).predict(["what a film"]) -> array(["positive"])

    Texts are a list, or a NumPy, pandas, polars or Arrow column; labels numbers or text, two classes or more. A text's
    probabilities do not depend on the texts around it: padding is masked.

    Args (the defaults are the preset "fast"):
        cell: "gru", "lstm" or "simple_rnn"; units: 32 of each layer; layers: how many of them, 1; bidirectional: read
            in both directions, True; pooling: what the classes are read from: "max+mean", "max" or "mean" over all
            steps, or None, the last state.
        dropout: share of what the classes are read from (and of the outputs between layers) set to 0 in training, 0.3;
            embedding_dropout: share of the words whose vectors are set to 0, each at all its places in the batch, 0.3;
            word_dropout: share of the places where the word becomes an unknown one, 0.1.
        embedding_dim: size of a word's vector, 32; bigrams: 0, or so many vectors (by a hash) for pairs of neighbouring
            words, which are added to the words' (BigramEmbedding); bigram_dropout: as embedding_dropout for them, 0.5.
        num_words: 30,000 most frequent words; min_count: words that occur so often, 1; tokenizer, stop_words: as
            TextVectorizer.
        maxlen: words of a text that are read, 400; truncating: of longer ones, drop the "middle", or the beginning
            ("pre") or end ("post").
        epochs: at most; None, as many as read about 80,000 texts, 3 to 20; batch_size: 64; optimizer: "adam";
            learning_rate: 0.004; final_learning_rate: the share of it that is left at the end, falling step by step,
            0.05; weight_averaging: keep a running mean of the weights over about so many epochs, and judge and predict
            with it, 0.3; 0, none.
        class_weight: None, "balanced" or {label: weight}.
        early_stopping: True: hold out validation_fraction (0.1) of the rows, stratified, repeated texts on one side;
            stop when their loss has not improved for patience (2) epochs; keep the best epoch's weights.
        networks: how many are trained, each from other weights; their probabilities are averaged, 1. With bigrams every
            second one has none, for networks that differ more make a better mean.
        warm_start: True: fit goes on from the words and weights of the fit before, for so many epochs more, or for
            those that were left when Ctrl-C stopped it, of which the first is the one that was stopped, from its
            beginning; give random_state a number so that the same rows are held out.
        random_state: a number for equal bits at every fit; verbose: as Sequential.fit, 0.
    Attributes:
        classes_; model_, the Sequential, the first of several; vectorizer_, the TextVectorizer; history_,
        {"loss": [...], ...}; n_iter_, epochs run; seconds_ that they took; interrupted_, whether Ctrl-C stopped
        them; validation_, the kept epoch's figures on the rows held out; held_out_, row numbers; repeated_, how
        many texts repeat an earlier one; wordless_, row numbers of texts in which fit found no word.
    """

    def __init__(
        self,
        cell: str = "gru",
        units: int = 32,
        layers: int = 1,
        bidirectional: bool = True,
        pooling: str | None = "max+mean",
        dropout: float = 0.3,
        embedding_dropout: float = 0.3,
        word_dropout: float = 0.1,
        embedding_dim: int = 32,
        bigrams: int = 0,
        bigram_dropout: float = 0.5,
        num_words: int | None = 30_000,
        min_count: int = 1,
        tokenizer: str | Callable[[str], list[str]] = "words",
        stop_words: Iterable[str] | None = None,
        maxlen: int = 400,
        truncating: str = "middle",
        epochs: int | None = None,
        batch_size: int = 64,
        optimizer: str = "adam",
        learning_rate: float = 0.004,
        final_learning_rate: float = 0.05,
        weight_averaging: float = 0.3,
        class_weight: Any = None,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        patience: int = 2,
        networks: int = 1,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self._take(locals())

    @classmethod
    def from_preset(cls, name: str, **arguments: Any) -> Self:
        """A classifier with the arguments of a preset, "fast" (the defaults) or "best"; others take precedence.

        TextClassifier.from_preset("best", epochs=3, random_state=0)

        Raises: ValueError for an unknown name.
        """
        return cls(**(preset(name) | arguments))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array, tags.input_tags.string = True, False, True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, callbacks: Iterable[Callback] = ()) -> Self:
        """Learn the words, then the network.

        Args:    X: N texts; y: N labels; sample_weight: N numbers; callbacks: as Sequential.fit.
        Raises:  TypeError naming the row that is no text; ValueError for one class, missing labels, other lengths.
        """
        if self.truncating not in TRUNCATING:
            raise ValueError(f'TextClassifier: expected truncating "middle", "pre" or "post", got {self.truncating!r}.')
        self._check_count("maxlen", "embedding_dim")
        self._check_count("bigrams", least=0)
        self._check_share("embedding_dropout", "word_dropout", "bigram_dropout")
        texts = as_texts(X, "X")
        if not texts:
            raise ValueError("TextClassifier: expected at least one text in X, got 0 rows.")
        return self._train(self._rows_to_learn(texts), y, sample_weight, texts, callbacks)

    def _rows_to_learn(self, texts: list[str]) -> PackedIds:
        if self._goes_on():
            rows = self._rows(texts)
        else:
            self.vectorizer_ = TextVectorizer(self.tokenizer, self.stop_words, self.num_words, self.min_count)
            rows = self.vectorizer_.fit_packed(texts).cut(self.maxlen, self.truncating)
        self.wordless_: list[int] = np.flatnonzero(rows.lengths == 0).tolist()
        return rows

    def _rows(self, X: Any) -> PackedIds:
        return self.vectorizer_.transform_packed(as_texts(X, "X")).cut(self.maxlen, self.truncating)

    def _is_one(self, X: Any) -> bool:
        return isinstance(X, str)

    def _words(self, X: Any) -> Words:
        vocabulary, rows = self.vectorizer_.vocabulary, []
        assert vocabulary is not None
        for number, text in enumerate(as_texts(X, "X")):
            words = self.vectorizer_.tokenize(text)
            require_words(words, text, number, "TextClassifier")
            kept = PackedIds.from_rows([np.arange(len(words))]).cut(self.maxlen, self.truncating).ids
            rows.append([words[k] if words[k] in vocabulary else f"{words[k]}[?]" for k in kept])
        return Words.of(vocabulary).with_rows(rows)

    def _first_layers(self, network: int) -> list[Layer]:
        assert self.vectorizer_.vocabulary is not None
        size = len(self.vectorizer_.vocabulary)
        shared: dict[str, Any] = {"mask_zero": True, "dropout": self.embedding_dropout, "name": "embedding"}
        words: list[Layer] = [WordDropout(self.word_dropout, OOV_ID, name="word_dropout")] if self.word_dropout else []
        if self.bigrams and network % 2 == 0:
            shared |= {"buckets": self.bigrams, "bigram_dropout": self.bigram_dropout, "unknown": OOV_ID}
            return [*words, BigramEmbedding(size, self.embedding_dim, **shared)]
        return [*words, Embedding(size, self.embedding_dim, **shared)]

    def _get_arguments(self) -> dict[str, Any]:
        arguments = super()._get_arguments()
        if arguments["stop_words"] is not None:
            arguments["stop_words"] = sorted(arguments["stop_words"])
        return arguments

    def _get_state(self) -> dict[str, Any]:
        return {"vectorizer": self.vectorizer_.get_config()}

    def _set_state(self, state: dict[str, Any]) -> None:
        self.vectorizer_ = TextVectorizer.from_config(state["vectorizer"])
