"use strict";
// A header sorts its column: by the first number of each cell where there is one, else by text.
function value(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = text.replace("−", "-").match(/^[<>]?\s*([+-]?\d+(?:\.\d+)?)(?:\/(\d+))?/);
  return number ? number[1] / (number[2] ?? 1) : text;
}
function compare(a, b) {
  if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b);
  return typeof a === "number" ? -1 : 1;
}
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const table = head.closest("table");
    const descending = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => compare(value(a, head.cellIndex), value(b, head.cellIndex)) * (descending ? -1 : 1));
    table.tBodies[0].append(...rows);
  });
}
// A figure opens at its full size; a click or Escape closes it.
const dialog = document.querySelector("dialog");
for (const figure of document.querySelectorAll(".figure")) {
  figure.addEventListener("click", () => {
    dialog.firstElementChild.src = figure.firstElementChild.src;
    dialog.firstElementChild.alt = figure.firstElementChild.alt;
    dialog.showModal();
  });
}
dialog.addEventListener("click", () => dialog.close());
