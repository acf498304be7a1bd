// What is drawn over the film, from back to front: other readers' boxes, what is suspected, the AI's that the list has otherwise, the list.

import { READERS, STYLES } from "./boxes.js";
import { ofFractions } from "./geometry.js";

export function marks({ read, film, data, hidden, away, rubber, armed }) {
  const name = (class_id) => (class_id === null ? "class?" : data.classes[class_id]);
  const found = [];
  if (!hidden) {
    (read.item.readers ?? []).forEach((reader, at) => {
      if (away.has(reader.name)) return;
      reader.findings.forEach(([class_id, ...bbox], n) => found.push({
        name: `${reader.name}-${n}`, box: ofFractions(bbox, film), style: READERS[at % READERS.length], text: `${reader.name} ${name(class_id)}`,
      }));
    });
    const why = read.revealed && read.item.why;
    if (why) found.push({ name: "why", box: ofFractions(why.bbox, film), style: STYLES.why, text: why.kind });
    for (const one of read.ghosts) found.push({ name: `ghost-${one.from}`, box: one, style: STYLES.ghost, text: "" });
    read.boxes.forEach((box, at) => {
      const sure = box.by === "ai" ? ` ${box.confidence.toFixed(2)}` : "";
      found.push({ name: `box-${box.id}`, box, style: STYLES[box.by], text: `${at + 1} ${name(box.class_id)}${sure}`, selected: at === read.selected });
    });
  }
  if (rubber) found.push({ name: "rubber", box: rubber, style: STYLES.me, text: armed === null ? "" : name(armed) });
  return found;
}
