// What the desk asks on the spot: who reads, and which class a box has.

import { ClassList } from "./classlist.js";
import { button, h } from "./dom.js";

export const READER_ID = /^[A-Za-z0-9-]{1,50}$/;
const APART = 12; // CSS pixels between a box and the question about it

// A form for the Reader ID; where a proxy says who it is, only the sentence why it does not.
export function readerCard({ reader, fixed, wrong, begin }) {
  const says = h("p", { class: "wrong", role: "alert" }, wrong || null);
  if (fixed) return h("div", { class: "card" }, h("h2", {}, "Who reads?"), says);
  const field = h("input", { type: "text", "aria-label": "Reader ID", placeholder: "reader-7", maxlength: 50, autocomplete: "off", spellcheck: "false" });
  const sent = (event) => {
    event.preventDefault();
    const given = field.value.trim();
    if (READER_ID.test(given)) {
      card.remove();
      begin(given);
    } else says.textContent = "A Reader ID has 1 to 50 letters, digits and -: it is part of a file's name, so it is no real name.";
  };
  const card = h("form", { class: "card", onsubmit: sent }, h("h2", {}, "Who reads?"),
    h("label", {}, "Reader ID", field), h("p", {}, "A pseudonym, not your name: it stands in every file that you write."), says,
    h("div", {}, h("button", { type: "submit" }, "Begin"), reader ? button("Cancel", "", () => card.remove()) : null));
  return card;
}

// The list of classes for one box; `focusFirst` puts the focus into it.
export function classPopup({ classes, keys, at, class_id, choose }) {
  const title = `Class of box ${at + 1}`;
  const list = new ClassList({ classes, keyOf: (name) => keys.label(`class:${name}`), choose, label: title });
  list.mark(class_id);
  const popup = h("div", { class: "popup", role: "dialog", "aria-label": title }, h("strong", {}, `${title}?`), list.element);
  popup.focusFirst = () => list.focus();
  return popup;
}

// Put a popup beside a box of the stage, within the stage.
export function putBeside(popup, box, stage) {
  const { width, height } = popup.getBoundingClientRect();
  const right = box.x + box.w + APART;
  const x = right + width < stage.clientWidth ? right : Math.max(4, box.x - width - APART);
  popup.style.left = `${stage.offsetLeft + Math.min(x, stage.clientWidth - width - 4)}px`;
  popup.style.top = `${stage.offsetTop + Math.max(4, Math.min(box.y, stage.clientHeight - height - 4))}px`;
}
