/** Elements from words: every text goes in as a text node, so nothing that comes from outside is ever parsed as HTML. */

/**
 * Makes an element.
 * @param {string} tag
 * @param {Object<string, unknown>} facts attributes; `class`, `on` (event listeners) and `dataset` are understood.
 * @param {...(Node|string|number|null|undefined)} children
 */
export function el(tag, facts = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(facts)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.className = String(value);
    else if (name === "on") for (const [event, call] of Object.entries(value)) node.addEventListener(event, call);
    else if (name === "dataset") Object.assign(node.dataset, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined).map((c) => (c instanceof Node ? c : String(c))));
  return node;
}

/** Finds an element of the page that must be there. */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`the page has no element ${id}`);
  return node;
}
