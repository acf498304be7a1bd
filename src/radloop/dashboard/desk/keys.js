// The keys of the desk: what each does, which one a reader has chosen for it, and when a key is not for the desk at all.

// Tested against the table in docs/dashboard.md: one action a line.
export const ACTIONS = [
  { id: "reveal", keys: ["v"], title: "Show AI findings" },
  { id: "accept", keys: ["a"], title: "Accept: the AI findings are complete and right" },
  { id: "correct", keys: ["e"], title: "Correct: the list is complete and right" },
  { id: "normal", keys: ["n"], title: "No finding" },
  { id: "reject", keys: ["x"], title: "Not readable: the image cannot be used" },
  { id: "skip", keys: ["s"], title: "Skip to the next image" },
  { id: "final", keys: ["d"], title: "Final (adjudicated) read, on or off" },
  { id: "box", keys: ["b"], title: "Put a box in the middle of the view" },
  { id: "next", keys: ["."], title: "Select the next box" },
  { id: "previous", keys: [","], title: "Select the box before" },
  { id: "delete", keys: ["Delete", "Backspace"], title: "Delete the selected box" },
  { id: "undo", keys: ["Ctrl+z"], title: "Undo" },
  { id: "redo", keys: ["Ctrl+y", "Ctrl+Shift+z"], title: "Redo" },
  { id: "left", keys: ["ArrowLeft"], title: "Move the box left (no box selected: the view)" },
  { id: "right", keys: ["ArrowRight"], title: "Move the box right (no box selected: the view)" },
  { id: "up", keys: ["ArrowUp"], title: "Move the box up (no box selected: the view)" },
  { id: "down", keys: ["ArrowDown"], title: "Move the box down (no box selected: the view)" },
  { id: "e-left", keys: ["Shift+ArrowLeft"], title: "Right edge of the box to the left" },
  { id: "e-right", keys: ["Shift+ArrowRight"], title: "Right edge of the box to the right" },
  { id: "s-up", keys: ["Shift+ArrowUp"], title: "Lower edge of the box up" },
  { id: "s-down", keys: ["Shift+ArrowDown"], title: "Lower edge of the box down" },
  { id: "w-left", keys: ["Ctrl+ArrowLeft"], title: "Left edge of the box to the left" },
  { id: "w-right", keys: ["Ctrl+ArrowRight"], title: "Left edge of the box to the right" },
  { id: "n-up", keys: ["Ctrl+ArrowUp"], title: "Upper edge of the box up" },
  { id: "n-down", keys: ["Ctrl+ArrowDown"], title: "Upper edge of the box down" },
  { id: "find", keys: ["/"], title: "Search a class" },
  { id: "hide", keys: ["h"], title: "Hide or show all boxes" },
  { id: "tool", keys: ["g"], title: "Touch: one finger draws, or moves the view" },
  { id: "preset", keys: ["p"], title: "Next window preset" },
  { id: "invert", keys: ["i"], title: "Invert" },
  { id: "darker", keys: ["j"], title: "Level: darker" },
  { id: "brighter", keys: ["k"], title: "Level: brighter" },
  { id: "narrower", keys: ["Shift+j"], title: "Window: narrower" },
  { id: "wider", keys: ["Shift+k"], title: "Window: wider" },
  { id: "in", keys: ["+", "="], title: "Zoom in" },
  { id: "out", keys: ["-"], title: "Zoom out" },
  { id: "one", keys: ["o"], title: "1:1, a pixel of the picture for a pixel of the screen" },
  { id: "fit", keys: ["f"], title: "Fit the whole image" },
  { id: "reset", keys: ["r"], title: "Reset view and window" },
  { id: "comment", keys: ["c"], title: "Write a comment (Escape leaves it)" },
  { id: "help", keys: ["?"], title: "Show and set the keys" },
  { id: "escape", keys: ["Escape"], title: "Let go: of a drag, a menu, the selected box" },
];
const CLASS_KEYS = [..."1234567890qwtyu"];

// The name of the key that was pressed, such as "Ctrl+Shift+z", "a" or "?"; null for a modifier alone.
export function keyName(event) {
  let { key } = event;
  if (["Shift", "Control", "Alt", "Meta", "AltGraph", "Dead", "Process", "Unidentified"].includes(key)) return null;
  if (event.altKey && !event.getModifierState?.("AltGraph")) return null; // the browser's and the desktop's own
  const typed = key.length === 1;
  if (typed && key.charCodeAt(0) > 126 && /^Key[A-Z]$/.test(event.code)) key = event.code[3]; // another alphabet
  const letter = /^[a-z]$/i.test(key);
  if (letter) key = key.toLowerCase();
  const control = (event.ctrlKey || event.metaKey) && !event.getModifierState?.("AltGraph");
  const shift = event.shiftKey && (letter || !typed); // of "?" the shift is how it is typed
  return `${control ? "Ctrl+" : ""}${shift ? "Shift+" : ""}${key}`;
}

// As it stands on a button.
export function shown(name) {
  const words = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", Delete: "Del", Backspace: "⌫", " ": "Space" };
  const parts = name === "+" ? ["+"] : name.split("+").map((part) => part || "+");
  return parts.map((part) => words[part] ?? (part.length === 1 ? part.toUpperCase() : part)).join("+");
}

// Whether somebody is typing there: no key is the desk's then.
export function isTyping(element) {
  if (!(element instanceof Element)) return false;
  if (element.closest("select, textarea, [contenteditable=''], [contenteditable=true], [role=combobox], [role=textbox]")) return true;
  return element.matches("input:not([type=checkbox], [type=radio], [type=button])");
}

// Keys that a focused control needs for itself.
export function isControls(element, name) {
  if (!(element instanceof Element)) return false;
  if (element.matches("button, summary, a[href], input")) return name === "Enter" || name === " " || name.startsWith("Arrow");
  return false;
}

// Which key means which action, with what one reader has set. A class is an action `class:NAME`.
export class Keymap {
  constructor(classes, store) {
    this.store = store; // {read(), write(value)}
    const named = classes.map((name, at) => ({ id: `class:${name}`, keys: CLASS_KEYS[at] ? [CLASS_KEYS[at]] : [], title: name }));
    this.actions = [...ACTIONS, ...named];
    this.own = {};
    const kept = store.read();
    for (const { id } of this.actions) {
      if (typeof kept?.[id] === "string") this.own[id] = kept[id];
    }
    this.#index();
  }

  #index() {
    this.byKey = new Map();
    const taken = new Set(Object.values(this.own));
    for (const action of this.actions) {
      for (const key of this.keys(action.id, action)) {
        if (!this.byKey.has(key) && (this.own[action.id] || !taken.has(key))) this.byKey.set(key, action.id);
      }
    }
  }

  keys(id, action = this.actions.find((one) => one.id === id)) {
    return this.own[id] ? [this.own[id]] : (action?.keys ?? []);
  }

  // The key to write beside an action; empty where it has none.
  label(id) {
    const key = this.keys(id).find((one) => this.byKey.get(one) === id);
    return key ? shown(key) : "";
  }

  action(name) {
    return this.byKey.get(name) ?? null;
  }

  // Give an action another key: null, or the sentence why not.
  set(id, key) {
    const holder = this.action(key);
    if (holder && holder !== id) {
      const { title } = this.actions.find((one) => one.id === holder);
      return `${shown(key)} is already "${title}": choose another key, or give that one another first.`;
    }
    if (key === "Tab" || key === "Shift+Tab" || key === "Enter" || key === " ") {
      return `${shown(key)} belongs to the browser: choose another key.`;
    }
    this.own[id] = key;
    this.#index();
    this.store.write(this.own);
    return null;
  }

  reset() {
    this.own = {};
    this.#index();
    this.store.write(this.own);
  }
}
