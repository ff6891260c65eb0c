// Moves the dashboard: takes what has changed from the server and draws the charts. Every page is complete without it.
"use strict";

const say = (text) => { document.getElementById("connection").textContent = text; };

// --- what has changed -----------------------------------------------------------------------------------------------

// Makes a node like another one, and leaves what is the same alone: the focus, a selection, what is scrolled or open.
function become(now, wanted) {
  if (now.nodeType !== wanted.nodeType || now.nodeName !== wanted.nodeName) {
    now.replaceWith(wanted.cloneNode(true));
    return;
  }
  if (now.nodeType !== Node.ELEMENT_NODE) {
    if (now.nodeValue !== wanted.nodeValue) now.nodeValue = wanted.nodeValue;
    return;
  }
  for (const { name, value } of [...wanted.attributes]) {
    if (now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  for (const { name } of [...now.attributes]) {
    if (!wanted.hasAttribute(name) && name !== "open") now.removeAttribute(name);
  }
  children(now, wanted);
}

function children(now, wanted) {
  const [old, fresh] = [[...now.childNodes], [...wanted.childNodes]];
  fresh.forEach((node, at) => {
    if (at < old.length) become(old[at], node);
    else now.append(node.cloneNode(true));
  });
  for (const node of old.slice(fresh.length)) node.remove();
}

function show(parts) {
  for (const [id, html] of Object.entries(parts)) {
    const section = document.getElementById(id);
    if (!section) continue;
    const wanted = document.createElement("section");
    wanted.innerHTML = html; // the server's own, in which it has escaped all that is not
    children(section, wanted);
  }
}

// --- charts ---------------------------------------------------------------------------------------------------------

const charts = [];
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const NAMES = {
  requests: "Requests/s", errors: "Errors/s", p50: "Median", p95: "95 %", p99: "99 %",
  connections: "Connections", websockets: "WebSockets", in_flight: "In flight", waiting: "Waiting",
};

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });

function draw(figure, columns, points) {
  const keys = figure.dataset.columns.split(",");
  const unit = figure.dataset.unit;
  const pick = () => [points.map((p) => p[0] / 1000), ...keys.map((k) => points.map((p) => p[columns.indexOf(k)]))];
  const width = () => Math.max(240, figure.clientWidth - 22);
  const axis = { stroke: color("--soft"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 } };
  const value = (_, v) => (v === null || v === undefined ? "–" : `${v < 10 ? v.toFixed(2) : v.toFixed(0)} ${unit}`);
  const plot = new uPlot({
    width: width(),
    height: 180,
    series: [{ label: "Time", value: (_, at) => (at ? clock(at) : "–") }, ...keys.map((key, n) => (
      { label: NAMES[key], stroke: color(`--line-${n + 1}`), width: 1.5, value, points: { show: points.length < 2 } }))],
    axes: [{ ...axis, space: 70, values: (_, ticks) => ticks.map(clock) }, { ...axis, size: 56 }],
    scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(high ?? 1, 0.001) * 1.1] } },
    legend: { live: true },
  }, pick(), figure);
  plot.root.setAttribute("aria-hidden", "true"); // the table says the same
  return { update: () => plot.setData(pick()), resize: () => plot.setSize({ width: width(), height: 180 }), remove: () => plot.destroy() };
}

async function begin_charts(place) {
  const most = place.dataset.span === "seconds" ? 300 : 1440;
  const answer = await fetch(`/series?span=${place.dataset.span}`);
  if (!answer.ok) return;
  const { columns, points } = await answer.json();
  const again = () => {
    for (const chart of charts.splice(0)) chart.remove();
    for (const figure of place.querySelectorAll("figure")) charts.push(draw(figure, columns, points));
  };
  again();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("resize", () => charts.forEach((chart) => chart.resize()));
  place.addEventListener("point", ({ detail }) => {
    if (place.dataset.span !== "seconds" || (points.length && points[points.length - 1][0] >= detail[0])) return;
    points.push(detail);
    if (points.length > most) points.shift();
    charts.forEach((chart) => chart.update());
  });
}

// --- the connection -------------------------------------------------------------------------------------------------

function begin() {
  const place = document.getElementById("charts");
  if (place) begin_charts(place);
  if (!document.body.dataset.live) return;
  const pause = document.getElementById("pause");
  let source = null;
  const open = () => {
    source = new EventSource(`/events${location.pathname}${location.search}`);
    source.onopen = () => say("Live");
    source.onerror = () => say("The server does not answer");
    source.addEventListener("parts", (event) => show(JSON.parse(event.data)));
    source.addEventListener("point", (event) => {
      if (place) place.dispatchEvent(new CustomEvent("point", { detail: JSON.parse(event.data) }));
    });
    source.addEventListener("end", () => { source.close(); location.assign("/login"); });
    pause.textContent = "Pause";
  };
  const close = () => {
    if (source) source.close();
    source = null;
  };
  pause.hidden = false;
  pause.addEventListener("click", () => {
    if (source) { close(); pause.textContent = "Go on"; say("Paused"); } else open();
  });
  // Nobody looks at a page that cannot be seen.
  let seen = true;
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { seen = source !== null; close(); } else if (seen && !source) open();
  });
  addEventListener("pagehide", close);
  open();
}

begin();
