// Small radiographs with their boxes: a link each. Texts come from files and are only ever set as text.

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 1000; // of a picture, in units of its overlay
const LETTER = 46; // a letter's height

export default function gallery({ data, parentElement, setTriggerValue }) {
  const list = node("ul", { className: "tiles" }, data.tiles.map((tile) => node("li", {}, [link(tile)])));
  const legend = node("ul", { className: "legend" }, data.legend.map(entry));
  const old = parentElement.querySelector(".gallery");
  const fresh = node("div", { className: "gallery" }, [legend, list]);
  old ? old.replaceWith(fresh) : parentElement.append(fresh);

  function link(tile) {
    const high = Math.round((WIDE * tile.height) / tile.width);
    const picture = node("div", { className: "picture" }, [image(tile), overlay(tile.boxes, high)]);
    picture.style.aspectRatio = `${tile.width} / ${tile.height}`;
    const texts = tile.texts.map((text) => node("span", { textContent: text, dir: "auto" }));
    const found = node("a", { href: tile.href, title: tile.alt }, [picture, ...texts]);
    found.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // another tab, as of any link
      event.preventDefault();
      setTriggerValue("open", tile.image_id);
    });
    return found;
  }
}

function image(tile) {
  if (!tile.source) return node("p", { textContent: tile.refused });
  return node("img", { src: tile.source, alt: tile.alt, decoding: "async" });
}

function overlay(boxes, high) {
  const found = shape("svg", { viewBox: `0 0 ${WIDE} ${high}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const texts = shape("g", {});
  const names = []; // where a text stands already
  for (const { edges, colour, dash, text, below } of boxes) {
    const [left, top, right, bottom] = edges;
    const place = { x: left * WIDE, y: top * high, width: (right - left) * WIDE, height: (bottom - top) * high };
    found.append(
      shape("rect", { ...place, class: "halo" }),
      shape("rect", { ...place, stroke: colour, "stroke-dasharray": dash }),
    );
    const free = text && room(place, text, below, high, names);
    if (!free) continue; // the box alone: two texts on one place are none
    names.push(free);
    const name = shape("text", { x: free.x, y: free.y, fill: colour });
    name.textContent = text;
    texts.append(name);
  }
  found.append(texts); // over all boxes
  return found;
}

// Above a box or below it, where no other text is.
function room({ x, y, height }, text, below, high, names) {
  const width = 0.52 * LETTER * text.length;
  const from = Math.max(Math.min(x, WIDE - width), 0);
  const above = [y - 10, y - 10 - LETTER];
  const under = [y + height + LETTER, y + height + 2 * LETTER];
  const places = below ? [...under, ...above] : [...above, ...under];
  const fits = (at) => at >= LETTER && at <= high - 8 && names.every((one) =>
    Math.abs(one.y - at) >= LETTER || one.x >= from + width || from >= one.x + one.width);
  const at = places.map((one) => Math.min(Math.max(one, LETTER), high - 8)).find(fits);
  return at === undefined ? null : { x: from, y: at, width };
}

function entry({ name, colour, dash }) {
  const line = shape("svg", { viewBox: "0 0 36 10", width: 36, height: 10, "aria-hidden": "true" });
  const stroke = { x1: 0, x2: 36, y1: 5, y2: 5 };
  line.append(
    shape("line", { ...stroke, class: "halo" }),
    shape("line", { ...stroke, stroke: colour, "stroke-dasharray": dash }),
  );
  return node("li", {}, [line, node("span", { textContent: name, dir: "auto" })]);
}

function node(tag, properties, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
