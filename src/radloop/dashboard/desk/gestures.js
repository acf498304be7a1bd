// Mouse, pen, touch and wheel on the film.
//   left drag: draw, move, resize · right or shift drag: window/level · middle, alt or space drag: pan · wheel: zoom
//   one finger: pan (draw, with the draw tool) · two fingers: zoom and pan · tap or click: select the box under it

import { between, grip, isUsable, moved, panned, resized, toFilm, under, zoomed } from "./geometry.js";
import { dragged } from "./gray.js";

const CLICK_PX = 4; // a shorter drag was a click
const REACH_PX = { mouse: 8, pen: 10, touch: 20 };
const CURSORS = { nw: "nwse-resize", se: "nwse-resize", ne: "nesw-resize", sw: "nesw-resize", n: "ns-resize", s: "ns-resize", e: "ew-resize", w: "ew-resize" };

export class Gestures {
  constructor(stage, desk) {
    this.stage = stage;
    this.desk = desk;
    this.pointers = new Map();
    this.act = null;
    this.space = false;
    const on = (name, take, options) => stage.addEventListener(name, take, options);
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#up(event));
    on("pointercancel", (event) => this.#up(event, true));
    on("wheel", (event) => this.#wheel(event), { passive: false });
    on("contextmenu", (event) => event.preventDefault());
    on("auxclick", (event) => event.preventDefault());
  }

  // Where a pointer is, in CSS pixels of the stage.
  #at(event) {
    const area = this.stage.getBoundingClientRect();
    return [event.clientX - area.left, event.clientY - area.top];
  }

  #down(event) {
    if (!this.desk.read) return;
    event.preventDefault();
    this.stage.focus({ preventScroll: true }); // out of any text: from here on keys are the desk's
    this.stage.setPointerCapture(event.pointerId);
    const point = this.#at(event);
    this.pointers.set(event.pointerId, point);
    if (this.pointers.size === 2) return this.#pinch();
    if (this.pointers.size > 2) return undefined;
    this.act = this.#begun(event, point);
    return this.desk.repaint();
  }

  #pinch() {
    this.cancel();
    this.act = { kind: "pinch", ...this.#spread() };
  }

  #begun(event, point) {
    const { desk } = this;
    const start = { from: point, last: point, film: toFilm(desk.view, point), far: false };
    if (event.button === 1 || event.altKey || this.space) return { ...start, kind: "pan" };
    if (event.button === 2 || (event.shiftKey && event.button === 0)) return { ...start, kind: "window", window: { ...desk.window } };
    const { boxes, selected } = desk.read;
    const held = desk.hidden ? null : grip(boxes, selected, point, desk.view, REACH_PX[event.pointerType] ?? 8);
    const finger = event.pointerType === "touch" && !desk.touchDraws;
    if (held && !(finger && held.kind === "rim")) return { ...start, ...held, kind: held.kind === "handle" ? "resize" : "move", box: boxes[held.index] };
    return { ...start, kind: finger ? "pan" : "draw" };
  }

  #move(event) {
    const point = this.#at(event);
    if (!this.act) return this.#hover(event, point);
    this.pointers.set(event.pointerId, point);
    const { act, desk } = this;
    const begun = performance.now();
    if (act.kind === "pinch") this.#spreadOut();
    else {
      act.far ||= Math.hypot(point[0] - act.from[0], point[1] - act.from[1]) >= CLICK_PX;
      if (act.far) this.#drag(act, point);
      act.last = point;
    }
    desk.worked(performance.now() - begun);
    return desk.repaint();
  }

  #drag(act, point) {
    const { desk } = this;
    const [x, y] = toFilm(desk.view, point);
    if (act.kind === "pan") desk.setView(panned(desk.view, point[0] - act.last[0], point[1] - act.last[1], desk.film, desk.size));
    else if (act.kind === "window") desk.setWindow(dragged(act.window, point[0] - act.from[0], point[1] - act.from[1]));
    else if (act.kind === "draw") desk.rubber = between(act.film, [x, y], desk.film);
    else this.#reshape(act, x - act.film[0], y - act.film[1]);
  }

  #reshape(act, dx, dy) {
    const { read, film } = this.desk;
    if (!act.recorded) {
      read.record();
      act.recorded = true;
      read.selected = act.index;
    }
    read.place(act.index, act.kind === "move" ? moved(act.box, dx, dy, film) : resized(act.box, act.handle, dx, dy, film));
  }

  #spread() {
    const [a, b] = [...this.pointers.values()];
    return { apart: Math.hypot(a[0] - b[0], a[1] - b[1]), middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2] };
  }

  #spreadOut() {
    const { act, desk } = this;
    if (this.pointers.size < 2) return;
    const now = this.#spread();
    const to = panned(desk.view, now.middle[0] - act.middle[0], now.middle[1] - act.middle[1], desk.film, desk.size);
    desk.setView(zoomed(to, now.apart / Math.max(act.apart, 1), now.middle, desk.film, desk.size));
    Object.assign(act, now);
  }

  #up(event, lost = false) {
    this.pointers.delete(event.pointerId);
    const { act, desk } = this;
    if (!act) return;
    if (act.kind === "pinch") {
      if (!this.pointers.size) this.act = null; // a finger that is left does nothing on its own
      return;
    }
    if (lost) return this.cancel();
    this.act = null;
    const drawn = desk.rubber;
    desk.rubber = null;
    if (act.kind === "draw" && drawn && isUsable(drawn, desk.film)) desk.drawn(drawn);
    else if (act.recorded) desk.changed();
    else if (!act.far && ["draw", "pan", "move"].includes(act.kind) && event.button === 0) this.#click(act);
    desk.repaint();
  }

  #click(act) {
    const { read } = this.desk;
    const inside = this.desk.hidden ? -1 : under(read.boxes, act.film);
    this.desk.select(act.kind === "move" && act.index !== read.selected ? act.index : inside);
  }

  // Give up what is being dragged: nothing was changed.
  cancel() {
    const { act, desk } = this;
    this.act = null;
    desk.rubber = null;
    if (act?.recorded) {
      desk.read.boxes[act.index] = act.box;
      desk.read.history.drop();
    }
    if (act?.kind === "window") desk.setWindow(act.window);
    desk.repaint();
    return Boolean(act);
  }

  #wheel(event) {
    if (!this.desk.read) return;
    event.preventDefault();
    const { desk, act } = this;
    const steps = event.deltaMode === 1 ? event.deltaY / 3 : event.deltaY / 100;
    const point = this.#at(event);
    desk.setView(zoomed(desk.view, 1.2 ** -Math.max(-3, Math.min(3, steps)), point, desk.film, desk.size));
    if (act?.far) this.#drag(act, point); // what is being drawn ends under the pointer, in any zoom
    desk.repaint();
  }

  #hover(event, point) {
    if (!this.desk.read || event.pointerType === "touch") return;
    const { boxes, selected } = this.desk.read;
    const held = this.desk.hidden ? null : grip(boxes, selected, point, this.desk.view, REACH_PX[event.pointerType] ?? 8);
    const cursor = this.space || event.altKey ? "grab" : held?.kind === "handle" ? CURSORS[held.handle] : held ? "move" : "crosshair";
    if (this.stage.style.cursor !== cursor) this.stage.style.cursor = cursor;
  }
}
