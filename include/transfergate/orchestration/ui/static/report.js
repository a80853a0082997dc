// The promotion report's charts: draws numbers that the server has published, computes none.
"use strict";
(() => {
  const numbers = (id) => {
    const found = document.getElementById(id);
    return found ? JSON.parse(found.textContent) : null;
  };
  const signed = (value) => (value > 0 ? "+" : "") + value.toFixed(2).replace("-", "−");
  const range = ([middle, low, high]) => `${signed(middle)} (${signed(low)} to ${signed(high)})`;
  const LABELS = {
    finetuned: "fine-tuned", scratch: "from scratch", zero_shot: "zero-shot", buy_hold: "buy and hold",
    champion: "champion", ridge: "ridge-linear", random: "random",
  };
  const DASHES = { zero_shot: "dashed", buy_hold: "dotted", ridge: [9, 3, 2, 3], random: [2, 4] };
  const STRONG = ["finetuned", "scratch"];

  // ---- intervals: one row each, a shape beside the colour --------------------------------------
  const SHAPES = {
    good: "M0 -6L6 5L-6 5Z", bad: "M0 6L6 -5L-6 -5Z", guard: "M0 -6L6 0L0 6L-6 0Z",
    open: "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0 -5 0Z", broken: "M-5 -5L5 -5L5 5L-5 5Z",
  };
  const whisker = (colour, shape, size, dashed, offset) => (params, api) => {
    const [y, middle, low, high] = [0, 1, 2, 3].map((i) => api.value(i));
    const [left, height] = api.coord([low, y]);
    const right = api.coord([high, y])[0];
    const x = api.coord([middle, y])[0];
    const box = params.coordSys;
    const inside = (value) => Math.min(Math.max(value, box.x), box.x + box.width);
    const row = Math.abs(api.size([0, 1])[1]);
    const at = height + offset * Math.min(row, 26);
    const scale = size * Math.min(1, Math.max(row / 14, 0.3));
    const children = [{
      type: "line",
      shape: { x1: inside(left), x2: inside(right), y1: at, y2: at },
      style: { stroke: colour, lineWidth: row < 6 ? 1 : dashed ? 1.4 : 2, lineDash: dashed ? [4, 3] : null, opacity: row < 6 ? 0.55 : 1 },
    }];
    if (x >= box.x && x <= box.x + box.width) children.push({
      type: "path", x, y: at, scaleX: scale, scaleY: scale,
      shape: { pathData: shape }, style: { fill: colour },
    });
    return { type: "group", children };
  };

  const forestOption = (data, view) => (now) => {
    const { rows, verdicts, limit } = data;
    const ends = rows.flatMap((row) => [row.raw[1], row.raw[2]]).sort((a, b) => a - b);
    const cut = Math.floor(ends.length * 0.01);
    const low = Math.min(-limit, ends[cut]);
    const high = Math.max(limit, ends[ends.length - 1 - cut]);
    const pad = 0.04 * (high - low);
    const series = Object.entries(verdicts).map(([name, kind]) => ({
      name: kind.words, type: "custom", itemStyle: { color: now.colour(kind.tone) },
      renderItem: whisker(now.colour(kind.tone), SHAPES[kind.tone], 1, false, rows.some((r) => r.shrunken) ? -0.14 : 0),
      data: rows.flatMap((row, y) => (row.verdict === name ? [[y, ...row.raw]] : [])),
      encode: { y: 0, x: [2, 3] }, clip: true,
    }));
    if (rows.some((row) => row.shrunken)) series.push({
      name: "shrunken by the pool", type: "custom", itemStyle: { color: now.muted },
      renderItem: whisker(now.muted, SHAPES.open, 0.6, true, 0.22),
      data: rows.flatMap((row, y) => (row.shrunken ? [[y, ...row.shrunken]] : [])),
      encode: { y: 0, x: [2, 3] }, clip: true,
    });
    series.push({
      type: "line", data: [], silent: true,
      markArea: { itemStyle: { color: now.faint, opacity: 0.7 }, data: [[{ xAxis: -limit }, { xAxis: limit }]] },
      markLine: { symbol: "none", label: { show: false }, lineStyle: { color: now.muted, type: "solid", width: 1 }, data: [{ xAxis: 0 }] },
    });
    const icons = Object.fromEntries(Object.values(verdicts).map((kind) => [kind.words, `path://${SHAPES[kind.tone]}`]));
    return {
      ...charts.base(now),
      legend: {
        top: 0, left: 0, textStyle: { color: now.ink }, inactiveColor: now.faint, itemWidth: 12, itemHeight: 11,
        data: series.filter((one) => one.name).map((one) => ({ name: one.name, icon: icons[one.name] ?? "path://M-9 -1H-3V1H-9ZM3 -1H9V1H3ZM-2.5 0A2.5 2.5 0 1 0 2.5 0A2.5 2.5 0 1 0 -2.5 0Z" })),
      },
      grid: { top: now.narrow ? 78 : 44, left: 8, right: view.many ? 44 : 16, bottom: 40, outerBoundsMode: "same" },
      xAxis: charts.axis({ type: "value", min: low - pad, max: high + pad, name: "Δ Sharpe", nameLocation: "middle", nameGap: 26, axisLabel: { color: now.muted, showMinLabel: false, showMaxLabel: false, formatter: (value) => (value ? signed(value).replace(/\.?0+$/, "") : "0") } }, now),
      yAxis: charts.axis({
        type: "category", inverse: true, data: rows.map((row) => row.ticker), splitLine: { show: false },
        axisLabel: { color: now.ink, width: now.narrow ? 62 : 110, overflow: "truncate", interval: view.many ? "auto" : 0 }, triggerEvent: true,
      }, now),
      dataZoom: view.many ? [
        { id: "rows", type: "slider", yAxisIndex: 0, right: 6, width: 18, startValue: view.start, endValue: view.end, brushSelect: false,
          showDetail: false, borderColor: now.faint, fillerColor: now.faint, handleStyle: { color: now.muted }, filterMode: "weakFilter" },
        { type: "inside", yAxisIndex: 0, zoomOnMouseWheel: "ctrl", moveOnMouseWheel: "shift", moveOnMouseMove: false, filterMode: "weakFilter" },
      ] : [],
      tooltip: {
        ...charts.base(now).tooltip, trigger: "item",
        formatter: ({ value, color }) => {
          const row = rows[value[0]];
          return charts.told([
            { text: row.ticker },
            { text: `${verdicts[row.verdict].words}: ${range(row.raw)}`, colour: now.colour(verdicts[row.verdict].tone) },
            ...(row.shrunken ? [{ text: `shrunken: ${range(row.shrunken)}`, colour: now.muted }] : []),
          ]);
        },
      },
      series,
    };
  };

  const SOME = 30;
  const forest = (node) => {
    const data = numbers("forest-data");
    const n = data.rows.length;
    const many = n > 60;
    const view = { many, start: 0, end: n - 1 };
    node.style.height = `${many ? 720 : n * (n < 8 ? 38 : 26) + (innerWidth < 720 ? 124 : 92)}px`;
    const chart = charts.draw(node, forestOption(data, view));
    const open = (index) => data.rows[index] && show(data.rows[index].number);
    chart.on("click", (event) =>
      open(event.componentType === "yAxis" ? data.rows.findIndex((row) => row.ticker === event.value) : event.value?.[0]));
    chart.on("datazoom", () => {
      const now = chart.getOption().dataZoom[0];
      [view.start, view.end] = [now.startValue, now.endValue];
    });
    if (!many) return;
    const tools = node.closest("figure").querySelector(".tools");
    tools.hidden = false;
    tools.addEventListener("click", (event) => {
      const kind = event.target.dataset?.forest;
      if (!kind) return;
      const middle = Math.round((view.start + view.end) / 2);
      const start = kind === "all" ? 0 : Math.max(Math.min(view.start === 0 && view.end === n - 1 ? 0 : middle - SOME / 2, n - SOME), 0);
      chart.dispatchAction({ type: "dataZoom", dataZoomId: "rows", startValue: start, endValue: kind === "all" ? n - 1 : start + SOME - 1 });
    });
  };

  const regimes = (node) => {
    const { rows } = numbers("regimes-data");
    node.style.height = `${rows.length * 26 + 60}px`;
    charts.draw(node, (now) => ({
      ...charts.base(now),
      grid: { top: 6, left: 8, right: 16, bottom: 34, outerBoundsMode: "same" },
      xAxis: charts.axis({ type: "value", name: "Δ Sharpe", nameLocation: "middle", nameGap: 24 }, now),
      yAxis: charts.axis({ type: "category", inverse: true, data: rows.map((row) => row.label), splitLine: { show: false }, axisLabel: { color: now.ink } }, now),
      tooltip: { ...charts.base(now).tooltip, trigger: "item", formatter: ({ value }) => charts.told([{ text: rows[value[0]].label }, { text: range(rows[value[0]].raw) }]) },
      series: [
        { type: "custom", renderItem: whisker(now.colour("finetuned"), SHAPES.open, 0.9, false, 0), data: rows.map((row, y) => [y, ...row.raw]), encode: { y: 0, x: [2, 3] } },
        { type: "line", data: [], silent: true, markLine: { symbol: "none", label: { show: false }, lineStyle: { color: now.muted, type: "solid", width: 1 }, data: [{ xAxis: 0 }] } },
      ],
    }));
  };

  // ---- curves over sessions: all arms on one axis, test windows shaded ----------------------------
  const arms = (data, key) => Object.keys(data.arms).filter((arm) => data.arms[arm][key]);
  const legend = (names, now) => ({
    top: 0, left: 0, data: names, textStyle: { color: now.ink }, inactiveColor: now.muted,
    itemWidth: 26, itemHeight: 8,
  });
  const room = (names, now) => (now.narrow && names.length > 3 ? 66 : 36);
  const line = (arm, now) => ({
    color: now.colour(arm), type: DASHES[arm] ?? "solid", width: STRONG.includes(arm) ? 2.2 : 1.4,
  });
  const FORMATS = {
    equity: (value) => value.toFixed(3), drawdown: (value) => `${value.toFixed(1)} %`, position: signed,
  };

  const overTime = (data, kind) => (now) => {
    const names = arms(data, kind);
    const folds = data.folds.flatMap((fold, i) => (i % 2 ? [] : [[
      { xAxis: fold.first, name: fold.name }, { xAxis: fold.last },
    ]]));
    const zoom = { id: "sessions", xAxisIndex: 0, filterMode: "none" };
    return {
      ...charts.base(now),
      legend: {
        ...legend(names.map((arm) => LABELS[arm] ?? arm), now),
        // Positions of all arms at once are a thicket: the others wait in the legend.
        selected: kind === "position" ? Object.fromEntries(names.map((arm) => [LABELS[arm] ?? arm, STRONG.includes(arm)])) : {},
      },
      grid: { top: room(names, now), left: 8, right: 16, bottom: kind === "equity" ? 52 : 12, outerBoundsMode: "same" },
      xAxis: charts.axis({ type: "category", data: data.sessions, boundaryGap: false, splitLine: { show: false } }, now),
      yAxis: charts.axis({ type: "value", scale: true, ...(kind === "position" ? { min: -1, max: 1, interval: 0.5 } : {}), axisLabel: { color: now.muted, formatter: kind === "drawdown" ? "{value} %" : "{value}" } }, now),
      tooltip: {
        ...charts.base(now).tooltip, trigger: "axis", axisPointer: { lineStyle: { color: now.muted } },
        formatter: (points) => {
          const at = points[0]?.dataIndex;
          const fold = data.folds.find((one) => one.first <= at && at <= one.last);
          return charts.told([
            { text: `${data.sessions[at]}${fold ? `, ${fold.name}` : ""}` },
            ...points.filter((point) => typeof point.value === "number")
              .map((point) => ({ text: `${point.seriesName} ${FORMATS[kind](point.value)}`, colour: point.color })),
          ]);
        },
      },
      dataZoom: [kind === "equity"
        ? { ...zoom, type: "slider", bottom: 4, height: 18, brushSelect: false, showDetail: false, showDataShadow: false,
            borderColor: now.faint, fillerColor: now.faint, handleStyle: { color: now.muted } }
        : { ...zoom, type: "inside", zoomOnMouseWheel: "ctrl", moveOnMouseMove: false, moveOnMouseWheel: false }],
      series: [
        {
          type: "line", data: [], silent: true,
          markArea: {
            itemStyle: { color: now.faint, opacity: 0.45 },
            label: { show: kind === "equity" && !now.narrow, position: "insideTop", color: now.muted, fontSize: 11 }, data: folds,
          },
        },
        ...names.map((arm) => ({
          name: LABELS[arm] ?? arm, type: "line", data: data.arms[arm][kind], step: kind === "position" ? "end" : false,
          showSymbol: false, itemStyle: { color: now.colour(arm) }, lineStyle: { ...line(arm, now), ...(kind === "position" ? { width: 1.3 } : {}) }, connectNulls: false,
          z: STRONG.includes(arm) ? 4 : 3, emphasis: { disabled: true },
        })),
      ],
    };
  };

  // ---- learning: every seed faint, the mean strong, where early stopping took the weights -----------
  const at = (updates, values, update) => {
    const next = updates.findIndex((one) => one >= update);
    if (next <= 0) return values[0];
    const share = (update - updates[next - 1]) / (updates[next] - updates[next - 1]);
    return values[next - 1] + share * (values[next] - values[next - 1]);
  };
  const learned = (data, chosen) => (now) => {
    const series = [];
    for (const [arm, own] of Object.entries(data.learning)) {
      const name = LABELS[arm];
      const fold = own.folds.find((one) => one.name === chosen.fold);
      const seeds = fold ? fold.seeds : own.seeds;
      const colour = now.colour(arm);
      const points = (values) => own.updates.map((update, i) => [update, values[i]]);
      for (const values of seeds) series.push({
        name, type: "line", data: points(values), showSymbol: false, silent: true, tooltip: { show: false },
        lineStyle: { color: colour, width: 1, opacity: 0.35 }, itemStyle: { color: colour }, z: 2,
      });
      if (!fold) series.push({
        name, type: "line", data: points(own.mean), symbolSize: 6, showSymbol: true, lineStyle: { color: colour, width: 3 },
        itemStyle: { color: colour }, z: 5,
        markPoint: {
          symbol: "pin", symbolSize: 34, itemStyle: { color: colour }, label: { show: false },
          data: [{ coord: [own.kept, at(own.updates, own.mean, own.kept)] }],
        },
      });
      else series.push({
        name, type: "scatter", symbol: "diamond", symbolSize: 11, itemStyle: { color: colour }, z: 6,
        data: seeds.map((values, k) => [fold.kept[k], values[own.updates.indexOf(fold.kept[k])]]),
      });
    }
    return {
      ...charts.base(now),
      legend: legend(Object.keys(data.learning).map((arm) => LABELS[arm]), now),
      grid: { top: 36, left: 8, right: 20, bottom: 24, outerBoundsMode: "same" },
      xAxis: charts.axis({ type: "value", name: "updates", nameLocation: "middle", nameGap: 24, min: 0, max: "dataMax", splitLine: { show: false } }, now),
      yAxis: charts.axis({ type: "value", scale: true, name: now.narrow ? "" : "Sharpe on validation", nameLocation: "middle", nameGap: 34 }, now),
      tooltip: {
        ...charts.base(now).tooltip, trigger: "item",
        formatter: (point) => charts.told([
          { text: point.seriesName, colour: point.color },
          { text: point.componentType === "markPoint" || point.seriesType === "scatter"
            ? `weights taken after ${+(point.data.coord ?? point.value)[0]} updates` : `update ${point.value[0]}: ${signed(point.value[1])}` },
        ]),
      },
      series,
    };
  };
  const trained = (data) => (now) => ({
    ...charts.base(now),
    legend: legend(Object.keys(data.learning).map((arm) => LABELS[arm]), now),
    grid: { top: 36, left: 8, right: 20, bottom: 24, outerBoundsMode: "same" },
    xAxis: charts.axis({ type: "value", name: "updates", nameLocation: "middle", nameGap: 24, min: 0, max: "dataMax", splitLine: { show: false } }, now),
    yAxis: charts.axis({ type: "value", scale: true, name: now.narrow ? "" : "basis points a session", nameLocation: "middle", nameGap: 34 }, now),
    tooltip: {
      ...charts.base(now).tooltip, trigger: "axis",
      formatter: (points) => charts.told([
        { text: `update ${points[0].value[0]}` },
        ...points.map((point) => ({ text: `${point.seriesName} ${signed(point.value[1])}`, colour: point.color })),
      ]),
    },
    series: Object.entries(data.learning).map(([arm, own]) => ({
      name: LABELS[arm], type: "line", showSymbol: false, lineStyle: { color: now.colour(arm), width: 2.2 }, itemStyle: { color: now.colour(arm) },
      data: own.training_updates.map((update, i) => [update, own.training[i]]),
    })),
  });

  // ---- one ticker: its part of the page, and its charts when it is there -----------------------------
  const place = document.getElementById("open-ticker");
  const failed = (text) => {
    const note = document.createElement("p");
    note.className = "note";
    note.textContent = text;
    place.prepend(note);
  };

  const drawTicker = async () => {
    const article = place?.querySelector("article");
    if (!article) return;
    const find = (kind) => article.querySelector(`[data-chart=${kind}]`);
    if (find("regimes")) regimes(find("regimes"));
    const nodes = [...article.querySelectorAll("[data-chart]")].filter((node) => node.dataset.chart !== "regimes");
    if (!nodes.length) return;
    const answer = await fetch(article.dataset.source);
    if (!answer.ok) return failed(`The numbers of the charts did not come (${answer.status}): load the page again.`);
    const data = await answer.json();
    const joined = [];
    for (const node of nodes) {
      const kind = node.dataset.chart;
      if (kind in FORMATS) {
        const chart = charts.draw(node, overTime(data, kind));
        chart.group = "sessions";
        joined.push(chart);
      } else if (kind === "training") charts.draw(node, trained(data));
      else {
        const chosen = { fold: "" };
        charts.draw(node, learned(data, chosen));
        const select = node.closest("figure").querySelector("[data-folds]");
        const first = Object.values(data.learning)[0];
        for (const { name } of first.folds) select.append(new Option(name, name));
        select.closest(".tools").hidden = false;
        select.addEventListener("change", () => { chosen.fold = select.value; charts.redraw(node); });
      }
    }
    if (joined.length) echarts.connect("sessions");
  };

  const base = () => numbers("forest-data")?.address ?? location.pathname;
  const show = async (number, push = true) => {
    const answer = await fetch(`${base()}/tickers/${number}`, { headers: { Accept: "text/plain, */*" } });
    if (!answer.ok) return failed(`This ticker did not come (${answer.status}): load the page again.`);
    charts.forget(place);
    place.innerHTML = await answer.text();
    const article = place.querySelector("article");
    article.focus({ preventScroll: true });
    place.scrollIntoView();
    if (push) {
      const address = new URL(location.href);
      address.searchParams.set("ticker", article.dataset.ticker);
      address.hash = "";
      history.pushState({ number }, "", address);
    }
    await drawTicker();
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-ticker]");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show(link.dataset.ticker);
  });
  addEventListener("popstate", (event) => {
    if (event.state) show(event.state.number, false);
    else location.reload();
  });

  const plot = document.querySelector("[data-chart=forest]");
  if (plot) forest(plot);
  drawTicker();
})();
