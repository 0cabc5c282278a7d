// Lines over the text: the running output and the gradient; bars and lines of the memory ledger; what verify found.

const SVG = (width, height, body, label) => `<svg viewBox="0 0 ${width} ${height}" height="${height}" role="img" aria-label="${escaped(label)}">${body}</svg>`;

/** A chart over places in the text, shared by all models; walks with the arrow keys. */
class Chart {
  constructor(models, height) {
    this.models = models;  // or what else has columns, names and a lead: a layer's own steps
    this.height = height;
    this.box = make("div", "card", `<p class="caption"></p><div class="plot" tabindex="0" role="application" aria-roledescription="chart"></div><p class="legend"></p>`);
    [this.caption, this.plot, this.legend] = this.box.children;
    this.low = -Math.max(...models.map(m => m.lead));
    this.high = Math.max(...models.map(m => m.columns.length - m.lead - 1));
    this.plot.addEventListener("mousemove", event => preview({ place: this.placeAt(event) }));
    this.plot.addEventListener("mouseleave", () => preview(null));
    this.plot.addEventListener("click", event => hold({ place: this.placeAt(event) }));
    this.plot.addEventListener("keydown", event => walk(event, this.high - this.low + 1, clamp(at().place, this.low, this.high) - this.low, k => hold({ place: k + this.low })));
  }
  get width() { return Math.max(280, this.plot.clientWidth || 600); }
  x(place) { return 40 + (this.high > this.low ? (place - this.low) / (this.high - this.low) : 0.5) * (this.width - 52); }
  placeAt(event) {
    const box = this.plot.getBoundingClientRect();
    const share = (event.clientX - box.left - 40) / (box.width - 52);
    return clamp(Math.round(this.low + share * (this.high - this.low)), this.low, this.high);
  }
  line(values, model, y, style) {
    let path = "", pen = "M";
    model.columns.forEach((t, column) => {
      const value = values(t);
      if (!Number.isFinite(value)) { pen = "M"; return; }
      path += `${pen}${this.x(column - model.lead).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
    });
    return `<path d="${path}" fill="none" stroke-width="1.8" stroke-linejoin="round" ${style}/>`;
  }
  axis(y, text) { return `<path class="axis" d="M40 ${y}H${this.width - 12}"/><text class="soft end" x="34" y="${y + 4}">${text}</text>`; }
  keys(entries) {
    this.legend.innerHTML = entries.map(([text, style]) => `<svg style="display:inline;width:1.6rem;height:.6rem;vertical-align:0"><path d="M0 5H25" stroke-width="2.4" ${style}/></svg> ${escaped(text)} &ensp;`).join("");
  }
  cursor(place) {
    const x = this.x(clamp(place, this.low, this.high)).toFixed(1);
    this.plot.querySelector(".cursor").setAttribute("d", `M${x} 6V${this.height - 8}`);
  }
  word(place) {
    const model = this.models[0], column = model.column(place), step = `step ${model.columns[column]}`, name = model.names[column];
    return name === step ? step : `${step} <b>“${escaped(name)}”</b>`;
  }
}
const stroke = (number, dash = "") => `style="stroke:var(--s${number % 5})"${dash && ` stroke-dasharray="${dash}"`}`;

class RunningChart extends Chart {
  constructor(models, view) {
    super(models, 150);
    this.view = view;
    this.plot.setAttribute("aria-label", "Output after each token; arrow keys walk through the text");
  }
  output(model) { return clamp(this.view.output ?? model.target, 0, model.outputs.length - 1); }
  draw() {
    const all = this.models.flatMap(m => m.columns.map(t => m.outputAfter(t, this.output(m)))), sure = this.models.every(m => m.probability);
    const low = sure ? 0 : Math.min(0, ...all), high = sure ? 1 : Math.max(...all, low + 1e-9), y = v => 14 + (high - v) / (high - low) * (this.height - 34);
    const marks = sure ? [0, 0.5, 1] : [low, high];
    this.plot.innerHTML = SVG(this.width, this.height, marks.map(v => this.axis(y(v), sure ? v : brief(v))).join("") +
      this.models.map((m, k) => this.line(t => m.outputAfter(t, this.output(m)), m, y, stroke(k))).join("") + `<path class="cursor"/>`, "Output after each token");
    this.keys(this.models.map((m, k) => [`${m.name}: ${m.outputs[this.output(m)]}`, stroke(k)]));
  }
  update({ place }) {
    this.cursor(place);
    const texts = this.models.map(m => `${this.models.length > 1 ? `${escaped(m.name)} ` : ""}<b class="number">${show(m.outputAfter(m.columns[m.column(place)], this.output(m)))}</b>`);
    this.caption.innerHTML = `${this.models[0].probability ? "Probability" : "Output"} of ${escaped(this.models[0].outputs[this.output(this.models[0])])} after ${this.word(place)}: ${texts.join(", ")}`;
  }
}

/** Lengths of the gradients of layers whose steps stand along one axis: the text, or the steps of a decoder. */
class FlowChart extends Chart {
  constructor(axes, layers, models) {
    super(axes, 230);
    this.what = models[0].what;
    this.plot.setAttribute("aria-label", "Length of the gradient at each step; arrow keys walk through the steps");
    this.lines = layers.flatMap((layer, k) => Object.entries(layer.norms).map(([state, packed]) => ({
      axis: layer.axis, values: unpack(packed), style: stroke(models.length > 1 ? models.indexOf(layer.model) : k, state === "cell" ? "5 4" : ""),
      name: `${models.length > 1 ? `${layer.model.name} ` : ""}${layer.model.layers.length > 1 ? `${layer.path} ` : ""}|dL/d${state[0]}|` })));
  }
  /** One chart over the text, and one for each layer with steps of its own. */
  static all(models) {
    const layers = models.flatMap(model => model.layers), along = layers.filter(layer => !layer.own_steps);
    return [...(along.length ? [new FlowChart(models, along, models)] : []),
      ...layers.filter(layer => layer.own_steps).map(layer => new FlowChart([layer.axis], [layer], models))];
  }
  draw() {
    const seen = this.lines.flatMap(l => l.axis.columns.map(t => l.values[t])).filter(v => v > 0 && Number.isFinite(v));
    if (!seen.length) { this.plot.innerHTML = SVG(this.width, 20, `<path class="cursor"/>`, "no gradient"); return; }
    const top = Math.ceil(Math.log10(Math.max(...seen))), bottom = Math.min(top - 1, Math.floor(Math.log10(Math.min(...seen))));
    const y = v => 10 + (top - Math.log10(v)) / (top - bottom) * (this.height - 26), every = Math.ceil((top - bottom) / 6);
    let axes = "";
    for (let e = top; e >= bottom; e -= every) axes += this.axis(y(10 ** e), `10<tspan dy="-4" font-size="8">${e}</tspan>`);
    this.plot.innerHTML = SVG(this.width, this.height, axes + this.lines.map(l => this.line(t => l.values[t] > 0 ? l.values[t] : NaN, l.axis, y, l.style)).join("") +
      `<path class="cursor"/>`, "Length of the gradient at each step, logarithmic");
    this.keys(this.lines.map(l => [l.name, l.style]));
  }
  update({ place }) {
    this.cursor(place);
    const texts = this.lines.map(l => `${escaped(l.name)} <b class="number">${show(l.values[l.axis.columns[l.axis.column(place)]])}</b>`);
    this.caption.innerHTML = `At ${this.word(place)}: ${texts.join(", ")}; L is ${escaped(this.what)}`;
  }
}

class Ledger {
  constructor(model) {
    this.model = model;
    this.card = make("div", "card", `<div class="top"><h3>${escaped(model.name)}</h3></div><p class="caption"></p><div class="plot" tabindex="0" role="application" aria-roledescription="chart" aria-label="Memory ledger; arrow keys walk through the text"></div><div class="scroll"></div><div class="notes"></div>`);
    [, this.caption, this.plot, this.scroll, this.notes] = this.card.children;
    this.plot.addEventListener("mousemove", event => preview({ place: this.placeAt(event) }));
    this.plot.addEventListener("mouseleave", () => preview(null));
    this.plot.addEventListener("click", event => hold({ place: this.placeAt(event) }));
    this.plot.addEventListener("keydown", event => walk(event, this.axis.columns.length, this.axis.column(at().place), c => hold({ place: c - this.axis.lead })));
  }
  get axis() { return this.model.layer.axis; }
  placeAt(event) {
    const box = this.plot.getBoundingClientRect(), { columns, lead } = this.axis;
    return clamp(Math.floor((event.clientX - box.left) / box.width * columns.length), 0, columns.length - 1) - lead;
  }
  read(layer) {
    const data = layer.ledger, arrays = {};
    for (const name of ["written", "survived", "kept", "logit"]) arrays[name] = data[name] ? unpack(data[name]) : null;
    const { axis } = this, padding = axis.lead ? axis.columns[0] + 1 : 0;
    this.rows = axis.columns.map((t, column) => {
      const folded = column === 0 && padding > 1;
      const row = { column, t, name: axis.names[column], written: folded ? NaN : arrays.written[t], survived: folded ? NaN : arrays.survived[t], kept: folded ? NaN : arrays.kept[t] };
      if (arrays.logit) row.logit = folded ? arrays.logit.subarray(0, padding).reduce((a, b) => a + b, 0) : arrays.logit[t];
      return row;
    });
    this.by = arrays.logit ? "logit" : "kept";
  }
  draw() {
    const { layer } = this.model, data = layer.ledger;
    this.of = layer;
    this.rows = null;
    if (data.why) {
      this.caption.textContent = data.why;
      this.plot.hidden = true;
      this.scroll.innerHTML = this.notes.innerHTML = "";
      return;
    }
    this.plot.hidden = false;
    this.read(layer);
    const width = Math.max(240, this.plot.clientWidth || 400), height = 110, step = width / this.rows.length;
    const value = row => Number.isFinite(row[this.by]) ? row[this.by] : 0, most = largest(this.rows.map(value)) || 1;
    const signed = this.by === "logit", zero = signed ? height / 2 : height - 6, reach = signed ? height / 2 - 6 : height - 14;
    const bars = this.rows.map((row, k) => {
      const size = Math.abs(value(row)) / most * reach, up = value(row) >= 0;
      const wide = Math.max(0.8, Math.min(step * 0.8, 40));
      return `<rect x="${((k + 0.5) * step - wide / 2).toFixed(1)}" width="${wide.toFixed(1)}" y="${(up ? zero - size : zero).toFixed(1)}" height="${Math.max(size, 0.3).toFixed(1)}" style="fill:rgb(var(--${up ? "pos" : "neg"}))"/>`;
    }).join("");
    this.step = step;
    this.plot.innerHTML = SVG(width, height, `<path class="axis" d="M0 ${zero}H${width}"/>${bars}<path class="cursor"/>`, signed ? "Share of the logit by token" : "Size of what is kept by token");
    const top = [...this.rows].sort((a, b) => Math.abs(value(b)) - Math.abs(value(a))).slice(0, 8);
    const head = ["step", "token", "written", "survived", "kept", ...(signed ? ["logit"] : [])];
    this.scroll.innerHTML = `<table><thead><tr>${head.map((h, k) => `<th${k > 1 ? ' class="number"' : ""}>${h}</th>`).join("")}</tr></thead><tbody>` + top.map(row =>
      `<tr data-column="${row.column}"><td>${row.t}</td><td>${escaped(row.name)}</td>${head.slice(2).map(h => `<td class="number">${show(row[h])}</td>`).join("")}</tr>`).join("") + "</tbody></table>";
    this.notes.innerHTML = [`The ${top.length} largest. Written and kept are lengths over all units; survived is the mean over the units.`, ...data.notes].map(note => `<p class="note">${escaped(note)}</p>`).join("");
  }
  update({ place, unit }) {
    if (this.of !== this.model.layer) this.draw();
    if (!this.rows) return;
    const layer = this.model.layer, column = this.axis.column(place), row = this.rows[column], u = clamp(unit, 0, layer.units - 1), t = row.t;
    const letter = layer.ledger.state[0], middle = ((column + 0.5) * this.step).toFixed(1);
    this.plot.querySelector(".cursor").setAttribute("d", `M${middle} 0V110`);
    for (const line of this.scroll.querySelectorAll("tr")) line.classList.toggle("here", line.dataset.column === String(column));
    const logit = this.by === "logit" ? `; of ${escaped(layer.ledger.target)}: <b>${row.logit >= 0 ? "+" : ""}${show(row.logit)}</b>` : "";
    if (!layer.ran[t]) { this.caption.innerHTML = `“${escaped(row.name)}” is masked: it wrote nothing.`; return; }
    const written = layer.written(t, u), survived = layer.survived(t, u);
    this.caption.innerHTML = `“<b>${escaped(row.name)}</b>” in unit ${layer.number(u)}: wrote ${show(written)} × survived ${show(survived)} = <b class="number">${show(written * survived)}</b> of ${letter}[${layer.number(u)}]${logit}`;
  }
}

function proof(model) {
  const { verify } = model;
  const rows = verify.rows.map(row => `<tr>${row.map((cell, k) => `<td${k === 1 || k === 2 ? ' class="number"' : ""}>${escaped(cell)}</td>`).join("")}</tr>`).join("");
  return make("details", "card", `<summary><b>${escaped(model.name)}</b>: ${verify.held} of ${verify.count} comparisons hold; the largest difference is ${verify.largest} of the largest entry</summary>
    <div class="scroll"><table><thead><tr>${verify.header.map((h, k) => `<th${k === 1 || k === 2 ? ' class="number"' : ""}>${escaped(h)}</th>`).join("")}</tr></thead><tbody>${rows}</tbody></table></div>`);
}
