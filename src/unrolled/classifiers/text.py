"""A classifier of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

from unrolled.classifiers.base import RecurrentClassifier
from unrolled.columns import as_texts
from unrolled.layers import Embedding, Layer
from unrolled.parameters import Array
from unrolled.preprocessing.sequence import pad_sequences
from unrolled.text import PAD_ID, TextVectorizer

TRUNCATING = ("pre", "middle", "post")


class TextClassifier(RecurrentClassifier):
    """Classes of texts: words, Embedding, recurrent layers, softmax, as a scikit-learn estimator.

    TextClassifier(cell="gru").fit(texts, labels).predict(["what a film"]) -> array(["positive"])

    Texts are a list, or a NumPy, pandas, polars or Arrow column; labels numbers or text, two classes or more. A text's
    probabilities do not depend on the texts around it: padding is masked.

    Args:
        cell: "lstm", "gru" or "simple_rnn"; units: 32 of each layer; layers: how many of them, 1; bidirectional: read
            in both directions, False; pooling: what the classes are read from: None, the last state; "max" or "mean"
            over all steps.
        dropout: share of the last layer's (and of the outputs between layers) set to 0 in training, 0.2.
        embedding_dim: 32; num_words: 20,000 most frequent words; min_count: words that occur so often, 1;
            tokenizer, stop_words: as TextVectorizer.
        maxlen: words of a text that are read, 400; truncating: of longer ones, drop the "middle", or the beginning
            ("pre") or end ("post").
        epochs: at most, 10; batch_size: 64; optimizer: "adam"; learning_rate: 0.002.
        class_weight: None, "balanced" or {label: weight}.
        early_stopping: True: hold out validation_fraction (0.1) of the rows, stratified, repeated texts on one side;
            stop when their loss has not improved for patience (2) epochs; keep the best epoch's weights.
        random_state: a number for equal bits at every fit; verbose: as Sequential.fit, 0.
    Attributes:
        classes_; model_, the Sequential; vectorizer_, the TextVectorizer; history_, {"loss": [...], ...}; n_iter_,
        epochs run; held_out_, row numbers; repeated_, how many texts repeat an earlier one.
    """

    def __init__(
        self,
        cell: str = "lstm",
        units: int = 32,
        layers: int = 1,
        bidirectional: bool = False,
        pooling: str | None = None,
        dropout: float = 0.2,
        embedding_dim: int = 32,
        num_words: int | None = 20_000,
        min_count: int = 1,
        tokenizer: str | Callable[[str], list[str]] = "words",
        stop_words: Iterable[str] | None = None,
        maxlen: int = 400,
        truncating: str = "middle",
        epochs: int = 10,
        batch_size: int = 64,
        optimizer: str = "adam",
        learning_rate: float = 0.002,
        class_weight: Any = None,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        patience: int = 2,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.cell, self.units, self.layers, self.bidirectional = cell, units, layers, bidirectional
        self.pooling, self.dropout, self.embedding_dim = pooling, dropout, embedding_dim
        self.num_words, self.min_count, self.tokenizer, self.stop_words = num_words, min_count, tokenizer, stop_words
        self.maxlen, self.truncating = maxlen, truncating
        self.epochs, self.batch_size, self.optimizer, self.learning_rate = epochs, batch_size, optimizer, learning_rate
        self.class_weight, self.early_stopping = class_weight, early_stopping
        self.validation_fraction, self.patience = validation_fraction, patience
        self.random_state, self.verbose = random_state, verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array, tags.input_tags.string = True, False, True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn the words, then the network.

        Args:    X: N texts; y: N labels; sample_weight: N numbers.
        Raises:  TypeError naming the row that is no text; ValueError for one class, missing labels, other lengths.
        """
        if self.truncating not in TRUNCATING:
            raise ValueError(f'TextClassifier: expected truncating "middle", "pre" or "post", got {self.truncating!r}.')
        self._check_count("maxlen", "embedding_dim")
        texts = as_texts(X, "X")
        if not texts:
            raise ValueError("TextClassifier: expected at least one text in X, got 0 rows.")
        self.vectorizer_ = TextVectorizer(self.tokenizer, self.stop_words, self.num_words, self.min_count)
        ids = self.vectorizer_.fit_transform(texts)
        return self._train(self._pad(ids), y, sample_weight, texts)

    def _inputs(self, X: Any) -> Array:
        return self._pad(self.vectorizer_.transform(as_texts(X, "X")))

    def _pad(self, ids: list[list[int]]) -> Array:
        """Ids in front of zeros' end: (N, T), T the longest but at most maxlen."""
        length = min(self.maxlen, max(map(len, ids), default=0)) or 1
        if self.truncating == "middle":
            first = length - length // 2
            ids = [row if len(row) <= length else row[:first] + row[len(row) - length // 2 :] for row in ids]
        side = "post" if self.truncating == "post" else "pre"
        return pad_sequences(ids, length, truncating=side, value=PAD_ID)

    def _first_layers(self) -> list[Layer]:
        assert self.vectorizer_.vocabulary is not None
        size = len(self.vectorizer_.vocabulary)
        return [Embedding(size, self.embedding_dim, mask_zero=True, name="embedding")]

    def _get_arguments(self) -> dict[str, Any]:
        arguments = super()._get_arguments()
        if arguments["stop_words"] is not None:
            arguments["stop_words"] = sorted(arguments["stop_words"])
        return arguments

    def _get_state(self) -> dict[str, Any]:
        return {"vectorizer": self.vectorizer_.get_config()}

    def _set_state(self, state: dict[str, Any]) -> None:
        self.vectorizer_ = TextVectorizer.from_config(state["vectorizer"])
