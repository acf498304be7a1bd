// A radiograph to look at, with whoever's boxes on it: zoom, pan and window as on the desk, and nothing to change.

import { Boxes, HALO } from "./boxes.js";
import { h, svg } from "./dom.js";
import { film } from "./film.js";
import { fit, panned, zoomed } from "./geometry.js";
import { dragged, FULL, PRESETS, told } from "./gray.js";

const STEP = 1.25; // of a key's zoom
const FAR = 60; // CSS pixels that an arrow moves

// Called by Streamlit on every run of the page; the zoom stays as long as the image does.
export function mount({ data, parentElement }) {
  const viewer = (parentElement.viewer ??= new Viewer(parentElement));
  viewer.show(data);
  return viewer;
}

function entry({ name, style }) {
  const line = (more) => svg("line", { x1: 0, x2: 36, y1: 5, y2: 5, ...more });
  return h("li", {},
    svg("svg", { viewBox: "0 0 36 10", width: 36, height: 10, "aria-hidden": "true" },
      line({ stroke: HALO, "stroke-width": 6 }),
      line({ stroke: style.colour, "stroke-width": 2, "stroke-dasharray": style.dash })),
    h("span", { dir: "auto" }, name));
}

class Viewer {
  constructor(parent) {
    this.canvas = h("canvas");
    this.layer = svg("svg", { "aria-hidden": "true" });
    this.boxes = new Boxes(this.layer);
    this.window = h("span", { class: "window" });
    this.note = h("span", { class: "loading", role: "status" });
    this.stage = h("div", { class: "stage", tabindex: "0", role: "img" }, this.canvas, this.layer, this.window, this.note);
    const tool = (title, press) => h("button", { type: "button", onclick: press }, title);
    const presets = PRESETS.map((preset) => tool(preset.name, () => this.#set(this.film.preset(preset))));
    this.legend = h("ul", { class: "legend" });
    this.tools = h("div", { class: "tools" },
      ...presets,
      tool("Invert", () => this.#invert()),
      tool("Fit", () => this.#look(null)),
      tool("1:1", () => this.#natural()));
    parent.append(h("div", { class: "viewer" }, this.tools, this.stage, this.legend));
    this.pointers = new Map();
    for (const [name, take] of Object.entries(this.#taken())) this.stage.addEventListener(name, take, { passive: false });
    this.watch = new ResizeObserver(() => this.#look(this.view && this.moved ? this.view : null));
    this.watch.observe(this.stage);
  }

  stop() {
    this.watch.disconnect();
    this.film?.listeners.delete(this.painted);
  }

  show(data) {
    this.marks = data.marks;
    this.legend.replaceChildren(...data.legend.map(entry));
    this.stage.setAttribute("aria-label", data.says);
    this.stage.classList.toggle("bare", !data.item.png);
    if (this.image !== data.item.image_id || this.png !== data.item.png) {
      this.film?.listeners.delete(this.painted);
      [this.image, this.png] = [data.item.image_id, data.item.png];
      this.film = data.item.png ? film(data.item) : { ...data.item, w: data.item.width, h: data.item.height, bare: true };
      this.painted = () => this.#paint();
      this.film.listeners?.add(this.painted);
      [this.gray, this.inverted] = [{ ...FULL }, false];
      this.#look(null);
    }
    this.#paint();
  }

  get #size() {
    return { w: this.stage.clientWidth, h: this.stage.clientHeight };
  }

  #look(view) {
    if (!this.film || !this.stage.clientWidth) return;
    this.moved = Boolean(view);
    this.view = view ?? fit(this.film, this.#size);
    this.#paint();
  }

  #natural() {
    const { w, h: high } = this.#size;
    const scale = 1 / ((this.film.natural ?? 1) * window.devicePixelRatio);
    this.#look(zoomed(this.view, scale / this.view.s, [w / 2, high / 2], this.film, this.#size));
  }

  #set(window) {
    this.gray = window;
    this.#paint();
  }

  #invert() {
    this.inverted = !this.inverted;
    this.#paint();
  }

  #paint() {
    if (this.asked) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = null;
      if (this.view) this.#draw();
    });
  }

  #draw() {
    const ratio = window.devicePixelRatio;
    const { w, h: high } = this.#size;
    const [width, height] = [Math.round(w * ratio), Math.round(high * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.film.draw?.(this.canvas, this.view, this.gray, this.inverted, ratio);
    const { w: wide, h: tall } = this.film;
    this.boxes.draw(this.marks.map(({ edges: [left, top, right, bottom], ...mark }) => ({
      ...mark, box: { x: left * wide, y: top * tall, w: (right - left) * wide, h: (bottom - top) * tall },
    })), this.view);
    this.window.textContent = this.film.bare ? "" : told(this.gray, this.film.bits);
    this.note.textContent = this.film.bare ? "no picture" : this.film.failed ?? (this.film.quality ? "" : "Loading …");
  }

  #zoom(factor, point = [this.#size.w / 2, this.#size.h / 2]) {
    this.#look(zoomed(this.view, factor, point, this.film, this.#size));
  }

  #at(event) {
    const area = this.stage.getBoundingClientRect();
    return [event.clientX - area.left, event.clientY - area.top];
  }

  // What a mouse, fingers and keys do here.
  #taken() {
    return {
      wheel: (event) => {
        event.preventDefault();
        this.#zoom(2 ** (-event.deltaY / 400), this.#at(event));
      },
      pointerdown: (event) => {
        this.stage.setPointerCapture(event.pointerId);
        this.pointers.set(event.pointerId, { last: this.#at(event), gray: event.button === 2 || event.shiftKey });
      },
      pointermove: (event) => this.#drag(event),
      pointerup: (event) => this.pointers.delete(event.pointerId),
      pointercancel: (event) => this.pointers.delete(event.pointerId),
      contextmenu: (event) => event.preventDefault(),
      dblclick: () => this.#look(null),
      keydown: (event) => this.#key(event),
    };
  }

  #drag(event) {
    const held = this.pointers.get(event.pointerId);
    if (!held) return;
    const point = this.#at(event);
    const [dx, dy] = [point[0] - held.last[0], point[1] - held.last[1]];
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = ([x, y]) => Math.hypot(x - other.last[0], y - other.last[1]);
      this.#zoom(apart(point) / Math.max(apart(held.last), 1), other.last);
    } else if (held.gray) {
      this.#set(dragged(this.gray, dx, dy));
    } else {
      this.#look(panned(this.view, dx, dy, this.film, this.#size));
    }
    held.last = point;
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = { ArrowUp: [0, FAR], ArrowDown: [0, -FAR] }[event.key]; // to the sides is the page's: previous, next
    if (move) this.#look(panned(this.view, ...move, this.film, this.#size));
    else if (event.key === "+" || event.key === "=") this.#zoom(STEP);
    else if (event.key === "-") this.#zoom(1 / STEP);
    else if (event.key === "0") this.#look(null);
    else if (event.key === "i") this.#invert();
    else return;
    event.preventDefault();
  }
}
