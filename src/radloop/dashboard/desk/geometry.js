// Boxes and views, without a browser. A film has a width and a height, in the pixels that its labels count in. A box is
// {x, y, w, h} in film pixels. A view {s, x, y} shows film pixel (u, v) at (x + u·s, y + v·s) of the stage, in CSS pixels.

export const HANDLES = { nw: [0, 0], n: [0.5, 0], ne: [1, 0], e: [1, 0.5], se: [1, 1], s: [0.5, 1], sw: [0, 1], w: [0, 0.5] };
export const SAME_BOX_IOU = 0.4; // above it two boxes of one class mean the same (reviews.SAME_BOX_IOU)
const MOST_ZOOM = 40; // CSS pixels for a film pixel
const SMALLEST = 1 / 512; // of the film's longer side: no box has a shorter one

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// The view in which the whole film lies in the middle of the stage {w, h}.
export function fit(film, stage) {
  const s = Math.min(stage.w / film.w, stage.h / film.h);
  return { s, x: (stage.w - film.w * s) / 2, y: (stage.h - film.h * s) / 2 };
}

// The view after a zoom that leaves what is under `point` where it is.
export function zoomed(view, factor, point, film, stage) {
  const least = fit(film, stage).s / 4;
  return scaled(view, clamp(view.s * factor, Math.min(least, view.s), MOST_ZOOM), point);
}

// The view at scale `s`, what is under `point` left where it is.
export function scaled(view, s, [px, py]) {
  const f = s / view.s;
  return { s, x: px - (px - view.x) * f, y: py - (py - view.y) * f };
}

// The view moved, with some of the film always on the stage.
export function panned(view, dx, dy, film, stage) {
  const some = 40;
  return {
    s: view.s,
    x: clamp(view.x + dx, some - film.w * view.s, stage.w - some),
    y: clamp(view.y + dy, some - film.h * view.s, stage.h - some),
  };
}

export const toFilm = (view, [px, py]) => [(px - view.x) / view.s, (py - view.y) / view.s];

export const toStage = (view, box) => ({
  x: view.x + box.x * view.s, y: view.y + box.y * view.s, w: box.w * view.s, h: box.h * view.s,
});

const smallest = (film) => Math.max(film.w, film.h) * SMALLEST;

// The box of a drag from one film point to another, cut at the film's edge.
export function between([ax, ay], [bx, by], film) {
  const [x, right] = [Math.min(ax, bx), Math.max(ax, bx)].map((v) => clamp(v, 0, film.w));
  const [y, bottom] = [Math.min(ay, by), Math.max(ay, by)].map((v) => clamp(v, 0, film.h));
  return { x, y, w: right - x, h: bottom - y };
}

export const isUsable = (box, film) => Math.min(box.w, box.h) >= smallest(film);

export function moved(box, dx, dy, film) {
  return { ...box, x: clamp(box.x + dx, 0, film.w - box.w), y: clamp(box.y + dy, 0, film.h - box.h) };
}

// The box after one of its handles was dragged by (dx, dy); over the opposite edge it turns round.
export function resized(box, handle, dx, dy, film) {
  const [hx, hy] = HANDLES[handle];
  const least = smallest(film);
  const [x, w] = hx === 0.5 ? [box.x, box.w] : edge(box.x, box.w, hx, dx, film.w, least);
  const [y, h] = hy === 0.5 ? [box.y, box.h] : edge(box.y, box.h, hy, dy, film.h, least);
  return { ...box, x, y, w, h };
}

function edge(start, size, side, by, most, least) {
  const fixed = side ? start : start + size;
  let dragged = clamp((side ? start + size : start) + by, 0, most);
  if (Math.abs(dragged - fixed) < least) dragged = fixed + (dragged < fixed || (dragged === fixed && !side) ? -least : least);
  if (dragged < 0 || dragged > most) dragged = fixed + (dragged < 0 ? least : -least);
  return [Math.min(fixed, dragged), Math.abs(dragged - fixed)];
}

export function iou(a, b) {
  const w = Math.min(a.x + a.w, b.x + b.w) - Math.max(a.x, b.x);
  const h = Math.min(a.y + a.h, b.y + b.h) - Math.max(a.y, b.y);
  if (w <= 0 || h <= 0) return 0;
  return (w * h) / (a.w * a.h + b.w * b.h - w * h);
}

// [xc, yc, w, h] as fractions of the film, six decimals: what files have.
export function asFractions(box, film) {
  const six = (value) => Math.round(value * 1e6) / 1e6;
  return [(box.x + box.w / 2) / film.w, (box.y + box.h / 2) / film.h, box.w / film.w, box.h / film.h].map(six);
}

export function ofFractions([xc, yc, w, h], film) {
  return { x: (xc - w / 2) * film.w, y: (yc - h / 2) * film.h, w: w * film.w, h: h * film.h };
}

// What a pointer at stage `point` takes hold of: a handle of the selected box, the rim of any, the selected one's body.
export function grip(boxes, selected, point, view, reach) {
  const [px, py] = point;
  const near = (x, y) => Math.abs(px - x) <= reach && Math.abs(py - y) <= reach;
  const chosen = boxes[selected] && toStage(view, boxes[selected]);
  if (chosen) {
    for (const [handle, [hx, hy]] of Object.entries(HANDLES)) {
      if (near(chosen.x + chosen.w * hx, chosen.y + chosen.h * hy)) return { kind: "handle", handle, index: selected };
    }
    if (within(chosen, px, py, 0)) return { kind: "body", index: selected };
  }
  let found = null;
  boxes.forEach((box, index) => {
    const at = toStage(view, box);
    const rim = within(at, px, py, reach * 0.75) && !within(at, px, py, -reach * 0.75);
    if (rim && (!found || box.w * box.h < found.area)) found = { kind: "rim", index, area: box.w * box.h };
  });
  return found;
}

const within = (at, px, py, more) =>
  px >= at.x - more && px <= at.x + at.w + more && py >= at.y - more && py <= at.y + at.h + more;

// The smallest box that a film point lies in; -1 where there is none.
export function under(boxes, [x, y]) {
  let found = -1;
  boxes.forEach((box, index) => {
    const inside = x >= box.x && x <= box.x + box.w && y >= box.y && y <= box.y + box.h;
    if (inside && (found < 0 || box.w * box.h < boxes[found].w * boxes[found].h)) found = index;
  });
  return found;
}
