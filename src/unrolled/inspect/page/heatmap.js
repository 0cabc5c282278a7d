// A heat map of one quantity of one layer on a canvas, and the derivation of the cell in focus.

class HeatMap {
  constructor(model) {
    this.model = model;
    this.card = make("div", "card", `<div class="top"><h3>${escaped(model.name)}</h3></div>`);
    const controls = make("p", "controls");
    this.card.append(controls);
    const layers = model.layers.map((layer, k) => [k, `${layer.path} (${layer.all} units)`]);
    controls.append(choice("Layer", `m${model.number}-layer`, layers, model.layers.indexOf(model.layer), value => {
      model.layer = model.layers[value];
      this.fill();
      refresh();
    }));
    this.select = choice("Shows", `m${model.number}-quantity`, [], "", value => { model.quantity = value; this.draw(); refresh(); });
    controls.append(this.select);
    this.box = make("div", "map", `<div><canvas></canvas><i class="cross column"></i><i class="cross row"></i><i class="cell"></i></div>`);
    this.box.tabIndex = 0;
    this.box.setAttribute("role", "application");
    this.box.setAttribute("aria-roledescription", "heat map");
    this.inner = this.box.firstChild;
    this.canvas = this.box.querySelector("canvas");
    this.legend = make("p", "legend");
    this.caption = make("p", "caption");
    this.list = make("ul", "derivation");
    this.card.append(this.box, this.legend, this.caption, this.list);
    this.inner.addEventListener("mousemove", event => preview(this.cellAt(event)));
    this.inner.addEventListener("mouseleave", () => preview(null));
    this.inner.addEventListener("click", event => hold(this.cellAt(event)));
    this.box.addEventListener("keydown", event => this.key(event));
    this.fill();
  }

  fill() {
    const names = Object.keys(this.model.layer.values);
    if (!names.includes(this.model.quantity)) this.model.quantity = "hidden";
    const { layer } = this.model, letter = name => name in layer.gates ? ` (${layer.letter(name)})` : { cell: " (c)", hidden: " (h)" }[name] ?? "";
    fillChoice(this.select, names.map(name => [name, QUANTITY[name] + letter(name)]), this.model.quantity);
    this.draw();
  }

  cellAt(event) {
    const box = this.canvas.getBoundingClientRect(), { layer } = this.model;
    const column = clamp(Math.floor((event.clientX - box.left) / this.wide), 0, layer.columns.length - 1);
    return { place: layer.place(column), unit: clamp(Math.floor((event.clientY - box.top) / this.high), 0, layer.units - 1) };
  }

  key(event) {
    const { layer } = this.model, { place, unit } = at();
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); hold(at()); return; }
    const down = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (down) { event.preventDefault(); hold({ unit: clamp(clamp(unit, 0, layer.units - 1) + down, 0, layer.units - 1) }); return; }
    walk(event, layer.columns.length, layer.column(place), column => hold({ place: layer.place(column) }));
  }

  draw() {
    const { layer, quantity } = this.model, { columns, units } = layer, ratio = window.devicePixelRatio || 1;
    const room = (this.box.clientWidth || 326) - 6;
    this.wide = clamp(room / columns.length, 4, 90);
    this.high = clamp(340 / units, units > 150 ? 2 : 4, 26);
    const width = Math.round(this.wide * columns.length), height = Math.round(this.high * units);
    const scale = layer.scale(quantity), image = new ImageData(columns.length, units);
    for (let unit = 0; unit < units; unit++) {
      columns.forEach((t, column) => {
        const value = layer.at(quantity, t, unit), place = 4 * (unit * columns.length + column);
        if (!Number.isNaN(value)) image.data.set([...colour(value, scale), 255], place);
      });
    }
    const small = document.createElement("canvas");
    small.width = columns.length; small.height = units;
    small.getContext("2d").putImageData(image, 0, 0);
    this.canvas.width = Math.round(width * ratio); this.canvas.height = Math.round(height * ratio);
    this.canvas.style.width = `${width}px`; this.canvas.style.height = `${height}px`;
    const context = this.canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, this.canvas.width, this.canvas.height);
    const low = scale.kind === "gate" ? "0" : show(-scale.most), high = show(scale.most);
    const ends = scale.kind === "gate" ? [theme.zero, theme.gate] : [theme.neg, theme.zero, theme.pos];
    this.legend.innerHTML = `${low}<span class="swatch" style="background:linear-gradient(90deg, ${ends.map(c => `rgb(${c.join(" ")})`).join(", ")})"></span>${high}`;
    if (layer.shown) this.legend.append(make("br"), `${units} of ${layer.all} units: those that matter most to the prediction, by the sum of |h dL/dh| over the steps`);
    this.box.setAttribute("aria-label", `${QUANTITY[quantity]} of ${layer.path}: ${columns.length} steps across, ${units} units down; arrow keys move`);
  }

  update({ place, unit }) {
    const { layer, quantity } = this.model, column = layer.column(place), t = layer.columns[column], u = clamp(unit, 0, layer.units - 1);
    const left = column * this.wide, top = u * this.high;
    const [columnLine, rowLine, cell] = this.inner.querySelectorAll("i");
    Object.assign(columnLine.style, { left: `${left}px`, width: `${this.wide}px` });
    Object.assign(rowLine.style, { top: `${top}px`, height: `${this.high}px` });
    Object.assign(cell.style, { left: `${left}px`, top: `${top}px`, width: `${this.wide}px`, height: `${this.high}px` });
    if (!focus.hover && (left < this.box.scrollLeft || left + this.wide > this.box.scrollLeft + this.box.clientWidth)) this.box.scrollLeft = left - this.box.clientWidth / 2;
    const word = layer.own_steps ? "" : ` “${this.model.names[column]}”`, value = show(layer.at(quantity, t, u));
    this.caption.innerHTML = `${QUANTITY[quantity]}, unit ${layer.number(u)}, step ${t}<b>${escaped(word)}</b>: <b class="number">${value}</b>`;
    this.list.innerHTML = layer.derivation(t, u).map(line => `<li data-name="${line.name}"${line.name === quantity ? ' class="chosen"' : ""}>${line.html}</li>`).join("");
    this.spoken = `${this.model.name}, ${this.caption.textContent}`;
  }
}
