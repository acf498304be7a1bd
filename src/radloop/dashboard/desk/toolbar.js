// The row over the film: worklist, image, window, view, undo, tools.

import { button, h } from "./dom.js";
import { keeps } from "./draft.js";
import { PRESETS } from "./gray.js";

const TOOLS = [
  ["undo", "Undo"], ["redo", "Redo"], ["invert", "Invert"], ["fit", "Fit"], ["one", "1:1"], ["in", "+"], ["out", "−"], ["reset", "Reset"], ["hide", "Hide boxes"],
];
const NAMES = { in: "Zoom in", out: "Zoom out", one: "1:1" };

export class Toolbar {
  constructor(desk, keys) {
    const named = (id, title) => button(title, "", () => desk.act(id), { data: { tool: id }, title: hint(NAMES[id] ?? title, keys.label(id)), "aria-label": NAMES[id] ?? title });
    this.worklist = h("select", {
      "aria-label": "Worklist", title: "Worklist",
      onpointerdown: () => { this.clicked = true; },
      onkeydown: () => { this.clicked = false; },
      onchange: () => {
        desk.tell("worklist", { worklist: this.worklist.value });
        if (this.clicked) this.worklist.blur(); // the next key is a command; who chose by keys goes on choosing
      },
    });
    this.simulated = h("span", { class: "simulated", tabindex: 0 }, "Simulated");
    this.left = h("span", { class: "left", tabindex: 0 });
    this.unsaved = h("span", { class: "unsaved", role: "status" });
    this.drafts = h("span", { class: "drafts", role: "status" });
    this.presets = h("span", { class: "presets", role: "group", "aria-label": "Window presets" },
      ...PRESETS.map(({ name }, at) => button(name, "", () => desk.preset(at), { title: hint(`Window: ${name}`, at ? "" : keys.label("preset")) })));
    this.tools = Object.fromEntries(TOOLS.map(([id, title]) => [id, named(id, title)]));
    this.touch = button("Draw", "", () => desk.act("tool"), { class: "touch", "aria-pressed": "false", title: hint("Touch: one finger draws", keys.label("tool")) });
    this.reader = button("", "", () => desk.askReader(), { class: "who" });
    this.help = button("Keys", keys.label("help"), () => desk.act("help"), { title: "Keys and gestures" });
    this.element = h("div", { class: "toolbar", role: "toolbar", "aria-label": "Film" },
      h("h1", { class: "hidden" }, "Review"), this.worklist, this.left, this.simulated, this.presets, ...Object.values(this.tools), this.touch, this.help, this.reader, this.unsaved, this.drafts);
  }

  // `waiting`: verdicts that the server has not yet said are saved.
  show({ worklist, reader, fixed, simulated }, read, waiting, touchDraws, hidden, inverted) {
    const kinds = JSON.stringify(worklist.kinds);
    if (this.kinds !== kinds) {
      this.kinds = kinds;
      this.worklist.replaceChildren(...worklist.kinds.map(([id, title]) => h("option", { value: id }, title)));
    }
    if (!waiting.some(({ kind }) => kind === "worklist")) this.worklist.value = worklist.kind;
    this.simulated.hidden = !simulated;
    this.simulated.title = `Simulated: ${simulated}. Made up by a program; says nothing of patients.`;
    this.simulated.setAttribute("aria-label", this.simulated.title);
    this.left.textContent = worklist.left === null ? "" : `${worklist.left.toLocaleString("en")} left, by ${worklist.order}`;
    this.left.title = `The order ${worklist.order}: ${worklist.says}.`;
    this.reader.hidden = !reader;
    this.reader.firstChild.textContent = reader ?? "";
    this.reader.title = `Reader ID: ${reader}`;
    this.reader.disabled = fixed;
    const verdicts = waiting.filter(({ kind }) => kind === "verdict").length;
    this.unsaved.textContent = verdicts ? `${verdicts} not yet saved` : "";
    this.drafts.textContent = keeps ? "" : "No drafts: this browser's storage is full or forbidden";
    this.touch.setAttribute("aria-pressed", String(touchDraws));
    this.tools.hide.setAttribute("aria-pressed", String(hidden));
    this.tools.invert.setAttribute("aria-pressed", String(inverted));
    this.tools.undo.disabled = !read?.history.before.length;
    this.tools.redo.disabled = !read?.history.after.length;
  }
}

const hint = (title, key) => (key ? `${title} (${key})` : title);
