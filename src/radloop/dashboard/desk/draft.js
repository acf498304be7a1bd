// What the browser keeps for a reader: drafts of reads, keys, the Reader ID. A browser that keeps nothing (storage full
// or forbidden) still holds all of it until the page is left.

const PREFIX = "radloop.";
const memory = new Map();

export let keeps = true; // false once the browser has refused

export function get(name) {
  try {
    const text = localStorage.getItem(PREFIX + name) ?? memory.get(name);
    return text === undefined || text === null ? null : JSON.parse(text);
  } catch {
    return memory.has(name) ? JSON.parse(memory.get(name)) : null;
  }
}

export function put(name, value) {
  const text = JSON.stringify(value);
  try {
    localStorage.setItem(PREFIX + name, text);
    memory.delete(name);
    keeps = true;
  } catch {
    try {
      localStorage.removeItem(PREFIX + name); // an older one would come back in its place
    } catch { /* forbidden altogether */ }
    memory.set(name, text);
    keeps = false;
  }
}

export function remove(name) {
  memory.delete(name);
  try {
    localStorage.removeItem(PREFIX + name);
  } catch { /* nothing was kept there */ }
}

const draftName = (reader, feedback_id) => `draft.${reader}.${feedback_id}`;

export const draft = (reader, feedback_id) => get(draftName(reader, feedback_id));
export const keepDraft = (reader, feedback_id, value) => put(draftName(reader, feedback_id), value);
export const dropDraft = (reader, feedback_id) => remove(draftName(reader, feedback_id));

// Verdicts of a reader that the server has not yet said are saved, the oldest first.
export function unsaved(reader) {
  const start = `${PREFIX}draft.${reader}.`;
  const names = new Set(memory.keys());
  try {
    for (let i = 0; i < localStorage.length; i++) {
      if (localStorage.key(i).startsWith(start)) names.add(localStorage.key(i).slice(PREFIX.length));
    }
  } catch { /* only what memory has */ }
  const drafts = [...names].filter((name) => (PREFIX + name).startsWith(start)).map(get);
  return drafts.map((one) => one?.message).filter(Boolean).sort((a, b) => a.at - b.at);
}

// Messages to the server, one at a time: the next goes when the server has said that it has the one before. What gets
// lost on the way is sent again; the server takes a message with an id that it knows as done.
export class Outbox {
  constructor(send, { again = 5_000, changed = () => {} } = {}) {
    this.send = send;
    this.again = again;
    this.changed = changed;
    this.waiting = [];
  }

  // With `first` before all others: the server has to know who speaks.
  put(message, { first = false } = {}) {
    if (this.waiting.some((one) => one.id === message.id)) return;
    if (first) this.waiting.unshift(message);
    else this.waiting.push(message);
    if (this.waiting[0] === message) this.#go();
    this.changed();
  }

  #go() {
    clearTimeout(this.timer);
    if (!this.waiting.length) return;
    this.send(this.waiting[0]);
    this.timer = setTimeout(() => this.#go(), this.again);
  }

  // The server has these; the messages that it has answered for the first time.
  taken(ids) {
    const done = this.waiting.filter((message) => ids.includes(message.id));
    if (done.length) {
      this.waiting = this.waiting.filter((message) => !ids.includes(message.id));
      this.#go();
      this.changed();
    }
    return done;
  }

  stop() {
    clearTimeout(this.timer);
  }
}

// The name of this tab, the same after a reload.
export function tab() {
  try {
    if (!sessionStorage.getItem(`${PREFIX}tab`)) sessionStorage.setItem(`${PREFIX}tab`, newId());
    return sessionStorage.getItem(`${PREFIX}tab`);
  } catch {
    if (!memory.has("tab")) memory.set("tab", newId());
    return memory.get("tab");
  }
}

export const newId = () => `${Date.now().toString(36)}-${Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) => n.toString(36)).join("")}`;
