// Boxes over the film, as SVG. Each has a line in a light colour inside a dark halo, so that one of the two stands out
// by 3:1 or more from any gray behind it; whose a box is, dashes tell as well as colours.

import { svg } from "./dom.js";
import { HANDLES, toStage } from "./geometry.js";

export const HALO = "#000000";
export const STYLES = {
  me: { colour: "#5ad1ff", dash: "none" },
  ai: { colour: "#ffb02e", dash: "9 5" },
  ghost: { colour: "#ffb02e", dash: "2 5" },
  why: { colour: "#ff9d9d", dash: "12 3 2 3 2 3" },
};
export const READERS = [
  { colour: "#b6f09c", dash: "14 4" },
  { colour: "#ffb3e6", dash: "4 4" },
  { colour: "#fff27a", dash: "14 4 3 4" },
  { colour: "#d3c4ff", dash: "7 3" },
  { colour: "#8df0d2", dash: "3 3 9 3" },
  { colour: "#ffffff", dash: "1 4" },
];
const HANDLE_PX = 9;
const LINE_PX = 15; // of a text
const LETTER_PX = 7.5;

// Contrast of two colours by WCAG 2.2 (relative luminance).
export function contrast(one, other) {
  const [a, b] = [one, other].map(luminance).sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}

function luminance(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

// The layer of boxes; `draw` puts it right, with as few changes to the page as there are.
export class Boxes {
  constructor(layer) {
    this.layer = layer;
    this.drawn = new Map(); // name -> {group, halo, line, text}
  }

  // `marks`: {name, box, style, text, selected} from back to front; those in front choose first where their text stands.
  draw(marks, view) {
    const names = new Set(marks.map((mark) => mark.name));
    for (const [name, { group }] of this.drawn) {
      if (!names.has(name)) {
        group.remove();
        this.drawn.delete(name);
      }
    }
    const made = marks.map((mark) => this.drawn.get(mark.name) ?? this.#make(mark));
    const taken = [];
    for (let at = marks.length - 1; at >= 0; at -= 1) this.#place(made[at], marks[at], toStage(view, marks[at].box), taken);
    const chosen = marks.find((mark) => mark.selected);
    this.#handles(chosen && toStage(view, chosen.box));
  }

  #make({ name }) {
    const halo = svg("rect", { fill: "none", stroke: HALO });
    const line = svg("rect", { fill: "none" });
    const text = svg("text", { "paint-order": "stroke", stroke: HALO, "stroke-width": 4, "stroke-linejoin": "round" });
    const parts = { group: svg("g", { data: { box: name } }, halo, line, text), halo, line, text };
    this.layer.append(parts.group);
    this.drawn.set(name, parts);
    return parts;
  }

  #place({ halo, line, text, group }, { style, text: said, selected }, { x, y, w, h }, taken) {
    const width = selected ? 3 : 2;
    for (const rect of [halo, line]) set(rect, { x, y, width: Math.max(w, 0), height: Math.max(h, 0) });
    set(halo, { "stroke-width": width + 4 });
    set(line, { stroke: style.colour, "stroke-width": width, "stroke-dasharray": style.dash });
    set(text, { x: x + 1, y: freeLine(said, { x, y, h }, taken), fill: style.colour, "font-weight": selected ? 700 : 500 });
    if (text.textContent !== said) text.textContent = said;
    group.classList.toggle("selected", Boolean(selected));
  }

  #handles(at) {
    this.handles ??= Object.keys(HANDLES).map((name) =>
      svg("rect", { data: { handle: name }, width: HANDLE_PX, height: HANDLE_PX, fill: "#ffffff", stroke: HALO, "stroke-width": 1.5 }));
    if (!at) return this.handles.forEach((handle) => handle.remove());
    this.handles.forEach((handle) => {
      const [hx, hy] = HANDLES[handle.dataset.handle];
      set(handle, { x: at.x + at.w * hx - HANDLE_PX / 2, y: at.y + at.h * hy - HANDLE_PX / 2 });
    });
    return this.layer.append(...this.handles);
  }
}

// The line of a text at a box: above it, else below it, else further away, where no text of `taken` stands yet.
function freeLine(said, { x, y, h }, taken) {
  const above = y > 18 ? [y - 6] : [];
  const lines = [...above, y + 15, y + h + 15, ...above.map((line) => line - LINE_PX), y + h + 15 + LINE_PX, y + 15 + LINE_PX];
  const width = said.length * LETTER_PX;
  const isFree = (line) => taken.every((one) => Math.abs(one.line - line) >= LINE_PX || one.x >= x + width || x >= one.x + one.width);
  const line = lines.find(isFree) ?? lines[0];
  if (said) taken.push({ line, x, width });
  return line;
}

function set(element, values) {
  for (const [name, value] of Object.entries(values)) {
    const text = typeof value === "number" ? String(Math.round(value * 100) / 100) : value;
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}
