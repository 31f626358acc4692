"use strict";

// Sorting a table by a column: the head becomes a button, the state is told to screen readers.
for (const table of document.querySelectorAll("main table")) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sortTable(table, head, column));
  });
}

function sortTable(table, head, column) {
  const first = head.classList.contains("number") ? "descending" : "ascending";
  const second = first === "ascending" ? "descending" : "ascending";
  const direction = head.getAttribute("aria-sort") === first ? second : first;
  for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", direction);
  const sign = direction === "ascending" ? 1 : -1;
  const order = (row) => row.cells[column].dataset.order;
  const asNumber = (text) => (text === "-inf" ? -Infinity : Number(text));
  const body = table.tBodies[0];
  const compare = head.classList.contains("number")
    ? (a, b) => asNumber(order(a)) - asNumber(order(b)) || 0
    : (a, b) => order(a).localeCompare(order(b));
  body.append(...[...body.rows].sort((a, b) => sign * compare(a, b)));
}

// The gallery: sorting, filtering, and a dialog with the whole card.
const orders = {
  uncertain: (item) => [-Number(item.uncertainty || 0)],
  wrong: (item) => [-(item.outcome === "wrong"), -Number(item.error || 0), Number(item.confidence)],
  unsure: (item) => [Number(item.confidence)],
  sure: (item) => [-Number(item.confidence)],
  name: () => [],
};

function compareItems(key, a, b) {
  const [left, right] = [orders[key](a), orders[key](b)];
  const differs = left.findIndex((value, index) => value !== right[index]);
  return differs >= 0 ? left[differs] - right[differs] : a.name.localeCompare(b.name, undefined, { numeric: true });
}

// What is told of a case under a name: several classes where more than one may be present.
const told = (item, name) => (name === "outcome" ? [item.dataset.outcome] : JSON.parse(item.dataset[name]));

const gallery = document.querySelector("[data-gallery]");
if (gallery) {
  const list = gallery.querySelector("ul");
  const controls = gallery.querySelector(".controls");
  const update = () => {
    const items = [...list.children].sort((a, b) => compareItems(controls.sort.value, a.dataset, b.dataset));
    list.append(...items);
    const wanted = ["true", "predicted", "outcome"].map((name) => [name, controls[name].value]);
    for (const item of items) item.hidden = wanted.some(([name, value]) => value && !told(item, name).includes(value));
    const shown = items.filter((item) => !item.hidden).length;
    controls.querySelector("output").textContent = `${shown} of ${items.length} cases`;
  };
  controls.addEventListener("change", update);
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.reset();
  controls.hidden = false;
  update();
  openCards(gallery, document.querySelector("dialog"));
}

function openCards(gallery, dialog) {
  let current = null;
  const buttons = () => [...gallery.querySelectorAll("li:not([hidden]) button")];
  const show = (button) => {
    current = button;
    const image = new Image();
    image.src = button.dataset.card;
    image.alt = button.dataset.alt;
    dialog.querySelector(".card").replaceChildren(image);
    const all = buttons();
    const name = button.parentElement.dataset.name;
    dialog.querySelector(".bar span").textContent = `${name}, ${all.indexOf(button) + 1} of ${all.length}`;
  };
  const step = (by) => {
    const all = buttons();
    show(all[(all.indexOf(current) + by + all.length) % all.length]);
  };
  gallery.addEventListener("click", (event) => {
    const button = event.target.closest("[data-card]");
    if (!button) return;
    show(button);
    dialog.showModal();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
    const arrow = event.target.closest("[data-step]");
    if (arrow) step(Number(arrow.dataset.step));
  });
  dialog.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    step(by);
  });
  dialog.addEventListener("close", () => current.focus());
}
