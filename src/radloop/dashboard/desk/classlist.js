// The list of classes: each a button with its key; a search where there are more than fit.

import { button, h } from "./dom.js";

const MANY = 24; // above, a search field stands over the list
const MOST_SHOWN = 200; // buttons at a time

export class ClassList {
  // `choose(class_id)`; `keyOf(name)` is the key to write on a button.
  constructor({ classes, keyOf, choose, label }) {
    this.classes = classes;
    this.keyOf = keyOf;
    this.choose = choose;
    this.armed = null;
    this.buttons = h("div", { class: "classes", role: "group", "aria-label": label });
    this.search = classes.length > MANY ? h("input", {
      type: "search", class: "search", placeholder: `Search ${classes.length.toLocaleString("en")} classes`, "aria-label": "Search a class",
      oninput: () => this.fill(), onkeydown: (event) => this.#typed(event),
    }) : null;
    this.element = h("div", { class: "classlist" }, this.search, this.buttons);
    this.fill();
  }

  // Those that the search text names; a word that begins with it comes first.
  get found() {
    const wanted = (this.search?.value ?? "").trim().toLowerCase();
    const all = this.classes.map((name, class_id) => ({ name, class_id, at: name.toLowerCase().indexOf(wanted) }));
    return all.filter(({ at }) => at >= 0).sort((a, b) => (wanted ? a.at - b.at : 0) || a.class_id - b.class_id);
  }

  fill() {
    const { found } = this;
    this.buttons.replaceChildren(...found.slice(0, MOST_SHOWN).map(({ name, class_id }) =>
      button(name, this.keyOf(name), () => this.#chosen(class_id), { data: { class: class_id }, "aria-pressed": String(class_id === this.armed), title: name })));
    if (found.length > MOST_SHOWN) this.buttons.append(h("p", {}, `${found.length - MOST_SHOWN} more: search.`));
    if (!found.length) this.buttons.append(h("p", {}, "No class has this in its name."));
  }

  // Show which class the next box gets, or the selected one has.
  mark(class_id) {
    if (class_id === this.armed) return;
    this.armed = class_id;
    for (const one of this.buttons.querySelectorAll("button")) one.setAttribute("aria-pressed", String(Number(one.dataset.class) === class_id));
  }

  #typed(event) {
    if (event.key === "Enter" && this.found.length) this.#chosen(this.found[0].class_id);
    else if (event.key === "Escape") this.search.blur();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #chosen(class_id) {
    if (this.search?.value) {
      this.search.value = "";
      this.fill();
    }
    this.search?.blur();
    this.choose(class_id);
  }

  focus() {
    (this.search ?? this.buttons.querySelector("button"))?.focus();
  }
}
