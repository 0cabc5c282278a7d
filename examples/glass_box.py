"""What an RNN and an LSTM do, seen from inside: the numbers of docs/glass-box.md, computed.

Run: python examples/glass_box.py [--out glass_box_out] [--epochs 5]   (a few minutes; needs the demo extra)
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from unrolled import utils
from unrolled.callbacks import EarlyStopping
from unrolled.datasets import reviews
from unrolled.layers import LSTM, Dense, Embedding, SimpleRNN
from unrolled.models import Sequential
from unrolled.preprocessing.sequence import pad_sequences

WORDS = {"is": 1, "an": 2, "this": 3, "example": 4}
# Weights of a published run of the cookbook's LSTM toy: "this is" -> an, "is an" -> example.
TOY = [
    [[0.01893798, -0.01265655, 0.45142433, -0.2514151]],
    [[0.19410396, 0.72569233, 0.79784596, 0.54982764]],
    [0.31918937, 1.5844553, 0.15022673, 0.31409034],
    [[-0.38649145, -0.13294883, 0.969494, -0.8276547, -0.32456025]],
    [-0.44486812, -0.4477383, 0.42624277, -0.4402125, 0.46074733],
]
HOMES = {
    "india": "hindi", "france": "french", "japan": "japanese", "brazil": "portuguese", "kenya": "swahili",
    "poland": "polish", "greece": "greek", "iran": "persian",
}  # fmt: skip
FILLER = [
    "and", "my", "house", "is", "small", "but", "the", "garden", "near", "it", "has", "old", "trees", "where", "birds",
    "sing", "so", "we", "often", "sit", "there",
]  # fmt: skip


def toy() -> Any:
    """The cookbook's LSTM toy from its printed weights: the trace of "this is"."""
    model = Sequential([LSTM(1, name="lstm", input_shape=(2, 1)), Dense(5, activation="softmax", name="dense")])
    model.set_weights([np.array(w) for w in TOY])
    return model.trace([[3.0], [1.0]], words=["this", "is"], classes=["(padding)", *WORDS])


def order(seed: int = 1) -> dict[str, Any]:
    """A network of two units that tells "this is an" from "an is this"; their bags of words are equal."""
    utils.set_random_seed(seed)
    x = np.array([[3, 1, 2], [2, 1, 3]])
    model = Sequential([Embedding(5, 2), SimpleRNN(2, name="rnn"), Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy")
    model.optimizer.learning_rate = 0.05
    model.fit(x, [1, 0], epochs=100, verbose=0)
    bags = [np.bincount(row, minlength=5).tolist() for row in x]
    traces = list(model.trace(x, words=WORDS, classes=["backwards", "forwards"]))
    return {"bags": bags, "model": model, "traces": traces}


def sentence(country: str, filler: int, rng: np.random.Generator) -> list[str]:
    """I live in ... I speak, with so many words between."""
    between = [str(word) for word in rng.choice(FILLER, filler)]
    return ["i", "live", "in", country, *between, "i", "speak"]


def languages(cell: Any, most: int = 30, epochs: int = 25, seed: int = 1) -> dict[str, Any]:
    """Train on "I live in <country> <up to `most` words> I speak ____"; accuracy by the number of words between."""
    utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    words = {word: k for k, word in enumerate(dict.fromkeys(["i", "live", "in", "speak", *HOMES, *FILLER]), 1)}
    names = sorted(set(HOMES.values()))

    def draw(rows: int, least: int, most: int) -> tuple[np.ndarray, np.ndarray]:
        homes = rng.choice(list(HOMES), rows)
        ids = [[words[w] for w in sentence(str(c), int(rng.integers(least, most + 1)), rng)] for c in homes]
        return pad_sequences(ids, most + 6), np.array([names.index(HOMES[str(c)]) for c in homes])

    model = Sequential(
        [Embedding(len(words) + 1, 16, mask_zero=True), cell(32, name="rnn"), Dense(len(names), activation="softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["acc"])
    model.optimizer.learning_rate = 0.003
    model.fit(*draw(4000, 0, most), batch_size=32, epochs=epochs, verbose=0)
    accuracy = {n: float(model.evaluate(*draw(400, n, n), verbose=0)[1]) for n in (0, 10, 20, 30) if n <= most}
    return {"model": model, "words": words, "classes": names, "accuracy": accuracy}


def trained_on_reviews(epochs: int, limit: int | None, seed: int = 1) -> dict[str, Any]:
    """An LSTM(32) on film reviews: the model, the word index, and the reviews held out."""
    train, holdout = reviews.split(reviews.load_texts().thinned(limit))
    ranks = reviews.number_words(train.texts)
    x, x_holdout = (pad_sequences(reviews.to_ids(part.texts, ranks, 10_000), 300) for part in (train, holdout))
    utils.set_random_seed(seed)
    model = Sequential([Embedding(10_000, 32, mask_zero=True), LSTM(32, name="lstm"), Dense(1, activation="sigmoid")])
    model.compile("rmsprop", "binary_crossentropy", metrics=["acc"])
    best = EarlyStopping("val_loss", patience=epochs, restore_best_weights=True)
    model.fit(x, train.labels, 128, epochs, callbacks=[best], validation_split=0.15, verbose=0)
    names = {rank + 3: word for word, rank in ranks.items()} | {1: "<start>", 2: "<unknown>"}
    return {"model": model, "words": names, "x": x_holdout, "y": np.asarray(holdout.labels), "texts": holdout.texts}


def forget_gate(trained: dict[str, Any], count: int = 300) -> dict[str, Any]:
    """What the forget gate does over held-out reviews: its mean by word and by unit, and what happens without it."""
    model, x, y = trained["model"], trained["x"], trained["y"]
    by_word: dict[str, list[float]] = defaultdict(list)
    by_unit, alive, seen = np.zeros(32), [], 0
    for trace in model.trace(x[:count], words=trained["words"]):
        layer = trace["lstm"]
        forget = layer.f[layer.ran]
        for token, value in zip(np.array(trace.tokens)[layer.ran], forget.mean(axis=1), strict=True):
            by_word[str(token)].append(float(value))
        by_unit, seen = by_unit + forget.sum(axis=0), seen + len(forget)
        survived = trace.ledger().survived[layer.ran][::-1]
        if len(survived) > 100:
            alive.append(survived[:101].mean(axis=1))
    common = {w: (float(np.mean(v)), len(v)) for w, v in by_word.items() if len(v) >= 20}
    ranked = sorted(common, key=lambda w: common[w][0])
    whole = float(np.mean((model.predict(x)[:, 0] > 0.5) == y))
    held = {}
    one = model.trace(x[0])
    for value in (0.0, 0.5, 1.0):
        other = one.clamp("forget", value).after.model
        held[value] = float(np.mean((other.predict(x)[:, 0] > 0.5) == y))
    return {
        "accuracy": whole, "held": held, "common": common, "most forgetting": ranked[:10], "most keeping": ranked[-10:],
        "by unit": by_unit / seen, "survived": np.median(alive, axis=0) if alive else np.zeros(0), "steps": seen,
    }  # fmt: skip


def one_review(trained: dict[str, Any]) -> Any:
    """The trace of the first held-out review of 40 to 70 words that the model gets right."""
    model, x, y = trained["model"], trained["x"], trained["y"]
    right = (model.predict(x)[:, 0] > 0.5) == y
    lengths = (x != 0).sum(axis=1)
    row = int(np.flatnonzero(right & (lengths >= 40) & (lengths <= 70))[0])
    ids = x[row][x[row] != 0]
    return model.trace(ids, words=trained["words"], classes=["negative", "positive"])


def main(out: Path = Path("glass_box_out"), epochs: int = 5, limit: int | None = None) -> dict[str, Any]:
    """Print everything; returns the figures."""
    out.mkdir(parents=True, exist_ok=True)
    show = print
    trace = toy()
    show(trace, trace["lstm"].step(1), trace.verify().table().notes[0], sep="\n\n")
    trace.to_script(out / "toy_by_hand.py")

    both = order()
    show("\nbags of words", both["bags"])
    for one in both["traces"]:
        show(one)

    speak = {cell.__name__: languages(cell) for cell in (SimpleRNN, LSTM)}
    show("\naccuracy by words between", {name: found["accuracy"] for name, found in speak.items()})
    found = speak["LSTM"]
    text = sentence("india", 0, np.random.default_rng(0))
    text[4:4] = ["and", "my", "garden", "has", "old", "trees", "where", "birds", "sing"]
    ids = [found["words"][word] for word in text]
    live = found["model"].trace(ids, words=found["words"], classes=found["classes"])
    hindi = found["classes"].index("hindi")
    for t, word in enumerate(text):
        show(f"{word:8} {live.running().outputs[t, hindi]:.4f}")
    show(live.ledger(target="hindi"), live.clamp("forget", 0.0), live.swap(3, "france"), sep="\n\n")

    trained = trained_on_reviews(epochs, limit)
    gate = forget_gate(trained)
    show("\nreviews", {key: value for key, value in gate.items() if key not in ("common", "by unit", "survived")})
    for word in [*gate["most forgetting"], *gate["most keeping"]]:
        show(f"{word:14} mean forget {gate['common'][word][0]:.3f} over {gate['common'][word][1]}")
    show("by unit, sorted", np.round(np.sort(gate["by unit"]), 3))
    survived = {k: round(float(gate["survived"][k]), 4) for k in (1, 5, 10, 20, 50, 100) if k < len(gate["survived"])}
    show("mean share of c that survives so many words", survived)
    review = one_review(trained)
    show(" ".join(review.tokens), review.explain(), review.ledger(), review.verify().table().notes[0], sep="\n\n")
    return {"toy": trace, "order": both, "speak": speak, "live": live, "gate": gate, "review": review}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("glass_box_out"), help="folder for the script by hand")
    parser.add_argument("--epochs", type=int, default=5, help="on the reviews, 5 by default")
    parser.add_argument("--limit", type=int, help="use only so many reviews")
    main(**vars(parser.parse_args()))
