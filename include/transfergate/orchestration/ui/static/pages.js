// What every page shares: tables that search, filter, sort and turn pages; links to Airflow's own
// pages, which leave the frame. Without this script every table stands there whole.
"use strict";
(() => {
  const make = (tag, properties, parent) =>
    parent.appendChild(Object.assign(document.createElement(tag), properties));

  // The frame's sandbox forbids our links to replace the page around it; that page may do it itself.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-airflow]");
    const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey;
    if (!link || !plain || window.parent === window) return;
    event.preventDefault();
    const twin = window.parent.document.createElement("a");
    twin.href = link.href;
    twin.click();
  });

  const shown = (cell) => cell.textContent.trim();
  const key = (cell, kind) => {
    const text = cell.dataset.key ?? shown(cell);
    if (kind !== "number") return text.toLowerCase();
    const value = parseFloat(text.replaceAll(",", ""));
    return Number.isNaN(value) ? null : value;
  };
  const compare = (a, b) => {
    if (typeof a === "number" || typeof b === "number") return a - b;
    return a.localeCompare(b, "en", { numeric: true });
  };

  const live = (table) => {
    const all = [...table.tBodies[0].rows];
    const size = Number(table.dataset.pageRows);
    const noun = table.dataset.noun;
    const frame = table.parentElement;
    const heads = [...table.tHead.rows[0].cells];
    const choices = new Map();
    let matching = all;
    let page = 0;
    let search;

    const tools = document.createElement("div");
    tools.className = "tools";
    if (!("few" in table.dataset)) {
      const label = make("label", { textContent: "Search " }, tools);
      search = make("input", { type: "search", placeholder: `in ${all.length} ${noun}` }, label);
      search.addEventListener("input", () => filter());
      heads.forEach((head, column) => {
        if (!("choose" in head.dataset)) return;
        const values = [...new Set(all.map((row) => shown(row.cells[column])))].sort();
        if (values.length < 2) return;
        const box = make("label", { textContent: `${head.textContent.trim()} ` }, tools);
        const select = make("select", {}, box);
        make("option", { value: "", textContent: "all" }, select);
        for (const value of values) make("option", { value, textContent: value }, select);
        select.addEventListener("change", () => filter());
        choices.set(column, select);
      });
      frame.before(tools);
    }

    const pager = document.createElement("nav");
    pager.className = "pager";
    pager.setAttribute("aria-label", `Pages of the ${noun}`);
    const previous = make("button", { type: "button", textContent: "Previous" }, pager);
    const status = make("span", { role: "status" }, pager);
    const next = make("button", { type: "button", textContent: "Next" }, pager);
    previous.addEventListener("click", () => turn(-1));
    next.addEventListener("click", () => turn(1));
    if (!("few" in table.dataset)) frame.after(pager);

    const show = () => {
      const last = Math.max(Math.ceil(matching.length / size) - 1, 0);
      page = Math.min(Math.max(page, 0), last);
      const from = page * size;
      const visible = new Set(matching.slice(from, from + size));
      for (const row of all) row.hidden = !visible.has(row);
      const range = matching.length <= size
        ? `${matching.length} ${noun}`
        : `${from + 1} to ${from + visible.size} of ${matching.length} ${noun}`;
      status.textContent = matching.length < all.length ? `${range} match, of ${all.length}` : range;
      previous.disabled = page === 0;
      next.disabled = page === last;
      previous.hidden = next.hidden = last === 0;
    };
    const turn = (by) => { page += by; show(); };
    const filter = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      matching = all.filter((row) =>
        [...choices].every(([column, select]) => !select.value || shown(row.cells[column]) === select.value) &&
        words.every((word) => row.textContent.toLowerCase().includes(word)));
      page = 0;
      show();
    };

    heads.forEach((head, column) => {
      if (head.dataset.kind === "plain" || all.length < 2) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const kind = head.dataset.kind;
        const now = head.getAttribute("aria-sort");
        const down = now ? now === "ascending" : kind === "number";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const keys = new Map(all.map((row) => [row, key(row.cells[column], kind)]));
        const missing = (row) => keys.get(row) === null || keys.get(row) === "" || keys.get(row) === "-";
        const inOrder = (a, b) => {
          if (missing(a) || missing(b)) return missing(a) - missing(b);
          return (down ? -1 : 1) * compare(keys.get(a), keys.get(b));
        };
        all.sort(inOrder);
        matching = all.filter((row) => matching.includes(row));
        table.tBodies[0].append(...all);
        page = 0;
        show();
      });
    });
    show();
  };

  document.querySelectorAll("table[data-table]").forEach(live);
})();
