// Filters and pages the rows that stand in the page itself; loads nothing.
"use strict";
(() => {
  const PAGE = 50;
  const NUMBERS = new Set(["row_id", "open", "high", "low", "close", "volume", "adj_close", "line"]);
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = Object.fromEntries(data.columns.map((name, i) => [name, i]));
  const form = document.getElementById("filters");
  const rows = data.rows;
  // Not shown: columns that hold nothing in this batch, and those that say the same in every row.
  const ALWAYS = new Set(["ticker", "session_date", "reasons"]);
  const SAME = new Set(["currency", "origin"]);
  const ORDER = ["row_id", "ticker", "session_date", "reasons"];
  const shown = [...ORDER, ...data.columns.filter((name) => !ORDER.includes(name))].filter((name) =>
    ALWAYS.has(name) || (rows.some((row) => row[at[name]] !== null) &&
      !(SAME.has(name) && rows.every((row) => row[at[name]] === rows[0][at[name]]))));
  const constant = [...SAME].filter((name) => rows.length && !shown.includes(name) && rows[0][at[name]]);
  document.getElementById("constant").textContent =
    constant.map((name) => `${name} ${rows[0][at[name]]}`).join(", ");
  const reasonsOf = (row) => row[at.reasons].split("; ");
  const unreadable = rows.map((row) => row[at.unreadable] ? JSON.parse(row[at.unreadable]) : {});
  let found = [], first = 0;

  const counted = (values) => {
    const counts = new Map();
    values.forEach((value) => counts.set(value, (counts.get(value) || 0) + 1));
    return [...counts].sort((a, b) => b[1] - a[1] || String(a[0]).localeCompare(String(b[0])));
  };
  const option = (value, text) => Object.assign(document.createElement("option"),
    { value, textContent: text });
  for (const [name, count] of counted(rows.flatMap(reasonsOf)))
    form.elements.reason.append(option(name, `${name} (${count.toLocaleString("en")})`));
  for (const [name, count] of counted(rows.map((row) => row[at.ticker] ?? "")))
    document.getElementById("tickers").append(option(name, `${count.toLocaleString("en")} rows`));

  const head = document.createElement("tr");
  for (const name of shown) {
    const cell = document.createElement("th");
    cell.textContent = name === "reasons" ? "rules broken" : name.replace(/_/g, " ");
    if (NUMBERS.has(name)) cell.className = "n";
    head.append(cell);
  }
  document.querySelector("#rows thead").append(head);

  // A value is marked where a rule of the row names its column.
  const broken = (row, name) => reasonsOf(row).some((rule) =>
    rule.startsWith(name + "_") || rule === "unreadable_" + name);
  const render = () => {
    const lines = found.slice(first, first + PAGE).map((number) => {
      const row = rows[number], line = document.createElement("tr");
      for (const name of shown) {
        const cell = document.createElement("td"), value = row[at[name]];
        if (NUMBERS.has(name)) cell.className = "n";
        if (name in unreadable[number]) {
          cell.textContent = "“" + unreadable[number][name] + "”";
          cell.title = "as received; could not be read";
          cell.classList.add("broken");
        } else {
          cell.textContent = value === null ? (name === "released" ? "" : "null") : value;
          if (value === null) cell.classList.add("muted");
          if (broken(row, name)) cell.classList.add("broken");
        }
        line.append(cell);
      }
      return line;
    });
    document.querySelector("#rows tbody").replaceChildren(...lines);
    const last = Math.min(first + PAGE, found.length), total = found.length.toLocaleString("en");
    document.getElementById("position").textContent = found.length
      ? `${(first + 1).toLocaleString("en")}–${last.toLocaleString("en")} of ${total}`
      : "no row fits";
    document.getElementById("previous").disabled = first === 0;
    document.getElementById("next").disabled = last >= found.length;
  };
  const filter = () => {
    const asked = Object.fromEntries(["ticker", "reason", "first", "last"]
      .map((name) => [name, form.elements[name].value.trim()]));
    const ticker = asked.ticker.toUpperCase();
    found = [];
    rows.forEach((row, number) => {
      const day = row[at.session_date] ?? "";
      if ((!ticker || (row[at.ticker] ?? "").toUpperCase() === ticker)
        && (!asked.reason || reasonsOf(row).includes(asked.reason))
        && (!asked.first || day >= asked.first) && (!asked.last || (day && day <= asked.last)))
        found.push(number);
    });
    first = 0;
    const kept = Object.entries(asked).filter(([, value]) => value);
    history.replaceState(null, "", "#" + new URLSearchParams(kept));
    render();
  };
  const fromHash = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const name of ["ticker", "reason", "first", "last"])
      form.elements[name].value = asked.get(name) ?? "";
    filter();
  };
  const quoted = (value) => {
    let text = value === null ? "" : String(value);
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = "'" + text;
    return /[",\n\r]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
  };
  document.getElementById("export").addEventListener("click", () => {
    const lines = [data.columns, ...found.map((number) => rows[number])]
      .map((row) => row.map(quoted).join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    link.download = `quarantine-${data.batch}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
  const turn = (step) => () => { first += step; render(); };
  document.getElementById("previous").addEventListener("click", turn(-PAGE));
  document.getElementById("next").addEventListener("click", turn(PAGE));
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", fromHash);
  fromHash();
})();
