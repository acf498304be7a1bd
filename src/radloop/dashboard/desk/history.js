// Undo and redo of whole states. A state is plain data; what is kept is a copy.

const MOST = 500;

export class History {
  constructor() {
    this.clear();
  }

  clear() {
    this.before = [];
    this.after = [];
    this.tag = null;
  }

  // Keep `state` as it is before a change. Changes with one tag (an arrow key held down) are one step.
  record(state, tag = null) {
    if (tag !== null && tag === this.tag) return;
    this.tag = tag;
    this.before.push(structuredClone(state));
    if (this.before.length > MOST) this.before.shift();
    this.after = [];
  }

  // Forget the last record: nothing was changed after all.
  drop() {
    this.before.pop();
    this.tag = null;
  }

  undo(state) {
    return this.#step(this.before, this.after, state);
  }

  redo(state) {
    return this.#step(this.after, this.before, state);
  }

  #step(from, to, state) {
    this.tag = null;
    if (!from.length) return null;
    to.push(structuredClone(state));
    return from.pop();
  }
}
