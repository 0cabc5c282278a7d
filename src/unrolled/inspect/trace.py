"""model.trace(x): what the engine computed for one input, layer by layer and step by step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.errors import UnknownNameError, closest, require_extra
from unrolled.inspect.networks import Networks
from unrolled.inspect.steps import RecurrentTrace, whole_number
from unrolled.inspect.words import PAD, Words
from unrolled.layers.recurrent import Recurrent
from unrolled.parameters import Array, Mode, Parameter
from unrolled.printing import Shown, Table, show_number

KEEP = Mode(keep=True)  # everything that backprop and inspection need stays


@dataclass(eq=False)
class DenseTrace:
    """A Dense layer for one row: x (D,) or (T, D), logits z = x W + b, outputs y = activation(z)."""

    name: str
    path: str
    activation: str
    x: Array
    z: Array
    y: Array
    kernel: Array = field(repr=False)
    bias: Array | None = field(repr=False)


class Weights:
    """Copies of a model's weights, shared by the traces made from them."""

    def __init__(self, parameters: list[Parameter]) -> None:
        self._copies = [p.numpy() for p in parameters]
        self._by_id = {id(p): copy for p, copy in zip(parameters, self._copies, strict=True)}

    def same(self, parameters: list[Parameter]) -> bool:
        """Whether the model still has these weights."""
        return len(parameters) == len(self._copies) and all(
            p.shape == copy.shape and p.dtype == copy.dtype and bool((_bits(p.now()) == _bits(copy)).all())
            for p, copy in zip(parameters, self._copies, strict=True)
        )

    def of(self, parameter: Parameter) -> Array:
        """The copy of a parameter."""
        return self._by_id[id(parameter)]


def _bits(a: Array) -> Array:
    """The bits of floats as integers: NaN equals itself, and comparing is quick."""
    flat = a.reshape(-1)
    return flat.view(np.uint64 if flat.nbytes % 8 == 0 else np.uint32)


class Trace(Shown):
    """One input on its way through a model, as the engine computed it.

    trace["lstm"] is a recurrent layer's steps (a RecurrentTrace), trace["dense"] a DenseTrace; print(trace) is a table.

    Attributes:
        model; x, one input (T,) or (T, D); tokens, a text for each of the T steps; words, Words;
        recurrent, dense: {path: what was traced}; outputs {layer name: array, as the layer gave it};
        output: what predict returns for this row; logits: before the last sigmoid or softmax, else None;
        classes: names of the outputs, or None; weights: copies as they were; networks: of a classifier that averages
        several, what each says (Networks), else None.
    """

    def __init__(self, model: Any, x: Array, words: Words, classes: list[str] | None, weights: Weights) -> None:
        self.model, self.x, self.words, self.classes, self.weights = model, x, words, classes, weights
        self.tokens = words.name(x)
        self.recurrent: dict[str, RecurrentTrace] = {}
        self.dense: dict[str, DenseTrace] = {}
        self.outputs: dict[str, Array] = {}
        self.output: Array = np.empty(0)
        self.logits: Array | None = None
        self.networks: Networks | None = None

    # ---- finding things

    @property
    def label(self) -> str:
        """How errors call it."""
        return f'trace of "{self.model.name}"'

    def __len__(self) -> int:
        """Number of steps of the input."""
        return len(self.x)

    @property
    def layers(self) -> list[str]:
        """Paths of the layers that were traced."""
        return [*self.recurrent, *self.dense]

    def __getitem__(self, name: str | int) -> Any:
        """A traced layer by name, path, kind ("lstm", if there is one), or number among `layers`.

        Raises: UnknownNameError listing the layers there are.
        """
        found: dict[str, Any] = {**self.recurrent, **self.dense}
        if isinstance(name, int) and not isinstance(name, bool):
            return list(found.values())[whole_number(name, len(found), self.label, "traced layer")]
        if name in found:
            return found[name]
        by_name = [layer for layer in found.values() if layer.name == name]
        by_kind = [layer for layer in self.recurrent.values() if str(name).lower() in (layer.cell, layer.cell[:3])]
        for candidates in (by_name, by_kind):
            if len(candidates) == 1:
                return candidates[0]
        hint = closest(name, found) if isinstance(name, str) else "."
        raise UnknownNameError(f"{self.label}: there is no layer {name!r}{hint} Layers: {', '.join(found) or 'none'}.")

    @property
    def last(self) -> RecurrentTrace:
        """The last recurrent layer.

        Raises: UnknownNameError if the model has none.
        """
        if not self.recurrent:
            raise UnknownNameError(f"{self.label}: the model has no recurrent layer.")
        return list(self.recurrent.values())[-1]

    @property
    def shown(self) -> list[str]:
        """Tokens with padding as an empty text."""
        return ["" if token == PAD else token for token in self.tokens]

    @property
    def padding(self) -> Array:
        """(T,) True where the step is padding: id 0 in front or behind."""
        return self.words.padding(self.x)

    # ---- what came out

    @property
    def output_names(self) -> list[str]:
        """A name for each output: its class, or "output 0"; one output of two classes is that of the second."""
        count = self.output.shape[-1]
        if self.classes is not None and len(self.classes) == count:
            return self.classes
        if self.classes is not None and (len(self.classes), count) == (2, 1):
            return self.classes[1:]
        return [f"output {k}" for k in range(count)]

    @property
    def prediction(self) -> Any:
        """The most probable class: its name if classes have names, else its number."""
        last = self.output if self.output.ndim == 1 else self.output[-1]
        best = int(last[0] > 0.5) if len(last) == 1 else int(last.argmax())
        return self.classes[best] if self.classes else best

    # ---- tables

    def table(self) -> Table:
        """The last recurrent layer's table with the model's output below."""
        table = self.last.table()
        notes = []
        for path in self.recurrent:
            if path != self.last.path:
                notes.append(f'also traced: trace["{path}"]')
        rows = self.output if self.output.ndim == 2 else self.output[None]
        shown = ", ".join(f"{n}: {show_number(v)}" for n, v in zip(self.output_names, rows[-1], strict=True))
        notes.append(f"output{' of the last step' if self.output.ndim == 2 else ''}  {shown}")
        if self.networks is not None:
            notes.append(self.networks.note)
        if self.logits is not None:
            notes.append(f"logits  {', '.join(map(show_number, self.logits.reshape(-1, self.logits.shape[-1])[-1]))}")
        return Table(f"{self.model.name}, {len(self)} steps\n{table.title}", table.header, table.rows, notes=notes)

    def _repr_html_(self) -> str:
        from unrolled.inspect.page.notebook import coloured_text

        return coloured_text(self) + super()._repr_html_()

    def to_pandas(self) -> Any:
        """A DataFrame: a row a step, columns (layer, quantity, unit), for all recurrent layers.

        Raises: MissingExtraError without pandas.
        """
        pandas = require_extra("pandas", "pandas", "to_pandas")
        parts = {path: layer.to_pandas() for path, layer in self.recurrent.items()}
        return pandas.concat(parts, axis=1, names=["layer"])

    # ---- again

    def require_same_weights(self, what: str) -> None:
        """Check that the model still has the weights of this trace.

        Raises: ValueError.
        """
        if not self.weights.same(self.model.parameters):
            raise ValueError(
                f"{self.label}: {what} runs the model again, and its weights have changed since. "
                "Call model.trace again."
            )

    def require_whole(self, what: str) -> None:
        """Check that no gate was held at some steps only, and no hidden state.

        Raises: ValueError.
        """
        held = [path for path, layer in self.recurrent.items() if layer.held is not None]
        if held and self.recurrent[held[0]].held.hidden is not None:  # type: ignore[union-attr]
            raise ValueError(
                f'{self.label}: {what} needs states that follow from the weights, and hidden states of "{held[0]}" '
                "were held. Use the trace before (.before of the counterfactual)."
            )
        if held:
            raise ValueError(
                f'{self.label}: {what} needs one set of weights for all steps, and "{held[0]}" was held at some of '
                "them. Hold it at all steps (leave steps out)."
            )

    @contextmanager
    def started(self) -> Iterator[None]:
        """Inside the block stateful layers start from the states that this row started from."""
        with states_kept(self.model):
            for layer in self.model._everywhere():
                if isinstance(layer, Recurrent) and layer.stateful and layer.path in self.recurrent:
                    layer.states = [state[None].copy() for state in self.recurrent[layer.path].start.values()]
            yield

    def backward(self, target: Any = None, y: Any = None) -> Any:
        """Gradients at every step and of every parameter, as the kernels compute them.

        Args:    target: an output's number or class name, whose logit is L (default: the predicted one; with an output
                 at every step, that of the last step); or y: the label of this row, and L is the compiled loss.
        Returns: a Backward; dropout is off, as in the trace.
        Raises:  UnknownNameError for an output that does not exist; ValueError if the weights have changed since.
        """
        from unrolled.inspect.backward import backward

        return backward(self, target, y)

    def verify(self, y: Any = None) -> Any:
        """Derive every step, gradient and one optimizer step again in NumPy float64, and compare.

        Args:    y: the label of this row, for the loss; the predicted class by default.
        Returns: a Report: .ok, and printed a table that says where it does not hold.
        """
        from unrolled.inspect.verify import verify

        return verify(self, y)

    def to_script(self, path: str | os.PathLike[str] | None = None) -> str:
        """A NumPy script, about thirty lines for a small model, that derives this prediction and prints every step.

        It needs NumPy alone, not this package: weights, and the vectors of the words, are in it. Any Sequential of this
        package's layers; of a classifier's several networks the traced one.

        Args:    path: of a file to write.
        Returns: the script.
        Raises:  ValueError naming a layer of another kind (your own).
        """
        from unrolled.inspect.script import to_script

        return to_script(self, path)

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write a page that shows this trace in a browser: one file that needs no network.

        inspect.to_html([trace, ...], path) shows several models side by side. Returns: the path. Raises: as backward.
        """
        from unrolled.inspect.page import to_html

        return to_html(self, path)

    def running(self) -> Any:
        """The model's output after each token, as if the input ended there: Running, with probabilities (T, K)."""
        from unrolled.inspect.attribution import running

        return running(self)

    def attribution(self, method: str = "integrated", target: Any = None) -> Any:
        """What each token does to the logit: "running", "leave_one_out", "gradient", "integrated" or "ledger".

        Args:    target: an output's number or class name; the predicted one by default.
        Returns: an Attribution, with scores (T,) and its completeness residual; see inspect/attribution.py.
        Raises:  UnknownNameError for another method or output.
        """
        from unrolled.inspect.attribution import attribution

        return attribution(self, method, target)

    def explain(self, target: Any = None) -> Any:
        """All attributions that this model allows, side by side: a table of the tokens."""
        from unrolled.inspect.attribution import explain

        return explain(self, target)

    def ledger(self, layer: str | None = None, target: Any = None) -> Any:
        """What each token wrote into the memory and how much of it is left at the end, exactly: a Ledger.

        Args:    layer: name or path, the last recurrent layer by default; target: as in attribution.
        Raises:  ValueError for a SimpleRNN, which has none, and says why.
        """
        from unrolled.inspect.ledger import ledger

        return ledger(self, layer, target)

    # ---- what if

    def swap(self, step: int, token: Any) -> Any:
        """The same input with another token at a step (a word, an id, or a vector (D,)): a Counterfactual."""
        from unrolled.inspect.counterfactual import swap

        return swap(self, step, token)

    def delete(self, step: int) -> Any:
        """The same input without the token of a step: a Counterfactual."""
        from unrolled.inspect.counterfactual import delete

        return delete(self, step)

    def insert(self, step: int, token: Any) -> Any:
        """The same input with a token put before a step (len(trace): at the end): a Counterfactual."""
        from unrolled.inspect.counterfactual import insert

        return insert(self, step, token)

    def clamp(self, gate: str, value: float, units: Any = None, layer: str | None = None, steps: Any = None) -> Any:
        """The same input with a gate, or with gate="hidden" the hidden state, held at a value: a Counterfactual.

        "hidden": after each of these steps h of these units is the value, whatever the step computed, and it is what
        later steps, the layers above and Dense see. Any finite value; of a SimpleRNN, one its activation takes. The
        gates, and an LSTM's cell, run on by their own equations. A masked step does not run, held or not.

        Args:    gate: by word or Keras' letter; units: their numbers, all by default; layer: name or path, the last
                 recurrent layer by default; steps: a number, a list of them, a slice, or a word (all its places); all
                 by default.
        Raises:  IndexError, UnknownNameError or ValueError saying which steps, units, gates and values there are.
        """
        from unrolled.inspect.counterfactual import clamp

        return clamp(self, gate, value, units, layer, steps)

    def ablate(self, units: Any, layer: str | None = None, steps: Any = None) -> Any:
        """The same input with the hidden state of some units held at 0, at all steps or at some: a Counterfactual.

        At such a step an LSTM's unit shows nothing and writes nothing, but its cell keeps what it had; a GRU's or a
        SimpleRNN's state is its memory, and is gone. Args: as clamp.
        """
        from unrolled.inspect.counterfactual import ablate

        return ablate(self, units, layer, steps)

    def again(self, x: Array | None = None, model: Any = None, tokens: list[str] | None = None) -> Trace:
        """A trace of another input, or by another model, with the same words and classes."""
        words = self.words if tokens is None and x is None else self.words.with_tokens(tokens)
        other = self.model if model is None else model
        networks = self.networks.models if self.networks is not None and model is None else ()
        from unrolled.inspect.traces import Traces

        with self.started():
            return next(iter(Traces(other, (self.x if x is None else x)[None], words, self.classes, networks)))


class states_kept:  # noqa: N801  reads as a statement
    """Gives stateful layers back the states that they had."""

    def __init__(self, model: Any) -> None:
        self._had = [(layer, layer.states) for layer in model._everywhere() if isinstance(layer, Recurrent)]

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        for layer, states in self._had:
            layer.states = states
