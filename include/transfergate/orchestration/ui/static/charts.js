// What every chart shares: colours of the page, redrawing when these or the width change, and text
// in tooltips that is never read as HTML. `charts.draw(node, make)` keeps `make(look)` drawn.
"use strict";
const charts = (() => {
  const drawn = new Map();
  const look = () => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    return { colour, narrow: innerWidth < 720, faint: colour("line"), ink: colour("ink"), muted: colour("muted") };
  };

  const axis = (own, now) => ({
    axisLine: { lineStyle: { color: now.muted } },
    axisLabel: { color: now.muted, hideOverlap: true },
    axisTick: { show: false },
    splitLine: { lineStyle: { color: now.faint } },
    nameTextStyle: { color: now.muted },
    ...own,
  });

  const base = (now) => ({
    animation: false,
    textStyle: { fontFamily: "system-ui, sans-serif", color: now.ink },
    tooltip: {
      backgroundColor: now.colour("panel"), borderColor: now.faint, confine: true,
      textStyle: { color: now.ink, fontSize: 13 },
    },
  });

  // Lines of a tooltip as text nodes, so that no name from data becomes markup.
  const told = (lines) => {
    const box = document.createElement("div");
    lines.forEach((line, number) => {
      const row = box.appendChild(document.createElement("div"));
      if (number === 0) row.style.fontWeight = "600";
      if (line.colour) {
        const sign = row.appendChild(document.createElement("span"));
        sign.style.cssText = `display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.45em;background:${line.colour}`;
      }
      row.append(line.text);
    });
    return box;
  };

  const redraw = (node) => {
    const own = drawn.get(node);
    const kept = own.chart.getOption()?.legend?.[0]?.selected;
    const option = own.make(look());
    if (option.legend && kept && Object.keys(kept).length) option.legend.selected = kept;
    own.chart.setOption(option, { notMerge: true });
  };
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const own = drawn.get(target);
      if (!own || own.width === target.clientWidth) continue;
      own.width = target.clientWidth;
      own.chart.resize();
      redraw(target);
    }
  });

  const draw = (node, make) => {
    const chart = echarts.init(node, null, { renderer: "svg" });
    drawn.set(node, { chart, make, width: node.clientWidth });
    redraw(node);
    resized.observe(node);
    node.dataset.drawn = "true";
    return chart;
  };
  const forget = (within) => {
    for (const [node, own] of drawn) {
      if (!within.contains(node)) continue;
      resized.unobserve(node);
      own.chart.dispose();
      drawn.delete(node);
    }
  };
  document.addEventListener("transfergate:theme", () => drawn.forEach((own, node) => redraw(node)));

  return { axis, base, draw, forget, redraw, told };
})();
