// Models and their recurrent layers: steps, values, and the derivation of each number from weights and states.

const QUANTITY = { input: "input gate", forget: "forget gate", output: "output gate", update: "update gate",
  reset: "reset gate", candidate: "candidate", cell: "cell state", hidden: "hidden state",
  "gradient hidden": "gradient dL/dh", "gradient cell": "gradient dL/dc" };

class Layer {
  constructor(data, model) {
    Object.assign(this, data);
    this.model = model;
    this.steps = data.ran.length;
    this.order = [];
    for (let t = 0; t < this.steps; t++) if (data.ran[t]) this.order.push(t);
    if (this.reverse) this.order.reverse();
    this.values = {};
    for (const [name, packed] of Object.entries(data.gates)) this.values[name] = unpack(packed);
    for (const [name, packed] of Object.entries(data.states)) this.values[name] = unpack(packed);
    for (const [name, packed] of Object.entries(data.gradients)) this.values[`gradient ${name}`] = unpack(packed);
    this.initial = Object.fromEntries(Object.entries(data.start).map(([name, packed]) => [name, unpack(packed)]));
    this.inputs = unpack(data.x);
    this.w = unpack(data.kernel);
    this.u = unpack(data.recurrent_kernel);
    this.biases = data.bias ? unpack(data.bias) : null;
    this.names = Object.keys(data.letters);
    this.scales = {};
  }

  /** Steps as columns: padding is one of them, unless the layer has steps of its own. */
  get columns() {
    return this.axis.columns;
  }
  /** What steps stand along: the text, or the steps that a layer has of its own (behind RepeatVector). */
  get axis() {
    if (!this.own_steps) return this.model;
    const columns = Array.from({ length: this.steps }, (_, t) => t);
    return { lead: 0, columns, names: columns.map(t => `step ${t}`), column: place => clamp(place, 0, columns.length - 1) };
  }
  /** The column of a place; places count from the first token that is no padding. */
  column(place) { return clamp(this.own_steps ? place : place + this.model.lead, 0, this.columns.length - 1); }
  place(column) { return this.own_steps ? column : column - this.model.lead; }
  token(t) { return this.own_steps ? "" : this.model.tokens[t]; }

  /** Keras' letter; the LSTM's candidate is g here, for c is its cell state. */
  letter(gate) { return gate === "candidate" ? (this.cell === "lstm" ? "g" : "h̃") : this.letters[gate]; }

  // A unit is counted among those that are on the page; of `whole` quantities all are there, for sums over all units.
  number(unit) { return this.shown ? this.shown[unit] : unit; }
  at(name, t, unit) { return this.whole.includes(name) ? this.ofAll(name, t, this.number(unit)) : this.values[name][t * this.units + unit]; }
  ofAll(name, t, number) { return this.values[name][t * this.all + number]; }
  previous(t) { const before = this.reverse ? t + 1 : t - 1; return before < 0 || before >= this.steps ? null : before; }
  before(state, t, unit) {
    const before = this.previous(t);
    return before !== null ? this.at(state, before, unit) : this.initial[state][this.whole.includes(state) ? this.number(unit) : unit];
  }

  scale(name) {
    if (!this.scales[name]) {
      const values = this.values[name];
      const gate = name in this.gates && name !== "candidate" && values.every(v => Number.isNaN(v) || (v >= 0 && v <= 1));
      this.scales[name] = gate ? { kind: "gate", most: 1 } : { kind: "signed", most: largest(values) };
    }
    return this.scales[name];
  }

  biasOf(row, column) { return this.biases && row < this.bias_rows ? this.biases[row * this.units * this.names.length + column] : 0; }

  /** x W, h U and b of a gate, summed in float64. */
  parts(gate, t, unit) {
    const H = this.units, width = H * this.names.length, column = this.names.indexOf(gate) * H + unit;
    const before = this.cell === "gru_reset_before" && gate === "candidate", after = this.cell === "gru_reset_after" && gate === "candidate";
    const previous = this.previous(t);
    let x = 0, h = 0;
    for (let d = 0; d < this.features; d++) x += this.inputs[t * this.features + d] * this.w[d * width + column];
    for (let j = 0; j < this.all; j++) h += (previous === null ? this.initial.hidden[j] : this.ofAll("hidden", previous, j)) * (before ? this.ofAll("reset", t, j) : 1) * this.u[j * width + column];
    const b = this.biasOf(0, column) + (after ? 0 : this.biasOf(1, column));
    if (after) h = this.at("reset", t, unit) * (h + this.biasOf(1, column));
    return { x, h, b, z: x + h + b };
  }

  /** Lines of the derivation of everything in one unit at one step: {name, html}. */
  derivation(t, unit) {
    if (!this.ran[t]) return [{ name: "", html: "This step is masked: it did not run, and the state stays as it was." }];
    const n = x => show(x), u = this.number(unit), now = name => this.at(name, t, unit), old = name => this.before(name, t, unit);
    const lines = this.names.map(gate => {
      const p = this.parts(gate, t, unit), f = gate === "candidate" || gate === "hidden" ? this.activation : this.recurrent_activation;
      const hU = gate !== "candidate" ? "h U" : this.cell === "gru_reset_after" ? "r (h U + b<sub>r</sub>)" : this.cell === "gru_reset_before" ? "(r h) U" : "h U";
      return { name: gate, html: `${gate} ${this.letter(gate)}[${u}] = ${f}(<span class="x">x W ${n(p.x)}</span> + ` +
        `<span class="h">${hU} ${n(p.h)}</span> + <span class="b">b ${n(p.b)}</span>) = ${f}(${n(p.z)}) = <b>${n(now(gate))}</b>` };
    });
    if (this.cell === "lstm") {
      lines.push({ name: "cell", html: `cell c[${u}] = f ${n(now("forget"))} × c before ${n(old("cell"))} + i ${n(now("input"))} × g ${n(now("candidate"))} = <b>${n(now("cell"))}</b>` });
      lines.push({ name: "hidden", html: `hidden h[${u}] = o ${n(now("output"))} × ${this.activation}(c ${n(now("cell"))}) = <b>${n(now("hidden"))}</b>` });
    } else if (this.cell !== "simple_rnn") {
      lines.push({ name: "hidden", html: `hidden h[${u}] = z ${n(now("update"))} × h before ${n(old("hidden"))} + (1 - z) ${n(1 - now("update"))} × h̃ ${n(now("candidate"))} = <b>${n(now("hidden"))}</b>` });
    }
    for (const state of Object.keys(this.gradients)) {
      lines.push({ name: `gradient ${state}`, html: `dL/d${state[0]}[${u}] = <b>${n(now(`gradient ${state}`))}</b>, as backpropagation had it` });
    }
    return lines;
  }

  /** The share of what is in a unit after step t that is still there at the end: the product of the later gates. */
  survived(t, unit) {
    const keep = this.cell === "lstm" ? "forget" : "update";
    let share = 1;
    for (let k = this.order.length - 1; k >= 0 && this.order[k] !== t; k--) share *= this.at(keep, this.order[k], unit);
    return share;
  }
  written(t, unit) {
    return (this.cell === "lstm" ? this.at("input", t, unit) : 1 - this.at("update", t, unit)) * this.at("candidate", t, unit);
  }
}

class Model {
  constructor(data, number) {
    Object.assign(this, data);
    this.number = number;
    const real = data.padding.flatMap((pad, t) => pad ? [] : [t]);
    const first = real.length ? real[0] : data.tokens.length, last = real.length ? real[real.length - 1] : -1;
    this.columns = [];  // the step of each column; padding on one side is one column
    this.names = [];
    if (first > 0) { this.columns.push(first - 1); this.names.push(`padding × ${first}`); }
    this.lead = this.columns.length;
    for (let t = first; t <= last; t++) { this.columns.push(t); this.names.push(data.tokens[t] || `step ${t}`); }
    if (real.length && last < data.tokens.length - 1) { this.columns.push(last + 1); this.names.push(`padding × ${data.tokens.length - 1 - last}`); }
    this.after = unpack(data.running);
    this.final = unpack(data.output);
    for (const method of data.methods) method.values = unpack(method.scores);
    this.layers = data.layers.map(layer => new Layer(layer, this));
    this.layer = this.layers[data.last];
    this.quantity = "hidden";
  }
  column(place) { return clamp(place + this.lead, 0, this.columns.length - 1); }

  /** What to look at first: the token after which the output leaps most, and the largest unit there. */
  beginning() {
    const leap = column => column > this.lead ? Math.abs(this.outputAfter(this.columns[column], this.target) - this.outputAfter(this.columns[column - 1], this.target)) : 0;
    const best = this.columns.reduce((most, _, column) => !this.isPadding(column) && leap(column) > leap(most) ? column : most, this.lead);
    const { layer } = this, t = layer.columns[layer.column(best - this.lead)], size = unit => Math.abs(layer.at("hidden", t, unit));
    let unit = 0;
    for (let u = 1; u < layer.units; u++) if (size(u) > size(unit)) unit = u;
    return { place: best - this.lead, unit };
  }
  isPadding(column) { return this.padding[this.columns[column]] === 1; }
  outputAfter(t, k) { return this.after[t * this.outputs.length + k]; }
  method(name) { return this.methods.find(one => one.name === name); }
}
