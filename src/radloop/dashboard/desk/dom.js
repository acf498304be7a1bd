// Elements of the page, made in one call: h("button", { onclick, "aria-label": … }, "text", child).

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const h = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);

export const svg = (name, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

// A button that never takes the focus from the film when the mouse presses it, with its key written on it.
export function button(title, key, press, attributes = {}) {
  return h("button", { type: "button", onclick: press, onmousedown: (event) => event.preventDefault(), "aria-keyshortcuts": key || null, ...attributes },
    h("span", { class: "title" }, title), key ? h("kbd", {}, key) : null);
}
