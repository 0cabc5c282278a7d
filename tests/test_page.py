"""trace.to_html in a real browser: it opens without a network, and shows Python's numbers to mouse and keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chromium import Chromium, find_chromium
from traced_models import random_model
from unrolled import inspect
from unrolled.errors import UnknownNameError
from unrolled.inspect import RecurrentTrace, Trace
from unrolled.inspect.page import content
from unrolled.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Dense,
    Embedding,
    GlobalMaxPooling1D,
    Input,
    Layer,
    RepeatVector,
    SimpleRNN,
)
from unrolled.models import Sequential
from unrolled.printing import show_number

pytestmark = pytest.mark.whole_programs

WORDS = {1: "‹start›", 2: "</script>", 3: "the", 4: "film", 5: "{data}", 6: "not", 7: "good", 8: 'a "bad" & <b>'}
IDS = np.array([0, 0, 0, 1, 3, 4, 2, 6, 8, 5, 7])
FIRST, LAST = 3, 10  # the steps of the first and last token
NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on the path: install one, or name it in UNROLLED_CHROMIUM")
    found = Chromium(program)
    yield found
    found.close()


def model_of(*layers: Layer, name: str, outputs: int = 1) -> Sequential:
    head = Dense(outputs, "sigmoid" if outputs == 1 else "softmax")
    model = Sequential([Embedding(10, 4), *layers, head], name=name)
    rng = np.random.default_rng(5)
    for parameter in model.weights:
        parameter.assign(rng.normal(size=parameter.shape) * 0.7)
    return model


def traced(*layers: Layer, name: str = "model", outputs: int = 1) -> Trace:
    classes = ["bad", "good"] if outputs == 1 else [f"class {k}" for k in range(outputs)]
    found: Trace = model_of(*layers, name=name, outputs=outputs).trace(IDS, WORDS, classes)
    return found


def opened(browser: Chromium, traces: Any, path: Path, width: int = 1200, dark: bool = False) -> None:
    browser.show(width, 900, dark)
    browser.open(inspect.to_html(traces, path / "page.html"))
    assert browser.errors == []
    assert browser.fetched == [(path / "page.html").resolve().as_uri()]  # the page itself, and nothing else
    assert browser.run("document.documentElement.dataset.ready") is not None


def text(browser: Chromium, selector: str) -> str:
    found: str = browser.run(f"document.querySelector({selector!r}).textContent")
    return found


def cell(browser: Chromium, column: int, unit: int) -> tuple[float, float]:
    """Where a cell of the first heat map is in the window."""
    return tuple(browser.run(
        "(() => { const map = maps[0]; map.box.scrollIntoView({block: 'center', behavior: 'instant'});"
        "const box = map.canvas.getBoundingClientRect();"
        f"return [box.left + ({column} + .5) * map.wide, box.top + ({unit} + .5) * map.high]; }})()"
    ))  # fmt: skip


def choose(browser: Chromium, selector: str, value: str) -> None:
    """Choose an option as a person's choice arrives: the value, then the event."""
    browser.run(
        f"(() => {{ const box = document.querySelector({selector!r}); box.value = {value!r};"
        f"if (box.value !== {value!r}) throw Error('no such option');"
        "box.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )


CELLS: dict[str, Any] = {
    "lstm": lambda units: LSTM(units, name="rnn"),
    "gru": lambda units: GRU(units, name="rnn"),
    "gru, reset before": lambda units: GRU(units, reset_after=False, name="rnn"),
    "simple_rnn": lambda units: SimpleRNN(units, name="rnn"),
    "no bias": lambda units: LSTM(units, use_bias=False, name="rnn"),
    "backwards": lambda units: LSTM(units, go_backwards=True, name="rnn"),
}


def derived(browser: Chromium, layer: RecurrentTrace, step: int, unit: int) -> None:
    """Compare the derivation that is shown with Python's numbers."""
    lines = browser.run(
        "Object.fromEntries([...document.querySelectorAll('.derivation li')]"
        ".map(line => [line.dataset.name, line.textContent]))"
    )
    assert f"unit {unit}, step {step}" in text(browser, "#maps .caption")
    for gate, values in layer.gates.items():
        parts = layer.parts
        terms = [parts.x[gate][step, unit], parts.h[gate][step, unit], parts.b[gate][unit]]
        formula = rf"\[{unit}\] = .*x W ({NUMBER}).* ({NUMBER}) \+ b ({NUMBER})\) = \w+\(({NUMBER})\) = ({NUMBER})$"
        shown = re.search(formula, lines[gate])
        assert shown is not None, lines[gate]
        expected = [*terms, parts.z[gate][step, unit], values[step, unit]]
        assert [float(number) for number in shown.groups()] == pytest.approx(
            [float(show_number(value)) for value in expected], abs=1.01e-4, rel=0.01
        )  # float32 on the page: the last digit shown may differ
    for name, values in layer.states.items():
        line = lines[{"h": "hidden", "c": "cell"}[name]]
        assert line.endswith(f"= {show_number(values[step, unit])}"), line


@pytest.mark.parametrize("kind", CELLS)
def test_hover_shows_each_number_and_its_derivation(kind: str, browser: Chromium, tmp_path: Path) -> None:
    trace = traced(CELLS[kind](5))
    opened(browser, trace, tmp_path)
    for step, unit in ((FIRST, 0), (7, 3), (LAST, 4), (FIRST - 1, 2)):
        browser.mouse(*cell(browser, step - FIRST + 1, unit))
        derived(browser, trace["rnn"], step, unit)


WIDE = [kind for kind in CELLS if kind != "no bias"]


@pytest.mark.parametrize("kind", WIDE)
def test_of_wide_layers_the_units_that_matter_are_shown(
    kind: str, browser: Chromium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = traced(CELLS[kind](30))
    layer = trace["rnn"]
    everything = trace.to_html(tmp_path / "all.html").stat().st_size
    monkeypatch.setattr(content, "BUDGET", content.need(layer, 9))
    opened(browser, trace, tmp_path)
    assert (tmp_path / "page.html").stat().st_size < everything - 0.6 * content.need(layer, 21)
    matters = np.abs(layer.h * trace.backward()["rnn"].d_h).sum(axis=0)
    units = np.sort(np.argsort(-matters)[:9])
    assert browser.run("models[0].layer.shown") == units.tolist()
    assert "9 of 30 units: those that matter most to the prediction" in text(browser, "#maps .legend")
    for step, row in ((FIRST, 0), (7, 3), (LAST, 8), (FIRST - 1, 2)):
        browser.mouse(*cell(browser, step - FIRST + 1, row))
        derived(browser, layer, step, int(units[row]))
        if layer.cell != "simple_rnn":
            kept = trace.ledger().kept[step, units[row]]
            assert text(browser, "#ledgers .caption").count(f"in unit {units[row]}: wrote") == 1
            if step >= FIRST:
                assert f"= {show_number(np.float32(kept))} of" in text(browser, "#ledgers .caption")
    strip = browser.run("document.querySelector('.step').querySelectorAll('rect[height=\"11\"]').length")
    assert strip == 30 + 4, "the picture shows the whole hidden state, and the input"


def test_a_budget_is_shared() -> None:
    assert content.shares([10, 50, 40], 100) == [10, 50, 40]
    assert content.shares([10, 500, 40], 100) == [10, 50, 40]
    assert content.shares([900, 500, 4], 100) == [48, 48, 4]


def test_a_gate_is_chosen_and_shown(browser: Chromium, tmp_path: Path) -> None:
    trace = traced(LSTM(5, name="rnn"))
    opened(browser, trace, tmp_path)
    before = browser.run("maps[0].canvas.toDataURL()")
    choose(browser, "#m0-quantity", "forget")
    browser.mouse(*cell(browser, 4, 2))
    value = show_number(trace["rnn"].gates["forget"][FIRST + 3, 2])
    assert text(browser, "#maps .caption") == f"forget gate, unit 2, step {FIRST + 3} “</script>”: {value}"
    assert text(browser, "#maps li.chosen").startswith("forget f[2] = sigmoid(")
    assert browser.run("maps[0].canvas.toDataURL()") != before
    colours = browser.run(
        "(() => { const { wide, high, canvas } = maps[0], context = canvas.getContext('2d');"
        "return [[1, 0], [8, 4]].map(([k, u]) => "
        "[...context.getImageData((k + .5) * wide, (u + .5) * high, 1, 1).data].slice(0, 3)); })()"
    )
    for (column, unit), shown in zip(((1, 0), (8, 4)), colours, strict=True):
        share = float(trace["rnn"].gates["forget"][FIRST - 1 + column, unit])
        zero, full = np.array([246, 244, 239]), np.array([62, 48, 140])
        assert np.abs(np.array(shown) - (zero + (full - zero) * share)).max() <= 1  # rounding


def test_everything_is_reached_by_keyboard(browser: Chromium, tmp_path: Path) -> None:
    trace = traced(LSTM(5, name="rnn"))
    opened(browser, trace, tmp_path)
    browser.mouse(2, 2)
    browser.run("document.querySelector('.tokens').focus()")
    browser.press("Home")
    for _ in range(3):
        browser.press("ArrowRight")
    active = browser.run("document.activeElement.getAttribute('aria-activedescendant')")
    assert text(browser, f"#{active}") == WORDS[4]  # the padding, ‹start›, the, film
    after = trace.running().outputs[FIRST + 2, 0]
    assert show_number(np.float32(after)) in text(browser, "#running .caption")
    seen = []
    for _ in range(14):
        seen.append(browser.run("document.activeElement.getAttribute('aria-label') ?? document.activeElement.id"))
        browser.press("Tab")
    assert any(label.startswith("hidden state of rnn") for label in seen)
    assert {"m0-layer", "m0-quantity"} <= set(seen) and any("Memory ledger" in label for label in seen)
    browser.run("maps[0].box.focus()")
    browser.run("hold({unit: 0})")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        browser.press(key)
    value = show_number(trace["rnn"].states["h"][FIRST + 3, 2])
    assert text(browser, "#maps .caption") == f"hidden state, unit 2, step {FIRST + 3} “</script>”: {value}"
    assert value in text(browser, "#status")  # what a screen reader says
    assert browser.run("[...document.querySelectorAll('[tabindex], select')].every(e => "
                       "e.getAttribute('aria-label') || e.closest('label'))")  # fmt: skip


def test_text_is_coloured_by_what_is_chosen(browser: Chromium, tmp_path: Path) -> None:
    trace = traced(LSTM(5, name="rnn"))
    opened(browser, trace, tmp_path)
    titles = "[...document.querySelectorAll('.tokens span')].map(e => e.title)"
    after = trace.running().outputs[:, 0]
    steps = [FIRST - 1, *range(FIRST, LAST + 1)]
    names = [f"padding × {FIRST}", *trace.tokens[FIRST:]]
    values = [show_number(np.float32(after[t])) for t in steps]
    assert browser.run(titles) == [f"{name}: {value}" for name, value in zip(names, values, strict=True)]
    for method, known in (("integrated", "integrated"), ("leave_one_out", "leave_one_out"), ("ledger", "ledger"),
                          ("gradient", "gradient"), ("change", "running")):  # fmt: skip
        choose(browser, "#colour-by", method)
        found = trace.attribution(known)
        scores = [found.scores[:FIRST].sum(), *found.scores[FIRST:]]
        shown = [float(title.rpartition(": ")[2]) for title in browser.run(titles)]
        assert shown == pytest.approx(scores, abs=1e-4, rel=0.01)
        assert text(browser, "#texts .note") == found.note
    backgrounds = browser.run("[...document.querySelectorAll('.tokens span')].map(e => e.style.background)")
    largest = int(np.abs(trace.attribution("running").scores[FIRST:]).argmax()) + 1
    assert len(set(backgrounds)) > 5 and "0.62" in backgrounds[largest]


def test_ledger_gradient_picture_and_proof(browser: Chromium, tmp_path: Path) -> None:
    trace = traced(LSTM(5, name="rnn"))
    opened(browser, trace, tmp_path)
    book, back, layer = trace.ledger(), trace.backward(), trace["rnn"]
    step, unit = FIRST + 4, 1
    browser.run(f"hold({{place: {step - FIRST}, unit: {unit}}})")
    numbers = [float(n) for n in re.findall(NUMBER, text(browser, "#ledgers .caption").partition("wrote")[2])]
    assert book.logit is not None
    expected = [book.written[step, unit], book.survived[step, unit], book.kept[step, unit], unit, book.logit[step]]
    assert numbers == pytest.approx([float(f"{v:.4f}") for v in expected], abs=1.01e-4)
    table = browser.run(
        "[...document.querySelectorAll('#ledgers tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    shares = {0: float(book.logit[:FIRST].sum()), **{t: float(book.logit[t]) for t in range(FIRST, LAST + 1)}}
    order = sorted(shares.values(), key=abs, reverse=True)[:8]
    assert [float(row[-1]) for row in table] == pytest.approx(order, abs=1e-4)
    norms = [show_number(np.float32(back.layers["rnn"].norms(s)[step])) for s in "hc"]
    assert all(norm in text(browser, "#flows .caption") for norm in norms)
    drawn = browser.run(
        "[...document.querySelectorAll('.step.here [data-gate]')].map(g => [g.dataset.gate, g.lastChild.textContent])"
    )
    assert dict(drawn) == {gate: f"{float(values[step, unit]):.2f}" for gate, values in layer.gates.items()}
    checks = trace.verify().checks
    proved = sum(check.tolerance is not None for check in checks)
    assert text(browser, "#proofs summary").startswith(f"model: {proved} of {proved} comparisons hold")
    assert browser.run("document.querySelectorAll('#proofs tbody tr').length") == len(checks)


def test_models_side_by_side(browser: Chromium, tmp_path: Path) -> None:
    traces = [traced(cell(5, name="rnn"), name=cell.__name__) for cell in (SimpleRNN, LSTM, GRU)]
    opened(browser, traces, tmp_path)
    for section in ("texts", "maps", "pictures", "ledgers", "proofs"):
        assert browser.run(f"document.getElementById({section!r}).children.length") == 3
    browser.run("hold({place: 2, unit: 3})")
    captions = browser.run("[...document.querySelectorAll('#maps .caption b.number')].map(e => e.textContent)")
    assert captions == [show_number(trace["rnn"].states["h"][FIRST + 2, 3]) for trace in traces]
    assert "a SimpleRNN has none" in text(browser, "#ledgers .caption")
    for trace in traces:
        value = np.float32(trace.running().outputs[FIRST + 2, 0])
        assert f"{trace.model.name} {show_number(value)}" in text(browser, "#running .caption")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1200])
def test_it_fits_the_window_and_has_contrast(width: int, dark: bool, browser: Chromium, tmp_path: Path) -> None:
    traces = [traced(cell(5, name="rnn"), name=cell.__name__) for cell in (SimpleRNN, LSTM)]
    opened(browser, traces, tmp_path, width, dark)
    assert browser.run("document.documentElement.scrollWidth") == width
    wide = "[...document.querySelectorAll('.card')].filter(e => e.getBoundingClientRect().right > innerWidth).length"
    assert browser.run(wide) == 0
    paper, ink = (
        [int(n) for n in re.findall(r"\d+", browser.run(f"getComputedStyle(document.body).{name}"))][:3]
        for name in ("backgroundColor", "color")
    )
    light, deep = (max(sum(paper), sum(ink)), min(sum(paper), sum(ink)))
    assert (sum(paper) < sum(ink)) == dark and light - deep > 500


def test_other_shapes_of_models(browser: Chromium, tmp_path: Path) -> None:
    """Classes, stacks, both directions, decoders with steps of their own, series of numbers."""
    many = traced(LSTM(4, return_sequences=True, name="below"), GRU(3, name="above"), name="stack", outputs=15)
    both = traced(Bidirectional(LSTM(4), name="both"), name="both ways", outputs=3)
    decoder = traced(LSTM(4, name="reader"), RepeatVector(4), GRU(3, name="writer"), name="decoder")
    x = np.random.default_rng(1).normal(size=(6, 2))
    series = Sequential([Input((6, 2)), GRU(3), Dense(1)], name="series").trace(x)
    for trace in (many, both, decoder, series):
        opened(browser, trace, tmp_path)
        for number, layer in enumerate(trace.recurrent.values()):
            choose(browser, "#m0-layer", str(number))
            browser.mouse(*cell(browser, 1, 2))
            found = re.search(r"step (\d+)", text(browser, "#maps .caption"))
            assert found is not None
            value = show_number(layer.states["h"][int(found[1]), 2])
            assert text(browser, "#maps .caption b.number") == value
        assert browser.errors == []
    assert "writer" in str(decoder.ledger("writer"))
    opened(browser, decoder, tmp_path)
    choose(browser, "#m0-layer", "1")
    browser.run("hold({place: 2, unit: 1})")
    book, back = decoder.ledger("writer"), decoder.backward()["writer"]
    numbers = [float(n) for n in re.findall(NUMBER, text(browser, "#ledgers .caption").partition("wrote")[2])]
    assert numbers[:3] == pytest.approx([book.written[2, 1], book.survived[2, 1], book.kept[2, 1]], abs=1.01e-4)
    assert text(browser, "#ledgers .caption").startswith("“step 2”")
    captions = browser.run("[...document.querySelectorAll('#flows .caption')].map(e => e.textContent)")
    assert len(captions) == 2 and show_number(np.float32(back.norms("h")[2])) in captions[1]
    assert captions[1].startswith("At step 2: ") and "writer |dL/dh|" in captions[1]
    assert browser.run("document.querySelectorAll('#flows svg path[stroke-width=\"1.8\"]').length") == 3  # 2 + 1 lines
    after = decoder.running().outputs
    assert after.shape == (len(IDS), 1)
    for step in (FIRST, LAST):
        np.testing.assert_array_equal(after[step], decoder.model.predict(IDS[None, : step + 1])[0])


@pytest.mark.parametrize("seed", range(12))
def test_random_models_open(seed: int, browser: Chromium, tmp_path: Path) -> None:
    case = random_model(seed)
    trace = case.model.trace(case.x[0])
    opened(browser, trace, tmp_path)
    browser.run("maps[0].box.focus()")
    for key in ("Home", "ArrowRight", "ArrowDown", "End"):
        browser.press(key)
    assert browser.errors == [], case.text


def test_a_long_review_stays_small_and_opens_fast(browser: Chromium, tmp_path: Path) -> None:
    model = Sequential([Embedding(10_000, 32), LSTM(32), Dense(1, "sigmoid")])
    trace = model.trace(np.random.default_rng(0).integers(1, 10_000, 300), {k: f"word{k}" for k in range(10_000)})
    file = trace.to_html(tmp_path / "trace.html")
    assert file == tmp_path / "trace.html" and file.stat().st_size < 1_000_000  # 3 MB are asked for
    for layers in ([LSTM(128)], [Bidirectional(LSTM(64, return_sequences=True)), GlobalMaxPooling1D()], [LSTM(300)]):
        wide = Sequential([Embedding(10_000, 32), *layers, Dense(1, "sigmoid")]).trace(trace.x, trace.words)
        assert wide.to_html(tmp_path / "wide.html").stat().st_size < 3_000_000
    opened(browser, trace, tmp_path)
    times = [int(browser.run("document.documentElement.dataset.ready"))]
    browser.open(file)
    times.append(int(browser.run("document.documentElement.dataset.ready")))
    assert min(times) < 1000  # ms from navigation until everything is drawn; about 200 when written


def test_bad_requests() -> None:
    with pytest.raises(TypeError) as nothing:
        inspect.to_html([], "nowhere.html")
    assert str(nothing.value) == (
        "to_html: expected a trace or a list of them, got nothing. Give model.trace(x) for one input x."
    )
    model = model_of(LSTM(3), name="model")
    with pytest.raises(TypeError, match=r"got Sequential\. Give model\.trace\(x\) for one input x\.$"):
        inspect.to_html([model], "nowhere.html")  # type: ignore[list-item]
    with pytest.raises(UnknownNameError, match="the model has no recurrent layer"):
        Sequential([Embedding(10, 2), GlobalMaxPooling1D(), Dense(1)]).trace(IDS).to_html("nowhere.html")
    trace = model.trace(IDS)
    model.weights[0].assign(model.weights[0].numpy() + 1)
    with pytest.raises(ValueError, match="its weights have changed since"):
        trace.to_html("nowhere.html")
    assert not Path("nowhere.html").exists()


def test_notebooks_show_pictures_and_tables() -> None:
    trace = traced(LSTM(5, name="rnn"))
    shown = trace._repr_html_()
    p = trace.running().outputs[LAST, 0]
    assert f'title="{p:.4f}">good</span>' in shown and "&lt;/script&gt;" in shown and "<table" in shown
    table = trace.model._repr_html_()
    total = sum(p.size for p in trace.model.parameters)
    assert "rnn (LSTM)" in table and f"{total:,}" in table
    assert "coloured" not in traced(Bidirectional(LSTM(3)))._repr_html_()
    assert "?" in Sequential([LSTM(3)])._repr_html_()


def test_the_networks_of_a_classifier(browser: Chromium, tmp_path: Path) -> None:
    from unrolled.classifiers import TextClassifier

    texts, labels = ["a good film", "a bad film", "so so"] * 8, ["yes", "no", "so"] * 8
    classifier = TextClassifier(
        "gru", units=4, embedding_dim=3, networks=3, epochs=1, early_stopping=False, random_state=1
    ).fit(texts, labels)
    trace = classifier.trace("a good film", network=1)
    opened(browser, trace, tmp_path)
    k = int(trace.output.argmax())
    said = [show_number(p) for p in trace.networks.outputs[:, k]]
    shown = browser.run("[...document.querySelectorAll('.networks .number')].map(e => e.textContent)")
    assert shown == [*said, show_number(trace.networks.average[k])]
    assert browser.run("document.querySelector('.networks b').textContent") == said[1]
    assert text(browser, "#texts h3") == "classifier, network 1 of 3"
    opened(browser, [classifier.trace("a good film", network=n) for n in range(3)], tmp_path)
    assert browser.run("document.querySelectorAll('#texts .card').length") == 3
