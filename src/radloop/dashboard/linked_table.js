// A table whose numbers are links to the images they count. Texts come from files and are only ever set as text.

export default function linkedTable({ data, parentElement, setTriggerValue }) {
  const heads = data.heads.map((row) => node("tr", {}, row.map((cell) => head(cell, "col"))));
  const rows = data.rows.map(({ name, cells }) => node("tr", {}, [head(name, "row"), ...cells.map(body)]));
  const table = node("table", {}, [node("caption", { textContent: data.caption }), node("thead", {}, heads), node("tbody", {}, rows)]);
  const fresh = node("div", { className: "linked", tabIndex: 0, role: "region", ariaLabel: data.caption }, [table]);
  const old = parentElement.querySelector(".linked");
  old ? old.replaceWith(fresh) : parentElement.append(fresh);

  function head(cell, scope) {
    const made = node("th", { scope, colSpan: cell.span, dir: "auto" }, [inside(cell)]);
    made.title = cell.says;
    return made;
  }

  function body(cell) {
    return node("td", { className: cell.look, title: cell.says }, [inside(cell)]);
  }

  function inside(cell) {
    if (!cell.address) return document.createTextNode(cell.text);
    const link = node("a", { href: `images?${cell.address}`, textContent: cell.text });
    if (cell.says) link.setAttribute("aria-label", cell.says);
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // another tab, as of any link
      event.preventDefault();
      setTriggerValue("open", cell.address);
    });
    return link;
  }
}

function node(tag, properties, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
