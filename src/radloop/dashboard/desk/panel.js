// What stands beside the film: the state of the read, the verdicts, the list of findings, the classes, a comment.

import { READERS, STYLES } from "./boxes.js";
import { ClassList } from "./classlist.js";
import { button, h, svg } from "./dom.js";

const VERDICTS = [["accept", "Accept"], ["correct", "Correct"], ["normal", "No finding"], ["reject", "Not readable"]];

export class Panel {
  // `desk` has `act(id)` for everything that a key does, too.
  constructor(desk, { classes, keys }) {
    this.desk = desk;
    this.classes = classes;
    const named = (id, title, attributes) => button(title, keys.label(id), () => desk.act(id), { data: { act: id }, ...attributes });
    this.step = h("p", { class: "step" });
    this.note = h("p", { class: "note", role: "note" });
    this.says = h("p", { class: "says", role: "status", "aria-live": "polite" });
    this.wrong = h("p", { class: "wrong", role: "alert" });
    this.reveal = named("reveal", "Show AI findings", { class: "first" });
    this.verdicts = h("div", { class: "verdicts", role: "group", "aria-label": "Verdict" }, ...VERDICTS.map(([id, title]) => named(id, title)));
    this.skip = named("skip", "Skip");
    this.final = h("input", { type: "checkbox", onchange: () => desk.act("final") });
    this.finalRow = h("label", { class: "final" }, this.final, "Final (adjudicated) read", h("kbd", {}, keys.label("final")));
    this.count = h("h2", {});
    this.list = h("ol", { class: "findings", "aria-label": "Findings" });
    this.readers = h("div", { class: "readers", role: "group", "aria-label": "Readers" });
    this.classlist = new ClassList({ classes, keyOf: (name) => keys.label(`class:${name}`), choose: (class_id) => desk.choose(class_id), label: "Classes" });
    this.comment = h("textarea", {
      rows: 1, maxlength: 2000, placeholder: "Comment", "aria-label": "Comment",
      oninput: () => desk.commented(this.comment.value), onkeydown: (event) => this.#leave(event),
    });
    this.element = h("div", { class: "panel" },
      h("div", { class: "top" }, this.step, this.note, this.wrong, this.says, this.reveal, this.verdicts, this.finalRow, this.skip),
      this.readers, this.count, this.list, h("h2", {}, "Classes"), this.classlist.element, this.comment);
  }

  #leave(event) {
    if (event.key !== "Escape") return;
    this.comment.blur();
    event.stopPropagation();
  }

  say(text) {
    this.says.textContent = text ?? "";
  }

  fail(text) {
    this.wrong.textContent = text ?? "";
  }

  // Put everything right for the read as it is; `armed` is the class that the next box gets.
  show(read, armed, notice) {
    const { item } = read;
    this.step.textContent = stepOf(read);
    const held = item.held_out ? `This image is held out (${item.held_out}): your read is kept and counted, and trains nothing.` : "";
    const why = read.revealed && item.why ? item.why.says : ""; // before, it would tell what the AI says
    this.note.textContent = [held, why, notice].filter(Boolean).join(" ");
    this.reveal.hidden = read.revealed;
    this.final.checked = read.final;
    this.finalRow.hidden = !item.may_adjudicate;
    if (this.comment.value !== read.comment) this.comment.value = read.comment;
    this.count.textContent = `Findings: ${read.boxes.length}`;
    this.#fillList(read);
    this.classlist.mark(read.chosen ? read.chosen.class_id : armed);
    this.#fillReaders(item);
  }

  #fillList(read) {
    const focused = this.list.contains(this.list.getRootNode().activeElement) ? this.list.getRootNode().activeElement.dataset.at : null;
    this.list.replaceChildren(...read.boxes.map((box, at) => this.#row(box, at, at === read.selected)));
    if (focused !== null) this.list.querySelector(`[data-at="${focused}"]`)?.focus();
    if (read.selected >= 0) this.list.children[read.selected]?.scrollIntoView({ block: "nearest" });
  }

  #row(box, at, selected) {
    const name = box.class_id === null ? "class?" : this.classes[box.class_id];
    const select = button(name, "", () => this.desk.select(at), {
      class: "name", data: { at: `select-${at}` }, "aria-pressed": String(selected), title: name, "aria-label": `${at + 1}. ${name}, ${whoseOf(box)}`,
    });
    return h("li", { class: box.class_id === null ? "unnamed" : "" },
      h("span", { class: "number" }, String(at + 1)), swatch(STYLES[box.by]), select, h("span", { class: "who" }, whoseOf(box)),
      button("Class", "", () => this.desk.ask(at), { class: "small", data: { at: `class-${at}` }, "aria-label": `Change the class of ${at + 1}` }),
      button("×", "", () => this.desk.remove(at), { class: "small", data: { at: `remove-${at}` }, "aria-label": `Delete ${at + 1}` }));
  }

  #fillReaders(item) {
    const readers = item.readers ?? [];
    const name = JSON.stringify([item.feedback_id, readers.length, [...this.desk.away]]);
    if (this.readersOf === name) return;
    this.readersOf = name;
    this.readers.hidden = !readers.length;
    this.readers.replaceChildren(...(readers.length ? [h("h2", {}, "Readers")] : []), ...readers.map((reader, at) => h("div", { class: "reader" },
      swatch(READERS[at % READERS.length]),
      button(`${reader.name}: ${reader.said}`, "", () => this.desk.toggleReader(reader.name), { "aria-pressed": String(!this.desk.away.has(reader.name)), title: `Show or hide the boxes of ${reader.name}` }),
      reader.findings.length ? button("Take", "", () => this.desk.take(reader), { class: "small", title: `Put the boxes of ${reader.name} into your list` }) : null,
      reader.comment ? h("p", {}, reader.comment) : null)));
  }
}

function stepOf({ item, isBlind, revealed, shown }) {
  if (!revealed && item.mine) return "Look again: your read of before.";
  if (!revealed) return isBlind ? "1. Blind read: draw what you see." : "1. Readers differ: compare what they say.";
  const all = shown.length ? `${shown.length} AI finding${shown.length === 1 ? "" : "s"}` : "the AI found nothing";
  const told = item.more > shown.length
    ? `the ${shown.length} most confident of ${item.more.toLocaleString("en")} AI findings are shown` : all;
  return `${item.mine ? "Look again" : "2. Compare"}: ${told}.`;
}

function whoseOf(box) {
  if (box.by === "ai") return `AI ${box.confidence.toFixed(2)}`;
  return box.agrees ? `you · AI ${box.agrees.confidence.toFixed(2)}` : "you";
}

function swatch({ colour, dash }) {
  const line = (attributes) => svg("line", { x1: 1, y1: 5, x2: 21, y2: 5, ...attributes });
  return svg("svg", { class: "swatch", width: 22, height: 10, "aria-hidden": "true" },
    line({ stroke: "#000", "stroke-width": 6 }), line({ stroke: colour, "stroke-width": 2.5, "stroke-dasharray": dash }));
}
