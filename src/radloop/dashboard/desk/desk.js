// The desk: one radiograph at a time, read by a person. `mount` is called by Streamlit on every run of the page.

import { classPopup, putBeside, READER_ID, readerCard } from "./asking.js";
import { Boxes } from "./boxes.js";
import { COMMANDS } from "./commands.js";
import { h, svg } from "./dom.js";
import * as draft from "./draft.js";
import { film } from "./film.js";
import { fit, toStage } from "./geometry.js";
import { Gestures } from "./gestures.js";
import * as gray from "./gray.js";
import { Help } from "./help.js";
import { pressed, released } from "./keyboard.js";
import { Keymap } from "./keys.js";
import { marks } from "./marks.js";
import { Panel } from "./panel.js";
import { Read } from "./read.js";
import { Toolbar } from "./toolbar.js";

const FRAMES_KEPT = 200;
const DOUBLE_MS = 500; // the longest double click of usual systems
const desks = new WeakMap();

// Show `data`; messages to the server go through `setTriggerValue`.
export function mount({ data, parentElement, setTriggerValue }) {
  let desk = desks.get(parentElement);
  if (!desk) desks.set(parentElement, (desk = new Desk(parentElement)));
  desk.send = (message) => setTriggerValue("message", message);
  desk.update(data);
  return desk;
}

class Desk {
  constructor(host) {
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.layer = svg("svg", { "aria-hidden": "true" });
    this.status = h("span", { class: "window" });
    this.which = h("span", { class: "image" });
    this.loading = h("p", { class: "loading", role: "status" });
    this.stage = h("div", { class: "stage", tabindex: 0, role: "application", "aria-label": "Radiograph" }, this.canvas, this.layer, this.status, this.which, this.loading);
    this.root = h("div", { class: "desk", lang: "en" }, this.stage);
    host.querySelector(".desk")?.remove();
    host.append(this.root);
    this.root.desk = this; // for tests
    this.frames = []; // milliseconds of work of the last frames
    this.boxes = new Boxes(this.layer);
    this.outbox = new draft.Outbox((message) => this.send(message), { changed: () => this.refresh() });
    Object.assign(this, { view: { s: 1, x: 0, y: 0 }, size: { w: 1, h: 1 }, window: { ...gray.FULL } });
    this.inverted = this.hidden = this.touchDraws = false;
    this.fitted = true;
    this.armed = null; // the class that the next box gets
    this.rubber = null;
    this.away = new Set(); // readers whose boxes are not shown
    this.work = 0;
    this.gestures = new Gestures(this.stage, this);
    this.stage.addEventListener("dblclick", () => this.act("fit"));
    this.listeners = [
      [window, "keydown", (event) => pressed(this, event)], [window, "keyup", (event) => released(this, event)],
      [document, "visibilitychange", () => this.#timed()], [window, "pagehide", () => this.keep()],
    ];
    for (const [target, name, take] of this.listeners) target.addEventListener(name, take, true);
    this.watch = new ResizeObserver(() => this.#resized());
    this.watch.observe(this.stage);
  }

  stop() {
    this.keep();
    for (const [target, name, take] of this.listeners) target.removeEventListener(name, take, true);
    this.watch.disconnect();
    this.outbox.stop();
  }

  // What the server says now.
  update(data) {
    const before = this.data;
    if (before && before.reader !== data.reader) {
      this.keep();
      this.read = null; // it was another reader's
    }
    this.data = data;
    if (!before || before.reader !== data.reader || before.classes.join("\n") !== data.classes.join("\n")) this.#built();
    const done = this.outbox.taken(data.taken);
    if (!data.reader || data.tab !== draft.tab()) {
      this.refresh();
      return this.#begun();
    }
    const saved = done.filter(({ id, kind }) => kind === "verdict" && data.refused?.id !== id);
    for (const { feedback_id } of saved) draft.dropDraft(data.reader, feedback_id);
    if (data.refused && done.some(({ id }) => id === data.refused.id)) this.#refused(data.refused);
    const decided = new Set(this.outbox.waiting.map((message) => message.feedback_id));
    const offered = [data.item, data.next].filter((item) => item && !decided.has(item.feedback_id));
    const stays = this.read && !decided.has(this.read.item.feedback_id) && this.outbox.waiting.length > 0;
    if (!stays) this.#shown(offered[0] ?? null);
    this.following = offered.find((item) => item.feedback_id !== this.read?.item.feedback_id) ?? null;
    const { following } = this; // it is fetched behind the picture that is waited for
    if (following) (this.picture?.first ?? Promise.resolve()).then(() => this.following === following && film(following));
    if (saved.length && !this.panel.says.textContent) this.panel.say("Saved.");
    return this.refresh();
  }

  // The parts that know the classes and the reader's keys.
  #built() {
    const { reader, classes } = this.data;
    this.keys = new Keymap(classes, { read: () => draft.get(`keys.${reader}`), write: (value) => draft.put(`keys.${reader}`, value) });
    this.help?.element.remove();
    this.popup?.remove();
    this.help = new Help(this.keys, () => this.#rebuilt());
    this.#rebuilt();
    this.root.append(this.help.element);
    if (!reader) return;
    draft.put("reader", reader);
    for (const message of draft.unsaved(reader)) this.outbox.put(message);
  }

  #rebuilt() {
    this.toolbar?.element.remove();
    this.panel?.element.remove();
    this.toolbar = new Toolbar(this, this.keys);
    this.panel = new Panel(this, { classes: this.data.classes, keys: this.keys });
    this.root.prepend(this.toolbar.element);
    this.root.append(this.panel.element);
    this.refresh();
  }

  // Who reads, and in which tab? The reader is asked once and kept in this browser, or a proxy says who it is.
  #begun() {
    const { reader, fixed, wrong } = this.data;
    const known = reader ?? draft.get("reader");
    if (this.outbox.waiting.some(({ kind }) => kind === "begin")) return undefined;
    if (!wrong && (fixed || READER_ID.test(known ?? ""))) return this.tell("begin", { reader: known, tab: draft.tab() });
    return this.askReader(wrong);
  }

  askReader(wrong = "") {
    this.card?.remove(); // and what was typed with it
    this.card = readerCard({ ...this.data, wrong, begin: (reader) => this.tell("begin", { reader, tab: draft.tab() }) });
    this.root.append(this.card);
  }

  // Tell the server something; it is told again until it has said that it knows.
  tell(kind, more = {}) {
    this.outbox.put({ id: draft.newId(), at: Date.now(), kind, ...more }, { first: kind === "begin" });
  }

  #refused({ feedback_id, error }) {
    const kept = draft.draft(this.data.reader, feedback_id);
    if (kept) draft.keepDraft(this.data.reader, feedback_id, { ...kept, message: undefined });
    this.failure = `Not saved: ${error}`;
  }

  // Put an image on the desk, with the draft that there is of it.
  #shown(item) {
    if (item && this.read?.item.feedback_id === item.feedback_id) return;
    this.keep();
    this.read?.clock.pause();
    this.gestures.cancel();
    this.closePopup();
    Object.assign(this, { read: item && new Read(item), armed: null, hidden: false, inverted: false, window: { ...gray.FULL }, fitted: true, away: new Set() });
    this.picture?.listeners.delete(this.onPicture);
    this.picture = item && film(item);
    this.film = item && { w: item.width, h: item.height };
    this.which.textContent = item ? `${item.image_id} · ${item.width}×${item.height}` : "";
    this.panel.say(item ? "" : this.outbox.waiting.length ? "The next image is on its way …" : `${this.data.notice} ${this.data.empty}`);
    this.panel.fail(this.failure);
    this.failure = "";
    this.stage.dataset.quality = "";
    if (!item) return this.#resized();
    const kept = draft.draft(this.data.reader, item.feedback_id);
    if (kept && !kept.message) {
      this.read.ofDraft(kept);
      this.panel.say("Your draft is back.");
    }
    this.onPicture = () => this.#arrived();
    this.picture.listeners.add(this.onPicture);
    this.#resized();
    this.#arrived();
  }

  #arrived() {
    const { picture } = this;
    this.loading.textContent = picture.failed ? `Refused: ${picture.failed}` : picture.levels.length ? "" : "Loading the image …";
    this.stage.dataset.quality = picture.quality ?? "";
    this.#timed();
    this.dirty = true;
    this.repaint();
  }

  #timed() {
    if (!this.read) return;
    if (document.hidden || !this.picture.levels.length) {
      this.read.clock.pause();
      this.keep();
    } else this.read.clock.run();
  }

  #resized() {
    const { width, height } = this.stage.getBoundingClientRect();
    if (!width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    this.size = { w: width, h: height };
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    if (this.read && this.fitted) this.view = fit(this.film, this.size);
    this.dirty = true;
    this.repaint();
  }

  setView(view) {
    this.view = view;
    this.fitted = false;
    this.dirty = true;
  }

  setWindow(window) {
    this.window = window;
    this.dirty = true;
    this.repaint();
  }

  preset(at) {
    if (!this.read) return;
    this.presetAt = at;
    this.setWindow(this.picture.preset(gray.PRESETS[at]));
  }

  // Milliseconds spent on a frame before it is painted.
  worked(ms) {
    this.work += ms;
  }

  repaint() {
    this.queued ??= requestAnimationFrame(() => {
      this.queued = null;
      const begun = performance.now();
      this.#paint();
      this.frames.push(this.work + performance.now() - begun);
      this.work = 0;
      if (this.frames.length > FRAMES_KEPT) this.frames.shift();
    });
  }

  #paint() {
    const ratio = this.canvas.width / this.size.w;
    if (this.dirty) {
      if (this.picture) this.picture.draw(this.canvas, this.view, this.window, this.inverted, ratio);
      else this.canvas.getContext("2d", { alpha: false }).clearRect(0, 0, this.canvas.width, this.canvas.height);
      this.stage.dataset.painted = this.picture?.levels.length ? this.read.item.feedback_id : "";
      const zoom = this.picture ? Math.round((this.view.s / this.picture.natural) * ratio * 100) : 100;
      this.status.textContent = this.picture ? `${gray.told(this.window, this.picture.bits)}${this.inverted ? " inverted" : ""} · ${zoom} % · ${this.picture.bits} bits${this.picture.quality === "full" ? "" : " (preview)"}` : "";
      this.dirty = false;
    }
    this.boxes.draw(this.read ? marks(this) : [], this.view);
  }

  // The panel and the toolbar as things stand.
  refresh() {
    if (!this.toolbar) return;
    this.toolbar.show(this.data, this.read, this.outbox.waiting, this.touchDraws, this.hidden, this.inverted);
    this.panel.element.classList.toggle("idle", !this.read);
    if (this.read) this.panel.show(this.read, this.armed, this.data.item?.feedback_id === this.read.item.feedback_id ? this.data.notice : "");
    this.repaint();
  }

  // Boxes are others now: keep the draft and show it.
  changed() {
    this.panel.say("");
    this.panel.fail("");
    this.keep();
    this.refresh();
  }

  keep(message) {
    if (!this.read || this.read.done || !this.data.reader || !(this.read.isTouched || message)) return;
    draft.keepDraft(this.data.reader, this.read.item.feedback_id, { ...this.read.toDraft(), message });
  }

  drawn(box) {
    this.read.add(box, this.armed);
    this.armed = null;
    this.changed();
    if (this.read.chosen.class_id === null) this.ask(this.read.selected);
  }

  select(at) {
    this.read.selected = at;
    this.closePopup();
    this.refresh();
  }

  // A class was chosen: of the selected box, else of the next one that is drawn.
  choose(class_id) {
    const { read } = this;
    if (!read) return;
    const asked = this.popup !== undefined;
    if (read.selected >= 0) {
      read.name(read.selected, class_id);
      this.changed();
    } else {
      this.armed = this.armed === class_id ? null : class_id;
      this.panel.say(this.armed === null ? "" : `The next box is ${this.data.classes[class_id]}.`);
      this.refresh();
    }
    this.closePopup();
    if (asked) this.stage.focus({ preventScroll: true });
  }

  // Ask for the class of a box, beside it.
  ask(at) {
    this.read.selected = at;
    this.closePopup();
    this.popup = classPopup({ classes: this.data.classes, keys: this.keys, at, class_id: this.read.chosen.class_id, choose: (class_id) => this.choose(class_id) });
    this.stage.after(this.popup);
    this.refresh();
    putBeside(this.popup, toStage(this.view, this.read.chosen), this.stage);
  }

  closePopup() {
    this.popup?.remove();
    this.popup = undefined;
  }

  remove(at) {
    this.closePopup();
    this.read.remove(at);
    this.changed();
  }

  toggleReader(name) {
    if (!this.away.delete(name)) this.away.add(name);
    this.refresh();
  }

  take(reader) {
    this.read.take(reader.findings);
    this.changed();
  }

  commented(text) {
    this.read.comment = text;
    this.keep();
  }

  reveal() {
    if (this.read.revealed) return;
    this.read.reveal();
    this.closePopup();
    this.changed();
  }

  // A verdict was pressed: it is sent, or what is still wanted is said.
  decide(verdict) {
    if (this.#isDouble(verdict)) return this.panel.say("This is the next image: look at it first.");
    const decision = this.read.decide(verdict);
    if (decision.reveal) this.reveal();
    if (decision.send) {
      this.given = { verdict, at: performance.now() };
      return this.#sent(decision.send);
    }
    if (decision.name !== undefined) this.ask(decision.name);
    this.refresh();
    return this.panel.say(decision.say);
  }

  // Of a double click the second is no verdict on the image that has just come.
  #isDouble(verdict) {
    return this.given?.verdict === verdict && performance.now() - this.given.at < DOUBLE_MS && !this.read.isTouched;
  }

  #sent(payload) {
    const message = { id: draft.newId(), at: Date.now(), kind: "verdict", reader: this.data.reader, ...payload };
    this.keep(message);
    this.advance(() => this.outbox.put(message));
  }

  skip() {
    const { feedback_id } = this.read.item;
    this.given = null; // a verdict after this one is no second half of a click before it
    this.keep();
    this.advance(() => this.tell("skip", { feedback_id }));
  }

  // On to the next image at once; the server is told meanwhile.
  advance(tell) {
    const next = this.following;
    this.following = null;
    this.read.done = true;
    const { read } = this;
    tell();
    if (this.read !== read) return;
    this.#shown(next);
    this.refresh();
  }

  // What a key or a button of this name does.
  act(id) {
    if (id.startsWith("class:")) return this.choose(this.data.classes.indexOf(id.slice(6)));
    if (id !== "help" && !this.read) return undefined;
    return COMMANDS[id]?.(this);
  }

  // Let go of one thing; whether there was one.
  escape() {
    if (this.gestures.cancel()) return true;
    if (this.popup) this.closePopup();
    else if (this.read?.selected >= 0) this.select(-1);
    else if (this.armed !== null) this.armed = null;
    else return false;
    this.refresh();
    return true;
  }
}
