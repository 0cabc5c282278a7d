// Puts the page together: one focus (a place in the text and a unit) that every view follows.

const content = JSON.parse(document.getElementById("data").textContent);
const models = content.models.map((data, number) => new Model(data, number));
const focus = { place: 0, unit: 0, hover: null };
const views = [];

/** What is looked at: what the pointer is over, else what is held. */
function at() { return { place: focus.hover?.place ?? focus.place, unit: focus.hover?.unit ?? focus.unit }; }
function refresh() { const now = at(); for (const view of views) view.update(now); }
function preview(cell) {
  if (cell && focus.hover && cell.place === focus.hover.place && cell.unit === focus.hover.unit) return;
  focus.hover = cell;
  refresh();
}
function hold(cell) {
  Object.assign(focus, cell);
  focus.hover = null;
  refresh();
  document.getElementById("status").textContent = maps.map(map => map.spoken).join(". ");
}

/** Arrow keys, Home and End along `count` columns. */
function walk(event, count, column, go) {
  const to = { ArrowRight: column + 1, ArrowLeft: column - 1, Home: 0, End: count - 1 }[event.key];
  if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  go(clamp(to, 0, count - 1));
}

function make(tag, name = "", html = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (html) element.innerHTML = html;
  return element;
}
function fillChoice(label, options, value) {
  label.querySelector("select").innerHTML = options.map(([key, text]) => `<option value="${escaped(key)}"${String(key) === String(value) ? " selected" : ""}>${escaped(text)}</option>`).join("");
}
function choice(name, id, options, value, changed) {
  const label = make("label", "", `${escaped(name)} <select id="${id}"></select>`);
  fillChoice(label, options, value);
  label.querySelector("select").addEventListener("change", event => changed(event.target.value));
  return label;
}

readTheme();
document.getElementById("lead").textContent = models.map(model => {
  const kinds = model.layers.map(layer => `${{ lstm: "LSTM", simple_rnn: "SimpleRNN" }[layer.cell] ?? "GRU"}(${layer.all})`).join(", ");
  return `${models.length > 1 ? `${model.name}: ` : ""}${kinds}; ${model.tokens.length} steps`;
}).join(" · ");
const view = { by: "running", output: null };
const texts = models.map(model => new TextView(model, view)), curve = new RunningChart(models, view);
const repaint = () => { texts.forEach(text => text.paint()); textLegend(models, view); curve.draw(); };
textControls(models, view, () => { repaint(); refresh(); });
document.getElementById("texts").append(...texts.map(text => text.card));
document.getElementById("running").append(curve.box);

const maps = models.map(model => new HeatMap(model));
document.getElementById("maps").append(...maps.map(map => map.card));
const pictures = models.map(model => new Picture(model));
document.getElementById("pictures").append(...pictures.map(picture => picture.card));
const ledgers = models.map(model => new Ledger(model));
document.getElementById("ledgers").append(...ledgers.map(ledger => ledger.card));
const flows = FlowChart.all(models);
document.getElementById("flows").append(...flows.map(flow => flow.box));
document.getElementById("proofs").append(...models.map(proof));

views.push(...texts, curve, ...maps, ...pictures, ...ledgers, ...flows);
Object.assign(focus, models[0].beginning());
function redraw() { readTheme(); repaint(); for (const one of [...maps, ...ledgers, ...flows]) one.draw(); refresh(); }
redraw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redraw(); } });
document.documentElement.dataset.ready = Math.round(performance.now());
