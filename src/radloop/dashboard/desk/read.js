// One read of one image: the boxes so far, the AI findings when they are shown, the time, and what a verdict means.

import { asFractions, iou, ofFractions, SAME_BOX_IOU } from "./geometry.js";
import { History } from "./history.js";

const LOSES = {
  accept: "Accept leaves out what you drew or changed",
  normal: "No finding drops the boxes of your list",
  reject: "Not readable drops the boxes of your list",
};

export class Read {
  constructor(item) {
    this.item = item;
    this.film = { w: item.width, h: item.height };
    this.boxes = []; // {id, class_id | null, x, y, w, h, by: "me" | "ai"; of the AI: from, confidence; agrees}
    this.selected = -1;
    this.revealed = false;
    this.blind = null; // the boxes before the AI findings were shown
    this.secondsBlind = null;
    this.comment = "";
    this.final = false;
    this.clock = new Clock();
    this.history = new History();
    this.lastId = 0;
    this.asked = null; // the verdict that was pressed once and has to be pressed again
    this.shown = item.shown.map(([class_id, confidence, ...bbox], from) => ({
      class_id, confidence, from, bbox, ...ofFractions(bbox, this.film),
    }));
    if (item.mine) this.#again(item.mine);
  }

  // Look again: the earlier read's boxes, and the AI findings as they were then.
  #again({ findings, revealed, comment }) {
    this.boxes = findings.map(([class_id, ...bbox]) => this.#made({ class_id, ...ofFractions(bbox, this.film), by: "me" }));
    this.comment = comment || "";
    if (revealed) {
      this.revealed = true;
      this.#match();
    }
  }

  get chosen() {
    return this.boxes[this.selected] ?? null;
  }

  // A first look, with nobody's findings beside it: an adjudicator sees the readers' from the beginning.
  get isBlind() {
    return this.item.mine === null && !this.item.readers?.length;
  }

  get unnamed() {
    return this.boxes.findIndex((box) => box.class_id === null);
  }

  // AI findings that one of the reader's own boxes stands for: shown, but not once more in the list.
  get ghosts() {
    const listed = new Set(this.boxes.map((box) => box.from));
    return this.revealed ? this.shown.filter((one) => !listed.has(one.from) && this.#agreed(one)) : [];
  }

  #agreed(one) {
    return this.boxes.some((box) => box.agrees?.from === one.from);
  }

  #made(box) {
    this.lastId += 1;
    return { id: this.lastId, ...box };
  }

  // Before a change; changes with one tag are one step of undo.
  record(tag) {
    this.history.record({ boxes: this.boxes, selected: this.selected }, tag);
    this.asked = null;
  }

  undo() {
    return this.#back(this.history.undo({ boxes: this.boxes, selected: this.selected }));
  }

  redo() {
    return this.#back(this.history.redo({ boxes: this.boxes, selected: this.selected }));
  }

  #back(state) {
    if (!state) return false;
    Object.assign(this, state);
    this.asked = null;
    return true;
  }

  add(box, class_id = null) {
    this.record();
    this.boxes.push(this.#made({ ...box, class_id, by: "me" }));
    this.selected = this.boxes.length - 1;
  }

  // Another place or size of box `index`; from here on an AI finding is the reader's own.
  place(index, box) {
    const { x, y, w, h } = box;
    this.boxes[index] = this.#own({ ...this.boxes[index], x, y, w, h });
  }

  name(index, class_id) {
    if (this.boxes[index].class_id === class_id) return;
    this.record();
    this.boxes[index] = this.#own({ ...this.boxes[index], class_id });
  }

  remove(index) {
    this.record();
    this.boxes.splice(index, 1);
    this.selected = -1;
  }

  #own({ from, confidence, agrees, ...box }) {
    return { ...box, by: "me" };
  }

  // Add another reader's findings as one's own.
  take(findings) {
    this.record();
    for (const [class_id, ...bbox] of findings) {
      const box = { class_id, ...ofFractions(bbox, this.film) };
      if (!this.boxes.some((one) => same(one, box))) this.boxes.push(this.#made({ ...box, by: "me" }));
    }
  }

  reveal() {
    if (this.revealed) return;
    this.blind = this.boxes.filter((box) => box.class_id !== null).map((box) => this.#finding(box));
    this.secondsBlind = this.clock.seconds;
    this.revealed = true;
    this.#match();
    for (const one of this.shown) {
      if (!this.#agreed(one)) this.boxes.push(this.#made({ ...one, by: "ai" }));
    }
    this.history.clear(); // nobody can un-see the AI findings
    this.asked = null;
  }

  #match() {
    for (const [box, one] of matched(this.boxes, this.shown)) box.agrees = { from: one.from, confidence: one.confidence };
  }

  #finding(box) {
    return { class_id: box.class_id, bbox: box.by === "ai" ? box.bbox : asFractions(box, this.film) };
  }

  // Whether the list says no more and no less than the AI findings.
  get agreesWithAi() {
    const told = new Set(this.boxes.map((box) => (box.by === "ai" ? box.from : box.agrees?.from)));
    return this.boxes.length === this.shown.length && this.shown.every((one) => told.has(one.from));
  }

  // What pressing a verdict does: {send: payload}, {reveal: true, say}, {name: index, say} or {say}.
  decide(verdict) {
    if (verdict !== "reject" && !this.revealed && !this.blindAgreesWith(verdict)) {
      if (verdict === "correct" && this.unnamed >= 0) return this.#askName();
      return { reveal: true, say: this.shown.length ? "These are the AI findings. Decide now." : "The AI found nothing. Decide now." };
    }
    if (verdict === "correct") {
      if (this.unnamed >= 0) return this.#askName();
      if (!this.boxes.length) return { say: "The list is empty: that is No finding." };
      if (this.boxes.every((box) => box.by === "ai") && this.agreesWithAi) return { send: this.#payload("accept") };
      return { send: this.#payload("correct") };
    }
    const loses = verdict === "accept" ? this.revealed && !this.agreesWithAi : this.boxes.some((box) => box.by === "me");
    if (loses && this.asked !== verdict) {
      this.asked = verdict;
      return { say: `${LOSES[verdict]}. Press it again, or Correct for the list as it is.` };
    }
    return { send: this.#payload(verdict) };
  }

  // A blind read that says what the AI says need not be shown it.
  blindAgreesWith(verdict) {
    const nothing = !this.boxes.length && !this.shown.length;
    if (verdict !== "correct") return nothing;
    const agreed = matched(this.boxes, this.shown).size;
    return agreed > 0 && agreed === this.boxes.length && agreed === this.shown.length;
  }

  #askName() {
    this.selected = this.unnamed;
    return { name: this.unnamed, say: "This box has no class yet: choose one." };
  }

  #payload(verdict) {
    const named = this.boxes.filter((box) => box.class_id !== null).map((box) => this.#finding(box));
    const accepted = this.shown.map(({ class_id, bbox }) => ({ class_id, bbox }));
    const findings = { accept: accepted, correct: named, normal: [], reject: null }[verdict];
    return {
      feedback_id: this.item.feedback_id,
      verdict,
      findings,
      blind_findings: this.isBlind ? (this.blind ?? named) : null,
      revealed: this.revealed,
      seconds_blind: this.isBlind ? round(this.secondsBlind ?? this.clock.seconds) : null,
      seconds_total: round(this.clock.seconds),
      shown: this.revealed ? this.shown.map(({ class_id, bbox, confidence }) => ({ class_id, bbox, confidence })) : null,
      comment: this.comment,
      adjudicates: this.final,
    };
  }

  // What a draft keeps.
  toDraft() {
    const { boxes, lastId, revealed, blind, secondsBlind, comment, final } = this;
    return { boxes, lastId, revealed, blind, secondsBlind, comment, final, seconds: this.clock.seconds };
  }

  ofDraft({ boxes, lastId, revealed, blind, secondsBlind, comment, final, seconds }) {
    Object.assign(this, { boxes, lastId, revealed, blind, secondsBlind, comment, final });
    this.clock.before = seconds;
  }

  get isTouched() {
    return this.boxes.length > 0 || this.revealed || this.comment !== "" || this.final;
  }
}

// Each AI finding and the box that means the same, the best pairs first: a Map of boxes.
export function matched(boxes, shown) {
  const pairs = shown.flatMap((one) => boxes.filter((box) => same(box, one)).map((box) => [iou(box, one), box, one]));
  const found = new Map();
  const taken = new Set();
  for (const [, box, one] of pairs.sort((a, b) => b[0] - a[0])) {
    if (found.has(box) || taken.has(one)) continue;
    found.set(box, one);
    taken.add(one);
  }
  return found;
}

const same = (a, b) => a.class_id === b.class_id && iou(a, b) > SAME_BOX_IOU;
const round = (seconds) => Math.round(seconds * 10) / 10;

// Seconds of looking: it stands still while the page is hidden, and begins when the picture is there.
export class Clock {
  constructor() {
    this.before = 0;
    this.since = null;
  }

  get seconds() {
    return this.before + (this.since === null ? 0 : (performance.now() - this.since) / 1000);
  }

  run() {
    this.since ??= performance.now();
  }

  pause() {
    this.before = this.seconds;
    this.since = null;
  }
}
