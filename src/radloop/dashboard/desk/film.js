// One radiograph: fetched (a JPEG first, then the lossless picture), held as gray values, drawn through a window.

import * as gray from "./gray.js";

const KEPT = 3; // films in memory: the one that is read, the next, and the one before

const films = new Map();

// The film of an item, from the moment that it is first asked for.
export function film(item) {
  let found = films.get(item.png);
  films.delete(item.png);
  found = found && !found.failed ? found : new Film(item);
  films.set(item.png, found);
  for (const [name, old] of films) {
    if (films.size <= KEPT) break;
    films.delete(name);
    old.abort();
  }
  return found;
}

class Film {
  constructor(item) {
    this.w = item.width;
    this.h = item.height;
    this.levels = []; // gray values at full, half, quarter … size
    this.quality = null; // "preview", then "full"
    this.failed = null; // why there is no picture
    this.listeners = new Set();
    this.stop = new AbortController();
    this.first = this.#load(item.jpg, "preview").catch((error) => error);
    this.ready = this.#both(item);
  }

  abort() {
    this.stop.abort();
  }

  async #both(item) {
    const missing = await this.first;
    const lacking = await this.#load(item.png, "full").then(() => null, (error) => error);
    if (lacking && missing) this.failed = lacking.message;
    if (lacking) this.incomplete = lacking.message;
    this.#tell();
  }

  async #load(address, quality) {
    const answer = await fetch(new URL(address, document.baseURI), { signal: this.stop.signal });
    if (!answer.ok) throw new Error(`the picture was refused (${answer.status}${await reason(answer)})`);
    const bits = Number(answer.headers.get("X-Radloop-Bits") || 8);
    const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
    const bitmap = await createImageBitmap(await answer.blob(), options);
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d", { willReadFrequently: true, alpha: false });
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    const levels = [gray.grayOf(context.getImageData(0, 0, canvas.width, canvas.height), quality === "full" ? bits : 8)];
    while (Math.min(levels.at(-1).width, levels.at(-1).height) > 512) levels.push(gray.halved(levels.at(-1)));
    this.levels = levels.map((level) => ({ gray: level, done: null }));
    this.quality = quality;
    this.#tell();
  }

  #tell() {
    this.listeners.forEach((listener) => listener());
  }

  get bits() {
    return this.levels[0]?.gray.bits ?? 8;
  }

  // Film pixels for one pixel of the picture, across: 1:1 is its reverse.
  get natural() {
    return this.levels.length ? Math.max(this.levels[0].gray.width / this.w, this.levels[0].gray.height / this.h) : 1;
  }

  // A window by the picture's own gray values.
  preset(which) {
    return this.levels.length ? gray.preset(which, this.levels.at(-1).gray) : { ...gray.FULL };
  }

  // Draw on a canvas of `ratio` device pixels for a CSS pixel. The level is the smallest that has a pixel for each.
  draw(canvas, view, window, inverted, ratio) {
    const context = canvas.getContext("2d", { alpha: false });
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!this.levels.length) return;
    const wanted = view.s * ratio;
    let place = 0;
    while (place + 1 < this.levels.length && this.levels[place + 1].gray.width >= this.w * wanted) place++;
    const level = this.levels[place];
    const tile = this.#tile(level, this.#seen(level.gray, view, canvas, ratio), window, inverted);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "low"; // the level is near the right size already
    context.drawImage(tile, view.x * ratio, view.y * ratio, this.w * wanted, this.h * wanted);
  }

  // The part of a level that is on the canvas: {x, y, w, h} in its pixels, one more on each side for smoothing.
  #seen({ width, height }, view, canvas, ratio) {
    const [across, down] = [width / (this.w * view.s), height / (this.h * view.s)];
    const x = Math.max(0, Math.floor(-view.x * across) - 1);
    const y = Math.max(0, Math.floor(-view.y * down) - 1);
    const right = Math.min(width, Math.ceil((canvas.width / ratio - view.x) * across) + 1);
    const bottom = Math.min(height, Math.ceil((canvas.height / ratio - view.y) * down) + 1);
    return { x, y, w: Math.max(0, right - x), h: Math.max(0, bottom - y) };
  }

  // A level as the window shows it: at first what is seen of it (of a drag of the window no more is wanted), then all.
  #tile(level, seen, window, inverted) {
    const name = `${window.low} ${window.high} ${inverted}`;
    const { width, height, bits } = level.gray;
    const { done } = level;
    if (done?.name === name && contains(done.area, seen)) return level.canvas;
    const area = done?.name === name ? { x: 0, y: 0, w: width, h: height } : seen;
    level.canvas ??= Object.assign(document.createElement("canvas"), { width, height });
    level.context ??= level.canvas.getContext("2d", { alpha: false });
    level.pixels ??= new ImageData(width, height);
    gray.apply(level.gray, gray.table(window, bits, inverted), new Uint32Array(level.pixels.data.buffer), area);
    level.context.putImageData(level.pixels, 0, 0, area.x, area.y, area.w, area.h);
    level.done = { name, area };
    return level.canvas;
  }
}

const contains = (a, b) => a.x <= b.x && a.y <= b.y && a.x + a.w >= b.x + b.w && a.y + a.h >= b.y + b.h;

async function reason(answer) {
  const type = answer.headers.get("Content-Type") || "";
  return type.startsWith("text/plain") ? `: ${(await answer.text()).slice(0, 300)}` : "";
}
