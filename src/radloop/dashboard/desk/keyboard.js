// Keys of the whole window on their way to the desk: taken where they are the desk's, else left to who they are for.

import { isControls, isTyping, keyName } from "./keys.js";

// Actions that go on while their key is held.
const HELD = new Set(["left", "right", "up", "down", "e-left", "e-right", "s-up", "s-down", "w-left", "w-right", "n-up", "n-down",
  "in", "out", "darker", "brighter", "narrower", "wider", "next", "previous", "undo", "redo"]);

export function pressed(desk, event) {
  const { root, data, help, keys, gestures } = desk;
  if (!root.isConnected || !data?.reader || event.defaultPrevented) return;
  const [target] = event.composedPath();
  if (help.isOpen) {
    if (help.press(event)) stop(event);
    return;
  }
  // A click beside the controls focuses what lies around the desk: Streamlit's <main>, or the body.
  const ours = target.contains(root.getRootNode().host ?? root) || event.composedPath().includes(root);
  if (!ours || isTyping(target) || document.querySelector("[role=dialog]") || desk.card?.isConnected) return;
  const name = keyName(event);
  if (!name || isControls(target, name)) return;
  if (name === " ") {
    gestures.space = true;
    stop(event);
    return;
  }
  const id = keys.action(name);
  if (!id || (id === "escape" && !desk.escape())) return;
  stop(event);
  if (id !== "escape" && (!event.repeat || HELD.has(id))) desk.act(id);
}

export function released(desk, event) {
  if (event.key === " ") desk.gestures.space = false;
}

function stop(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
}
