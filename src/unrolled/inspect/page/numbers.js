"use strict";
// Numbers: float32 in base64, shown as the Python tables show them; text made safe; colours of the theme.

function unpack(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let k = 0; k < raw.length; k++) bytes[k] = raw.charCodeAt(k);
  return new Float32Array(bytes.buffer);
}

/** Four digits that matter; small and large numbers with an exponent; a dot where nothing ran. */
function show(x) {
  if (Number.isNaN(x)) return "·";
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 0.001 && size < 10000) return x.toFixed(4);
  return x.toExponential(2).replace(/e([+-])(\d)$/, "e$10$2");
}

/** A number for the picture: few digits. */
const brief = x => Number.isNaN(x) ? "·" : Math.abs(x) >= 1000 ? x.toExponential(0) : x.toFixed(2).replace(/^-0\.00$/, "0.00");
const escaped = text => String(text).replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);
const clamp = (x, low, high) => Math.max(low, Math.min(high, x));

function largest(values) {
  let most = 0;
  for (const v of values) if (Math.abs(v) > most) most = Math.abs(v);
  return most;
}

const theme = {};
function readTheme() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["zero", "neg", "pos", "gate"]) theme[name] = style.getPropertyValue(`--${name}`).trim().split(" ").map(Number);
}

/** Colour of a value on a scale: {kind: "gate"} from 0 to 1, {kind: "signed"} from -most to most. */
function colour(value, scale) {
  const share = clamp(scale.most ? value / scale.most : 0, -1, 1);
  const end = scale.kind === "gate" ? theme.gate : share < 0 ? theme.neg : theme.pos;
  const part = Math.abs(share);
  return theme.zero.map((zero, k) => Math.round(zero + (end[k] - zero) * part));
}
const css = (value, scale) => `rgb(${colour(value, scale).join(" ")})`;
