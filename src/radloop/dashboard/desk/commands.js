// What each action of keys.js does to the desk.

import { fit, moved, panned, resized, scaled, zoomed } from "./geometry.js";
import { PRESETS, dragged } from "./gray.js";

const STEP_PX = 4; // CSS pixels that an arrow key moves a box or an edge
const VIEW_PX = 60; // that it moves the view
const WINDOW_PX = 20; // of drag that a key of the window stands for

function arrow(desk, dx, dy) {
  const { read, view, film, size } = desk;
  if (read.selected < 0) {
    desk.setView(panned(view, -dx * VIEW_PX, -dy * VIEW_PX, film, size));
    return desk.repaint();
  }
  return reshape(desk, (box, step) => moved(box, dx * step, dy * step, film));
}

function edge(handle, dx, dy) {
  return (desk) => desk.read.selected >= 0 && reshape(desk, (box, step) => resized(box, handle, dx * step, dy * step, desk.film));
}

// Many presses of an arrow on one box are one step of undo.
function reshape(desk, change) {
  const { read, view } = desk;
  read.record(`arrow ${read.chosen.id}`);
  read.place(read.selected, change(read.chosen, STEP_PX / view.s));
  desk.changed();
}

function zoom(desk, factor) {
  const { size, view, film } = desk;
  desk.setView(zoomed(view, factor, [size.w / 2, size.h / 2], film, size));
  desk.repaint();
}

function fitted(desk) {
  desk.setView(fit(desk.film, desk.size));
  desk.fitted = true;
  desk.repaint();
}

function select(desk, by) {
  const { length } = desk.read.boxes;
  if (length) desk.select((desk.read.selected + by + length + (desk.read.selected < 0 && by < 0 ? 1 : 0)) % length);
}

// A box in the middle of what is seen, a quarter of it wide.
function box(desk) {
  const { view, size, film } = desk;
  const w = Math.min(size.w / view.s, film.w) / 4;
  const h = Math.min(size.h / view.s, film.h) / 4;
  const x = (size.w / 2 - view.x) / view.s - w / 2;
  const y = (size.h / 2 - view.y) / view.s - h / 2;
  desk.drawn(moved({ x, y, w, h }, 0, 0, film));
}

const level = (dx, dy) => (desk) => desk.setWindow(dragged(desk.window, dx * WINDOW_PX, dy * WINDOW_PX));
const verdict = (which) => (desk) => desk.decide(which);

export const COMMANDS = {
  reveal: (desk) => desk.reveal(),
  accept: verdict("accept"),
  correct: verdict("correct"),
  normal: verdict("normal"),
  reject: verdict("reject"),
  skip: (desk) => desk.skip(),
  final: (desk) => {
    if (!desk.read.item.may_adjudicate) return;
    desk.read.final = !desk.read.final;
    desk.changed();
  },
  box,
  next: (desk) => select(desk, 1),
  previous: (desk) => select(desk, -1),
  delete: (desk) => desk.read.selected >= 0 && desk.remove(desk.read.selected),
  undo: (desk) => back(desk, desk.read.undo()),
  redo: (desk) => back(desk, desk.read.redo()),
  left: (desk) => arrow(desk, -1, 0),
  right: (desk) => arrow(desk, 1, 0),
  up: (desk) => arrow(desk, 0, -1),
  down: (desk) => arrow(desk, 0, 1),
  "e-left": edge("e", -1, 0),
  "e-right": edge("e", 1, 0),
  "s-up": edge("s", 0, -1),
  "s-down": edge("s", 0, 1),
  "w-left": edge("w", -1, 0),
  "w-right": edge("w", 1, 0),
  "n-up": edge("n", 0, -1),
  "n-down": edge("n", 0, 1),
  find: (desk) => (desk.popup ? desk.popup.focusFirst() : desk.panel.classlist.focus()),
  hide: (desk) => {
    desk.hidden = !desk.hidden;
    desk.refresh();
  },
  tool: (desk) => {
    desk.touchDraws = !desk.touchDraws;
    desk.refresh();
  },
  preset: (desk) => desk.preset(((desk.presetAt ?? 0) + 1) % PRESETS.length),
  invert: (desk) => {
    desk.inverted = !desk.inverted;
    desk.dirty = true;
    desk.refresh();
  },
  darker: level(0, -1),
  brighter: level(0, 1),
  narrower: level(-1, 0),
  wider: level(1, 0),
  in: (desk) => zoom(desk, 1.25),
  out: (desk) => zoom(desk, 0.8),
  one: (desk) => {
    const { size, view, picture } = desk;
    desk.setView(scaled(view, picture.natural / (window.devicePixelRatio || 1), [size.w / 2, size.h / 2]));
    desk.repaint();
  },
  fit: fitted,
  reset: (desk) => {
    Object.assign(desk, { inverted: false, presetAt: 0 });
    desk.setWindow({ low: 0, high: 1 });
    fitted(desk);
    desk.refresh();
  },
  comment: (desk) => desk.panel.comment.focus(),
  help: (desk) => desk.help.open(),
};

function back(desk, done) {
  desk.closePopup();
  if (done) desk.changed();
}
