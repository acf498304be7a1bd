// The overlay that lists every key and gesture, and where a reader gives an action another key.

import { button, h } from "./dom.js";
import { keyName, shown } from "./keys.js";

const MOST_CLASSES = 40; // rows for classes
const GESTURES = [
  ["Left drag", "draw a box; a box's rim or the selected box: move; a handle: resize"],
  ["Click", "select the box under the pointer"],
  ["Right or Shift drag", "window (across) and level (down)"],
  ["Middle, Alt or Space drag", "move the view"],
  ["Wheel", "zoom at the pointer, also while drawing"],
  ["Double click", "fit the whole image"],
  ["Touch", "one finger moves the view (with the tool Draw it draws), two zoom, a tap selects"],
];

export class Help {
  constructor(keys, changed) {
    this.keys = keys;
    this.changed = changed;
    this.waiting = null; // the action whose next key is awaited
    this.says = h("p", { role: "status", class: "says" });
    this.body = h("tbody");
    this.element = h("dialog", { class: "help", "aria-label": "Keys and gestures", onclose: () => this.#await(null) },
      h("header", {}, h("h2", {}, "Keys and gestures"), button("Reset all keys", "", () => this.#reset()), button("Close", "Esc", () => this.element.close(), { autofocus: true })),
      h("p", {}, "Press a key's button, then the key that you want. They are kept in this browser for your Reader ID."), this.says,
      h("table", {}, h("caption", {}, "Keys"), this.body),
      h("table", {}, h("caption", {}, "Gestures"), h("tbody", {}, ...GESTURES.map(([how, what]) => h("tr", {}, h("th", { scope: "row" }, how), h("td", {}, what))))));
  }

  get isOpen() {
    return this.element.open;
  }

  open() {
    this.says.textContent = "";
    this.#fill();
    this.element.showModal();
  }

  #fill() {
    const classes = this.keys.actions.filter(({ id }) => id.startsWith("class:")).slice(0, MOST_CLASSES);
    const others = this.keys.actions.filter(({ id }) => !id.startsWith("class:"));
    this.body.replaceChildren(...[...others, ...classes].map(({ id, title }) => h("tr", {},
      h("th", { scope: "row" }, title),
      h("td", {}, button(id === this.waiting ? "press a key …" : this.keys.keys(id).filter((key) => this.keys.action(key) === id).map(shown).join(" or ") || "none", "",
        () => this.#await(id), { data: { set: id }, "aria-label": `Key of: ${title}` })))));
  }

  #await(id) {
    this.waiting = id;
    this.#fill();
  }

  #reset() {
    this.keys.reset();
    this.says.textContent = "All keys are as they were made.";
    this.#await(null);
    this.changed();
  }

  // A key while the overlay is open; whether it was taken.
  press(event) {
    if (!this.waiting) return false;
    const name = keyName(event);
    if (!name) return true;
    const [id] = [this.waiting];
    const wrong = name === "Escape" ? "Nothing was changed." : this.keys.set(id, name);
    this.says.textContent = wrong ?? `${shown(name)} is set.`;
    this.#await(null);
    this.body.querySelector(`[data-set="${CSS.escape(id)}"]`)?.focus();
    if (!wrong) this.changed();
    return true;
  }
}
