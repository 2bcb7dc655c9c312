// What all pages have: a theme, tables that sort, and a search in long ones.
"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const byId = (id) => document.getElementById(id);
const element = (tag, text = "", className = "") => {
  const node = document.createElement(tag);
  node.textContent = text;
  node.className = className;
  return node;
};

// Theme: as the system has it, light, dark.
const themes = [["Auto", "light dark", "as the system has them"], ["Light", "light", "light"], ["Dark", "dark", "dark"]];
let theme = 0;
byId("theme").addEventListener("click", () => {
  theme = (theme + 1) % themes.length;
  const [label, scheme, description] = themes[theme];
  document.documentElement.style.colorScheme = scheme;
  byId("theme").textContent = label;
  byId("theme").setAttribute("aria-label", "Colours: " + description);
});

// Sortable tables: numbers first from high to low, texts from A to Z; what has no value stays last.
const sortBy = (table, header) => {
  const column = header.cellIndex;
  const isText = header.classList.contains("text");
  const before = header.getAttribute("aria-sort");
  const descending = before ? before === "ascending" : !isText;
  for (const other of all("th[aria-sort]", table)) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const key = (row) => row.cells[column].dataset.value;
  const compare = (a, b) => {
    if (isText) return key(a).localeCompare(key(b));
    const [x, y] = [parseFloat(key(a)), parseFloat(key(b))];
    if (isNaN(x) || isNaN(y)) return (isNaN(x) - isNaN(y)) * (descending ? -1 : 1);
    return x - y;
  };
  const rows = [...table.tBodies[0].rows].sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
  table.tBodies[0].append(...rows);
};
for (const table of all(".sortable")) {
  for (const button of all("thead button", table)) {
    button.addEventListener("click", () => sortBy(table, button.closest("th")));
  }
}

// Search: the rows whose first cell holds the text.
for (const input of all("[data-search]")) {
  input.addEventListener("input", () => {
    const text = input.value.trim().toLowerCase();
    for (const row of byId(input.dataset.search).tBodies[0].rows) {
      row.hidden = !row.cells[0].dataset.value.toLowerCase().includes(text);
    }
  });
}
