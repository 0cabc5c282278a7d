"""Section: the cookbook's two toy networks, derived by hand from printed weights, and trained afresh."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any

import numpy as np

from unrolled.chapter.blocks import Code, Figures, Row, Section, Table, Text
from unrolled.chapter.data import Say
from unrolled.layers import LSTM, Dense, SimpleRNN
from unrolled.models import Sequential
from unrolled.preprocessing.sequence import pad_sequences
from unrolled.random import set_random_seed
from unrolled.utils import to_categorical

KEY, TITLE = "toys", "Two toy networks, by hand"
DOCS, LABELS = ["this, is", "is an"], ["an", "example"]
EPOCHS = 500
NAMES = ("kernel", "recurrent_kernel", "bias", "dense_kernel", "dense_bias")
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "SimpleRNN": [(1, 1), (1, 1), (1,), (1, 5), (5,)],
    "LSTM": [(1, 4), (1, 4), (4,), (1, 5), (5,)],
}
LOSSES = {"SimpleRNN": "categorical_crossentropy", "LSTM": "binary_crossentropy"}
GATES = ("input", "forget", "candidate", "output")


def toy_data() -> tuple[dict[str, int], np.ndarray, np.ndarray]:
    """Words by number, (2, 2, 1) word numbers as features, (2, 5) one-hot labels."""

    def words(text: str) -> list[str]:
        return re.findall(r"\w+", text)

    counts = Counter(word for text in DOCS + LABELS for word in words(text))
    number = {word: k for k, word in enumerate(sorted(counts, key=lambda word: -counts[word]), 1)}
    ids = pad_sequences([[number[word] for word in words(doc)] for doc in DOCS], maxlen=2, padding="pre")
    one_hot = to_categorical([[number[word] for word in words(label)] for label in LABELS], num_classes=5)
    return number, np.array(ids).reshape(2, 2, 1), np.array(one_hot).reshape(2, 5)


def toy_model(cell: str) -> Sequential:
    """One unit, then five probabilities; the LSTM's loss is binary cross-entropy over a softmax, as the text has it."""
    layer: Any = {"SimpleRNN": SimpleRNN, "LSTM": LSTM}[cell]
    gates = {"recurrent_activation": "sigmoid"} if cell == "LSTM" else {}
    model = Sequential()
    model.add(layer(1, activation="tanh", recurrent_initializer="Zeros", input_shape=(2, 1), unroll=True, **gates))
    model.add(Dense(5, activation="softmax"))
    model.compile(optimizer="adam", loss=LOSSES[cell], metrics=["acc"])
    return model


def sigmoid(z: float) -> float:
    """1 / (1 + exp(-z))."""
    return 1 / (1 + math.exp(-z))


def derive_rnn(x: list[float], weights: list[np.ndarray]) -> tuple[list[str], np.ndarray]:
    """The hidden value step by step: lines to read, and the five probabilities."""
    w, u, b = (float(np.ravel(part)[0]) for part in weights[:3])
    lines, hidden = [], 0.0
    for t, value in enumerate(x, 1):
        z = value * w + hidden * u + b
        lines.append(f"step {t}: input {value:g}")
        lines.append(f"  {value:g} * {w:.6f} + {hidden:.6f} * {u:.6f} + {b:.6f} = {z:.6f}")
        hidden = math.tanh(z)
        lines.append(f"  hidden = tanh({z:.6f}) = {hidden:.6f}")
    return _dense(lines, hidden, weights)


def derive_lstm(x: list[float], weights: list[np.ndarray]) -> tuple[list[str], np.ndarray]:
    """Gate by gate for each step, the cell carried over: lines to read, and the five probabilities."""
    w, u, b = (np.ravel(part).tolist() for part in weights[:3])
    lines, hidden, carry = [], 0.0, 0.0
    for t, value in enumerate(x, 1):
        lines.append(f"step {t}: input {value:g}, hidden {hidden:.6f}, cell {carry:.6f}")
        gate: dict[str, float] = {}
        for k, name in enumerate(GATES):
            z = value * w[k] + hidden * u[k] + b[k]
            gate[name], act = (math.tanh(z), "tanh") if name == "candidate" else (sigmoid(z), "sigmoid")
            product = f"{value:g} * {w[k]:.6f} + {hidden:.6f} * {u[k]:.6f} + {b[k]:.6f}"
            lines.append(f"  {name:<9} = {act}({product}) = {gate[name]:.6f}")
        kept, written = gate["forget"] * carry, gate["input"] * gate["candidate"]
        carry = kept + written
        hidden = gate["output"] * math.tanh(carry)
        lines.append(f"  cell      = forget * cell + input * candidate = {kept:.6f} + {written:.6f} = {carry:.6f}")
        lines.append(f"  hidden    = output * tanh(cell) = {hidden:.6f}")
    return _dense(lines, hidden, weights)


def _dense(lines: list[str], hidden: float, weights: list[np.ndarray]) -> tuple[list[str], np.ndarray]:
    logits = np.array([hidden * w + b for w, b in zip(np.ravel(weights[3]), np.ravel(weights[4]), strict=True)])
    powers = np.exp(logits)
    lines.append(f"dense: {hidden:.6f} * kernel + bias = {', '.join(f'{z:.6f}' for z in logits)}")
    lines.append(f"softmax: {', '.join(f'{p:.8f}' for p in powers / powers.sum())}")
    return lines, powers / powers.sum()


DERIVE = {"SimpleRNN": derive_rnn, "LSTM": derive_lstm}


def run(figures: Figures, seed: int, say: Say) -> Section:
    """The data, then each network twice: with the printed weights, and trained for 500 epochs."""
    section = Section(KEY, TITLE)
    number, x, y = toy_data()
    section.add(
        Text(
            'Two documents, "this, is" and "is an", and what follows them, "an" and "example". One recurrent unit '
            "reads two word numbers, a dense layer makes five probabilities of its last value."
        ),
        _data_table(figures, number, x, y),
    )
    for cell in SHAPES:
        say(f"{cell}: the printed weights, then {EPOCHS} epochs")
        _add_cell(section, figures, cell, x, y, seed)
    section.add(
        Text(
            "The text itself prints two more predictions, of other trainings whose weights it does not give; nobody "
            "can repeat them. The five numbers of the SimpleRNN sum to 2.10 and so are not the output of a softmax."
        ),
        _printed_in_the_text(figures),
    )
    return section


def _data_table(figures: Figures, number: dict[str, int], x: np.ndarray, y: np.ndarray) -> Table:
    rows: list[Row] = []
    for word in figures.read("toys/word_to_int"):
        path = f"toys/word_to_int/{word}"
        rows.append([f'number of "{word}"', figures.recorded(path), figures.here(path, number[word])])
    for k, value in enumerate(x[0].ravel().tolist()):
        path = f"toys/input/{k}"
        rows.append([f"first document, step {k + 1}", figures.recorded(path), figures.here(path, int(value))])
    for row, label in enumerate(LABELS):
        for k in range(5):
            path = f"toys/one_hot/{row}/{k}"
            rows.append([f'label "{label}", place {k}', figures.recorded(path), figures.here(path, int(y[row, k]))])
    return Table("Words, inputs, labels", ["", "recorded", "here"], [("", rows)], folded=True)


def _add_cell(section: Section, figures: Figures, cell: str, x: np.ndarray, y: np.ndarray, seed: int) -> None:
    """One network: printed weights, derivation, prediction; then a training of our own and its derivation."""
    printed = [
        np.array(figures.read(f"toys/{cell}/{name}")).reshape(shape)
        for name, shape in zip(NAMES, SHAPES[cell], strict=True)
    ]
    first = x[0].ravel().tolist()
    model = toy_model(cell)
    model.set_weights(printed)
    predicted = model.predict(x[0].reshape(1, 2, 1), verbose=0)[0]
    lines, by_hand = DERIVE[cell](first, printed)

    set_random_seed(seed)
    fresh = toy_model(cell)
    history = fresh.fit(x, y, epochs=EPOCHS, verbose=0).history
    fresh_predicted = fresh.predict(x[0].reshape(1, 2, 1), verbose=0)[0]
    fresh_lines, fresh_by_hand = DERIVE[cell](first, fresh.get_weights())

    section.add(
        Text(f"**{cell}, one unit.** With the weights that the notebook printed, derived from the first document:"),
        Code("\n".join(lines), "By hand, from the printed weights"),
        _prediction_table(figures, cell, predicted, by_hand, fresh_predicted, fresh_by_hand),
        _weights_table(figures, cell, model.get_weights(), fresh.get_weights()),
        Text(
            f"Trained here for {EPOCHS} epochs ({LOSSES[cell]}, Adam): loss {history['loss'][0]:.4f} in the first "
            f"epoch, {history['loss'][-1]:.4f} in the last. Other first weights lead to other last ones, so only the "
            "derivation can be compared: it equals `predict` to "
            f"{np.abs(fresh_predicted - fresh_by_hand).max():.0e}."
        ),
        Code("\n".join(fresh_lines), "By hand, from the weights trained here"),
    )
    section.glance.append(
        [
            f"Toy {cell}, printed weights: probability of class 2",
            f"{figures.read(f'toys/{cell}/prediction/2'):.8f}",
            f"{predicted[2]:.8f}",
        ]
    )


def _prediction_table(
    figures: Figures, cell: str, predicted: Any, by_hand: Any, fresh: Any, fresh_by_hand: Any
) -> Table:
    rows: list[Row] = []
    for k in range(5):
        path = f"toys/{cell}"
        rows.append(
            [
                f"class {k}",
                figures.recorded(f"{path}/prediction/{k}", ".8f"),
                figures.here(f"{path}/prediction/{k}", float(predicted[k]), ".8f"),
                figures.here(f"{path}/by_hand/{k}", float(by_hand[k]), ".8f"),
                figures.here(f"{path}/trained/{k}", float(fresh[k]), ".8f"),
                figures.here(f"{path}/trained_by_hand/{k}", float(fresh_by_hand[k]), ".8f"),
            ]
        )
    header = ["", "recorded", "here: predict", "by hand", "trained here: predict", "by hand"]
    return Table(f"{cell}: the prediction for the first document", header, [("", rows)])


def _weights_table(figures: Figures, cell: str, set_here: list[Any], trained: list[Any]) -> Table:
    rows: list[Row] = []
    for name, shape, ours, learned in zip(NAMES, SHAPES[cell], set_here, trained, strict=True):
        for place in np.ndindex(*shape):
            path = f"toys/{cell}/{name}/{'/'.join(map(str, place))}"
            gate = f", {GATES[place[-1]]}" if cell == "LSTM" and not name.startswith("dense") else ""
            rows.append(
                [
                    f"`{name}`{list(place)}{gate}",
                    figures.recorded(path),
                    figures.here(path, float(ours[place]), ".8g"),
                    figures.here(path.replace(cell, f"{cell}/trained", 1), float(learned[place]), ".8g"),
                ]
            )
    header = ["weight", "printed", "set here, read back", "trained here"]
    return Table(f"{cell}: every weight", header, [("", rows)], folded=True)


def _printed_in_the_text(figures: Figures) -> Table:
    rows: list[Row] = []
    for cell in SHAPES:
        cells = [figures.recorded(f"toys/printed_in_the_text/{cell}/{k}") for k in range(5)]
        rows.append([cell, *cells])
        ours = [f"{figures.ours[f'toys/{cell}/trained/{k}']:.8f}" for k in range(5)]
        rows.append([f"{cell}, trained here", *ours])
    return Table("Predictions whose weights the text does not print", ["", *"01234"], [("", rows)], folded=True)
