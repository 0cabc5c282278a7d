// The network unrolled in time, as in a textbook: the steps around the one in focus, with the numbers of one unit.

const WIDE = 262, GAP = 62;  // of a step, and of the space between two boxes

class Picture {
  constructor(model) {
    this.model = model;
    this.card = make("div", "card wide", `<div class="top"><h3>${escaped(model.name)}</h3><span class="hint"></span></div><div class="plot" tabindex="0" role="application" aria-roledescription="picture"></div>`);
    this.hint = this.card.querySelector(".hint");
    this.plot = this.card.lastChild;
    this.plot.addEventListener("keydown", event => {
      const { layer } = this.model;
      walk(event, layer.columns.length, layer.column(at().place), column => hold({ place: layer.place(column) }));
    });
    this.plot.addEventListener("click", event => {
      const step = event.target.closest("[data-column]");
      if (step) hold({ place: this.model.layer.place(Number(step.dataset.column)) });
    });
  }

  /** Columns in the order in which the layer runs them, masked ones left out. */
  columns() {
    const { layer } = this.model, ran = layer.columns.map((_, column) => column).filter(column => layer.ran[layer.columns[column]]);
    return layer.reverse ? ran.reverse() : ran;
  }

  update({ place, unit }) {
    const { layer } = this.model, columns = this.columns(), u = clamp(unit, 0, layer.units - 1), here = layer.column(place);
    const room = Math.max(WIDE + GAP + 16, this.plot.clientWidth || 700);
    const count = clamp(Math.floor((room - GAP) / WIDE), 1, Math.min(7, columns.length));
    if (!columns.length) { this.plot.innerHTML = "No step ran."; return; }
    let nearest = columns.indexOf(here);
    if (nearest < 0) nearest = columns.reduce((best, column, k) => Math.abs(column - here) < Math.abs(columns[best] - here) ? k : best, 0);
    const first = clamp(nearest - Math.floor(count / 2), 0, columns.length - count), width = count * WIDE + GAP;
    const steps = columns.slice(first, first + count).map((column, k) => this.step(column, k, u, column === here));
    const last = first + count === columns.length;
    this.hint.textContent = `${layer.path}, unit ${layer.number(u)}${layer.reverse ? "; this layer reads from the last step to the first" : ""}${last ? "" : "; goes on to the right"}`;
    this.plot.setAttribute("aria-label", `${layer.path} unrolled around ${this.model.names[layer.own_steps ? 0 : here] ?? ""}; arrow keys move`);
    const scale = Math.min(1.25, room / width);
    this.plot.innerHTML = `<svg viewBox="0 0 ${width} 316" style="width:${Math.round(width * scale)}px;max-width:100%;margin:auto" role="img" aria-label="${escaped(this.spoken(columns.slice(first, first + count), u))}">
      <defs><marker id="arrow${this.model.number}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto"><path d="M0 0L8 4L0 8z" style="fill:var(--soft)"/></marker></defs>${steps.join("")}</svg>`;
  }

  spoken(columns, u) {
    const { layer } = this.model;
    return columns.map(column => { const t = layer.columns[column]; return `step ${t} ${layer.token(t)}: hidden ${show(layer.at("hidden", t, u))}`; }).join("; ");
  }

  /** One step: the boxes, wires and numbers between its left edge and the next step's. */
  step(column, k, u, here) {
    const { layer, model } = this, L = model.layer, t = L.columns[column], left = k * WIDE, x0 = left + GAP, x1 = left + WIDE - 4;
    const inner = { lstm: lstmStep, simple_rnn: simpleStep }[L.cell] ?? gruStep;
    const arrow = `marker-end="url(#arrow${model.number})"`, body = inner({ L, t, u, x0, x1, left, arrow, first: k === 0, at: share => x0 + share * (x1 - x0) });
    const word = L.own_steps ? `step ${t}` : model.names[column], mid = (x0 + x1) / 2;
    const short = word.length > 22 ? `${word.slice(0, 21)}…` : word;
    const after = L.own_steps || L.reverse ? "" : `<text class="middle" x="${mid}" y="14"><tspan class="soft">${model.probability ? "p" : "y"}</tspan> ${show(model.outputAfter(t, model.target))}</text>`;
    return `<g class="step${here ? " here" : ""}" data-column="${column}"><title>${escaped(word)}, step ${t}</title>${after}
      ${strip(L.values.hidden.subarray(t * L.all, (t + 1) * L.all), L.scale("hidden"), x0, 22, x1 - x0, L.number(u))}
      <path class="wire" d="M${x1 - 10} 62V36" ${arrow}/>${body}
      <path class="wire" d="M${x0 + 12} 258V232" ${arrow}/>
      ${strip(L.inputs.subarray(t * L.features, (t + 1) * L.features), { kind: "signed", most: L.inputMost ??= largest(L.inputs) }, x0, 260, x1 - x0, -1)}
      <text class="token" x="${mid}" y="290">${escaped(short)}</text><text class="soft middle" x="${mid}" y="307">step ${t}</text></g>`;
  }
}

/** A vector as a row of coloured cells; the unit in focus has a frame. */
function strip(values, scale, x, y, width, unit) {
  const most = 128, size = width / Math.min(values.length, most);
  let cells = "";
  for (let k = 0; k < Math.min(values.length, most); k++) cells += `<rect x="${(x + k * size).toFixed(1)}" y="${y}" width="${(size + 0.3).toFixed(2)}" height="11" fill="${css(values[k], scale)}"/>`;
  const frame = unit >= 0 && unit < most ? `<rect x="${(x + unit * size).toFixed(1)}" y="${y - 1}" width="${Math.max(size, 2).toFixed(1)}" height="13" fill="none" style="stroke:var(--focus)" stroke-width="1.5"/>` : "";
  return cells + frame;
}

const sign = (x, y, text) => `<circle class="node" cx="${x}" cy="${y}" r="9"/><text class="sign" x="${x}" y="${y}">${text}</text>`;
const oval = (x, y, text) => `<rect class="node" x="${x - 19}" y="${y - 9}" width="38" height="18" rx="9"/><text class="sign" style="font-size:10px" x="${x}" y="${y}">${text}</text>`;
const number = (x, y, text) => `<text class="value halo" x="${x}" y="${y}">${text}</text>`;

/** A gate: its letter in a box, coloured by its value, and the value below. */
function gate(L, name, t, u, x, y) {
  const value = L.at(name, t, u), letter = L.letter(name);
  return `<g data-gate="${name}"><rect class="node" x="${x - 14}" y="${y - 10}" width="28" height="20" rx="4" style="fill:${css(value, L.scale(name))};fill-opacity:.55"/><text class="sign" x="${x}" y="${y}">${letter}</text>${number(x, y + 23, brief(value))}</g>`;
}
const box = (x0, x1) => `<rect class="box" x="${x0}" y="62" width="${x1 - x0}" height="170" rx="12"/>`;
const short = name => name.length > 6 ? `${name.slice(0, 5)}…` : name;

function lstmStep({ L, t, u, x0, x1, left, arrow, first, at }) {
  const [f, i, g, o, out] = [0.11, 0.275, 0.44, 0.605, 0.8].map(at), belt = 88, lane = 214, mid = GAP / 2;
  return `${box(x0, x1)}
    <path class="belt" d="M${left + 4} ${belt}H${left + WIDE + 4}"/><path class="wire" d="M${left + 4} ${lane}H${o}"/><path class="wire" d="M${x0 + 12} 232V${lane}"/>
    ${[f, i, g, o].map(x => `<path class="wire" d="M${x} ${lane}V196"/>`).join("")}
    <path class="wire" d="M${f} 150V${belt + 9}" ${arrow}/><path class="wire" d="M${i} 150V126H${(i + g) / 2}V126"/><path class="wire" d="M${g} 150V126H${(i + g) / 2}"/><path class="wire" d="M${(i + g) / 2} 126V${belt + 9}" ${arrow}/>
    <path class="wire" d="M${out} ${belt}V${lane}H${left + WIDE + 4}" /><path class="wire" d="M${o + 14} 160H${out - 9}" ${arrow}/><path class="wire" d="M${x1 - 10} ${lane}V62"/>
    ${sign(f, belt, "×")}${sign((i + g) / 2, belt, "+")}${sign((i + g) / 2, 122, "×")}${oval(out, 124, short(L.activation))}${sign(out, 160, "×")}
    ${gate(L, "forget", t, u, f, 160)}${gate(L, "input", t, u, i, 160)}${gate(L, "candidate", t, u, g, 160)}${gate(L, "output", t, u, o, 160)}
    ${first ? number(left + mid - 2, belt - 8, `c ${brief(L.before("cell", t, u))}`) + number(left + mid - 2, lane - 8, `h ${brief(L.before("hidden", t, u))}`) : ""}
    ${number(left + WIDE + mid - 2, belt - 8, `c ${brief(L.at("cell", t, u))}`)}${number(left + WIDE + mid - 2, lane - 8, `h ${brief(L.at("hidden", t, u))}`)}`;
}

function gruStep({ L, t, u, x0, x1, left, arrow, first, at }) {
  const [z, r, c] = [0.22, 0.47, 0.72].map(at), belt = 88, lane = 214, mid = GAP / 2;
  return `${box(x0, x1)}
    <path class="belt" d="M${left + 4} ${belt}H${left + WIDE + 4}"/><path class="wire" d="M${x0 + 12} ${belt}V${lane}H${c}"/><path class="wire" d="M${x0 + 12} 232V${lane}"/>
    ${[z, r, c].map(x => `<path class="wire" d="M${x} ${lane}V196"/>`).join("")}
    <path class="wire" d="M${z} 150V${belt + 9}" ${arrow}/><path class="wire" d="M${r + 14} 160H${c - 15}" ${arrow}/><path class="wire" d="M${c} 150V${belt + 9}" ${arrow}/>
    <path class="wire" d="M${z} 124H${c - 26}" stroke-dasharray="3 2"/><path class="wire" d="M${x1 - 10} ${belt}V62"/>
    ${sign(z, belt, "×")}${sign(c, belt, "+")}<rect class="node" x="${c - 26}" y="114" width="52" height="20" rx="10"/><text class="sign" style="font-size:10.5px" x="${c}" y="124">× (1 − z)</text>
    ${gate(L, "update", t, u, z, 160)}${gate(L, "reset", t, u, r, 160)}${gate(L, "candidate", t, u, c, 160)}
    ${first ? number(left + mid - 2, belt - 8, `h ${brief(L.before("hidden", t, u))}`) : ""}
    ${number(left + WIDE + mid - 2, belt - 8, `h ${brief(L.at("hidden", t, u))}`)}`;
}

function simpleStep({ L, t, u, x0, x1, left, arrow, first, at }) {
  const [plus, f] = [0.36, 0.68].map(at), lane = 146, mid = GAP / 2, p = L.parts("hidden", t, u);
  return `${box(x0, x1)}
    <path class="belt" d="M${left + 4} ${lane}H${left + WIDE + 4}"/><path class="wire" d="M${x0 + 12} 232V196H${plus}V${lane + 9}" ${arrow}/><path class="wire" d="M${plus} 106V${lane - 9}" ${arrow}/><path class="wire" d="M${x1 - 10} ${lane}V62"/>
    ${sign(plus, lane, "+")}${oval(f, lane, short(L.activation))}
    ${number(at(0.16), lane - 12, `U ${brief(p.h)}`)}${number(plus, 98, `b ${brief(p.b)}`)}${number(plus + 4, 214, `W ${brief(p.x)}`)}
    ${first ? number(left + mid - 2, lane - 8, `h ${brief(L.before("hidden", t, u))}`) : ""}
    ${number(left + WIDE + mid - 2, lane - 8, `h ${brief(L.at("hidden", t, u))}`)}`;
}
