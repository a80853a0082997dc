// Sorts, filters and pages the table of tickers, and unfolds a ticker that a link points at.
"use strict";
(() => {
  const PAGE = 50;
  const table = document.getElementById("forest");
  const tools = document.querySelector(".tools");
  const pages = document.querySelector(".pages");
  const chosen = document.getElementById("chosen");
  const rows = [...table.tBodies[0].rows];
  const many = rows.length > PAGE;
  const section = (row) => document.getElementById(row.dataset.section);
  let matching = rows;
  let page = 0;

  const unfold = () => {
    const found = document.getElementById(location.hash.slice(1));
    if (found && found.classList.contains("ticker")) {
      found.hidden = false;
      found.open = true;
      found.scrollIntoView();
    }
  };

  const element = (name, properties, parent) =>
    parent.appendChild(Object.assign(document.createElement(name), properties));

  const show = () => {
    const last = Math.max(Math.ceil(matching.length / PAGE) - 1, 0);
    page = Math.min(Math.max(page, 0), last);
    const visible = new Set(many ? matching.slice(page * PAGE, (page + 1) * PAGE) : matching);
    for (const row of rows) {
      row.hidden = !visible.has(row);
      section(row).hidden = row.hidden && !section(row).open;
    }
    if (!status) return;
    const from = matching.length ? page * PAGE + 1 : 0;
    const text = `${from} to ${page * PAGE + visible.size} of ${matching.length} tickers`;
    status.textContent = matching.length < rows.length ? `${text} that match, ${rows.length} in all` : text;
    previous.disabled = page === 0;
    next.disabled = page === last;
    chosen.hidden = visible.size === rows.length;
    chosen.textContent = "The tickers shown in the table above, and those that you unfold.";
  };

  let status, previous, next;
  if (rows.length > 8) {
    tools.hidden = false;
    const label = element("label", { textContent: "Search " }, tools);
    const search = element("input", { type: "search", placeholder: "ticker" }, label);
    const only = element("label", { textContent: "Verdict " }, tools);
    const select = element("select", {}, only);
    element("option", { value: "", textContent: "all" }, select);
    for (const name of new Set(rows.map((row) => row.dataset.verdict)))
      element("option", { value: name, textContent: name.toLowerCase().replaceAll("_", " ") }, select);
    const filter = () => {
      const text = search.value.trim().toLowerCase();
      matching = rows.filter((row) =>
        row.cells[0].textContent.toLowerCase().includes(text) &&
        (!select.value || row.dataset.verdict === select.value));
      page = 0;
      show();
    };
    search.addEventListener("input", filter);
    select.addEventListener("change", filter);
    pages.hidden = false;
    previous = element("button", { type: "button", textContent: "Previous" }, pages);
    next = element("button", { type: "button", textContent: "Next" }, pages);
    status = element("span", {}, pages);
    status.setAttribute("aria-live", "polite");
    previous.hidden = next.hidden = !many;
    previous.addEventListener("click", () => { page -= 1; show(); });
    next.addEventListener("click", () => { page += 1; show(); });
  }

  const value = (row, column, kind) => {
    const text = row.cells[column].textContent.trim();
    if (kind === "text") return text.toLowerCase();
    const parsed = parseFloat(text.replace("<.", "0."));
    return Number.isNaN(parsed) ? -Infinity : parsed - (text.startsWith("<") ? 1e-9 : 0);
  };

  for (const head of rows.length > 1 ? table.querySelectorAll("th[data-sort]") : []) {
    const name = head.textContent;
    head.textContent = "";
    const button = element("button", { type: "button", textContent: name }, head);
    button.addEventListener("click", () => {
      const kind = head.dataset.sort;
      const old = head.getAttribute("aria-sort");
      const down = old ? old === "ascending" : kind === "number";
      for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const column = head.cellIndex;
      const keys = new Map(rows.map((row) => [row, value(row, column, kind)]));
      const compare = (a, b) => (keys.get(a) < keys.get(b) ? -1 : keys.get(a) > keys.get(b) ? 1 : 0);
      rows.sort((a, b) => (down ? compare(b, a) : compare(a, b)));
      matching = rows.filter((row) => matching.includes(row));
      table.tBodies[0].append(...rows);
      page = 0;
      show();
    });
  }

  addEventListener("hashchange", unfold);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#t']");
    if (link && link.hash === location.hash) unfold();
  });
  show();
  unfold();
})();
