// The text: tokens coloured by the running output or by an attribution; arrow keys walk through them.

function answerOf(model) {
  const k = model.target, value = show(model.final[k]);
  if (!model.probability) return model.outputs.map((name, j) => `${name} ${show(model.final[j])}`).join(", ");
  if (model.other !== null && model.final[0] <= 0.5) return `${model.other} ${show(1 - model.final[0])}`;
  return `${model.prediction ?? model.outputs[k]} ${value}`;
}

function badge(model) {
  const v = model.verify;
  return `<a href="#proof" class="badge${v.ok ? "" : " fails"}">${v.ok ? "✓" : "✗"} ${v.held} of ${v.count} comparisons hold</a>`;
}

/** What each of several networks says, and their average. */
function saidBy({ number, name, said, average }) {
  const each = said.map((p, k) => k === number ? `<b class="number">${show(p)}</b>` : `<span class="number">${show(p)}</span>`).join(" ");
  return `Network ${number} of ${said.length} (0 to ${said.length - 1}) is shown here. ${escaped(name)} by network: ${each}; the average, which is the classifier's answer: <b class="number">${show(average)}</b>`;
}

class TextView {
  constructor(model, view) {
    this.model = model;
    this.view = view;  // what all texts show: {by, output}
    this.card = make("div", "card", `<div class="top"><h3></h3><span class="answer">${escaped(answerOf(model))}</span>${badge(model)}</div>`);
    this.card.querySelector("h3").textContent = model.name;
    if (model.networks) this.card.append(make("p", "hint networks", saidBy(model.networks)));
    this.box = make("div", "tokens");
    this.box.tabIndex = 0;
    this.box.setAttribute("role", "listbox");
    this.box.setAttribute("aria-label", `Text read by ${model.name}; arrow keys walk through it`);
    this.spans = model.columns.map((step, column) => {
      const span = make("span", model.isPadding(column) ? "pad" : "");
      span.id = `m${model.number}-token${column}`;
      span.setAttribute("role", "option");
      span.textContent = model.names[column];
      span.dataset.column = column;
      this.box.append(span, " ");
      return span;
    });
    this.note = make("p", "note");
    this.card.append(this.box, this.note);
    const columnOf = event => event.target.dataset.column === undefined ? null : Number(event.target.dataset.column) - model.lead;
    this.box.addEventListener("mouseover", event => { const p = columnOf(event); if (p !== null) preview({ place: p }); });
    this.box.addEventListener("mouseleave", () => preview(null));
    this.box.addEventListener("click", event => { const p = columnOf(event); if (p !== null) hold({ place: p }); });
    this.box.addEventListener("keydown", event => walk(event, model.columns.length, model.column(at().place), c => hold({ place: c - model.lead })));
    this.paint();
  }

  /** Value of a column and the scale that it is coloured by. */
  shown(column) {
    const step = this.model.columns[column], k = clamp(this.view.output ?? this.model.target, 0, this.model.outputs.length - 1);
    if (this.view.by === "running") return this.model.outputAfter(step, k);
    const method = this.model.method(this.view.by);
    if (!method) return NaN;
    return this.model.isPadding(column) ? this.paddingSum(method.values, column) : method.values[step];
  }
  paddingSum(values, column) {
    let sum = 0;
    const front = column === 0;
    for (let t = 0; t < values.length; t++) if (this.model.padding[t] && (t <= this.model.columns[0]) === front) sum += values[t];
    return sum;
  }
  get middle() { return this.view.by !== "running" || !this.model.probability ? 0 : this.model.outputs.length === 1 ? 0.5 : 1 / (this.model.outputs.length + this.model.unlisted); }

  paint() {
    const values = this.model.columns.map((_, column) => this.shown(column)), middle = this.middle;
    const most = this.view.by === "running" && this.model.probability ? null : largest(values.filter(v => !Number.isNaN(v)));
    this.spans.forEach((span, column) => {
      const v = values[column];
      const share = Number.isNaN(v) ? 0 : most === null ? (v < middle ? (v - middle) / middle : (v - middle) / (1 - middle)) : most ? v / most : 0;
      const [r, g, b] = share < 0 ? theme.neg : theme.pos;
      span.style.background = `rgb(${r} ${g} ${b} / ${(0.62 * Math.abs(share)).toFixed(3)})`;
      span.title = `${this.model.names[column]}: ${show(v)}`;
    });
    const method = this.view.by === "running" ? null : this.model.method(this.view.by);
    this.note.textContent = this.view.by === "running" ? "" : method ? method.note : this.model.missing[this.view.by] ?? "";
  }

  update({ place }) {
    const column = this.model.column(place);
    if (this.here) { this.here.classList.remove("here"); this.here.removeAttribute("aria-selected"); }
    this.here = this.spans[column];
    if (!this.here) return;
    this.here.classList.add("here");
    this.here.setAttribute("aria-selected", "true");
    this.box.setAttribute("aria-activedescendant", this.here.id);
    if (!focus.hover) keepInView(this.box, this.here.offsetTop, this.here.offsetHeight);
  }
}

/** Scroll inside a box, never the page. */
function keepInView(box, top, height) {
  if (top < box.scrollTop) box.scrollTop = top - 8;
  else if (top + height > box.scrollTop + box.clientHeight) box.scrollTop = top + height - box.clientHeight + 8;
}

function textControls(models, view, repaint) {
  const bar = document.getElementById("text-controls");
  const methods = new Map([["running", models.every(m => m.probability) ? "probability after each token" : "output after each token"]]);
  for (const model of models) for (const one of model.methods) methods.set(one.name, one.label);
  bar.append(choice("Coloured by", "colour-by", [...methods], view.by, value => { view.by = value; repaint(); }));
  const most = models.reduce((a, b) => b.outputs.length > a.outputs.length ? b : a);
  if (most.outputs.length > 1) {
    bar.append(choice("Output", "output", most.outputs.map((name, k) => [k, name]), view.output ?? most.target, value => { view.output = Number(value); repaint(); }));
  }
}

function textLegend(models, view) {
  const model = models[0], k = clamp(view.output ?? model.target, 0, model.outputs.length - 1), name = model.outputs[k];
  const gradient = `<span class="swatch" style="background:linear-gradient(90deg, rgb(${theme.neg.join(" ")} / .62), transparent, rgb(${theme.pos.join(" ")} / .62))"></span>`;
  const ends = view.by !== "running" ? [`speaks against ${model.what}`, "speaks for it"]
    : model.probability ? [`0 ${model.other !== null ? `(${model.other})` : ""}`, `1 (${name})`] : ["smallest", "largest"];
  document.getElementById("text-legend").innerHTML = `${escaped(ends[0])}${gradient}${escaped(ends[1])}`;
}
