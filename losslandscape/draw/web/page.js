// Draws the panels of the page and connects them with its buttons.
(() => {
"use strict";
const CONFIG = { displayModeBar: false, scrollZoom: true };
const WIDE = 1.15; // a scene fits its plot if the plot is at least this many times as wide as high
const NARROW = 500; // pixels; narrower plots have short titles of axes and fewer ticks
const ROOMY = 640; // a plot of this width has room for the title of the heights, which the colour bar has too
const symbol = (width, drawing) =>
  `<svg width="${width}" height="16" aria-hidden="true" stroke="currentColor" fill="none">${drawing}</svg>`;
const SYMBOLS = {
  ring: symbol(16, '<circle cx="8" cy="8" r="5" stroke-width="3"/>'),
  cross: symbol(16, '<path d="M2 8h12M8 2v12" stroke-width="3"/>'),
  diamond: symbol(16, '<path d="M8 2l6 6-6 6-6-6z" fill="currentColor"/>'),
  hatch: symbol(16, '<path d="M1 8l7-7M1 15L15 1M8 15l7-7" stroke-width="1.5"/>'),
  line: symbol(28, '<path d="M0 8h28" stroke-width="3"/>'),
  dash: symbol(28, '<path d="M0 8h28" stroke-width="3" stroke-dasharray="7 4"/>'),
  dotted: symbol(28, '<path d="M0 8h28" stroke-width="3" stroke-dasharray="3 4"/>'),
};
const byId = (id) => document.getElementById(id);
const page = JSON.parse(byId("page-data").textContent);
const plots = [...document.querySelectorAll(".plot")];
const system = matchMedia("(prefers-color-scheme: dark)");
const hidden = new Set();
let view = page.view;
let step = page.steps ? page.steps.active : 0;
let theme = system.matches ? "dark" : "light";
let isPlaying = false;
let leader = null; // the plot that the reader moves; the others follow it

const each = (action) => Promise.all(plots.map((plot, i) => action(plot, page.panels[i])));

function place(object, path, value) {
  const keys = path.split(".");
  const last = keys.pop();
  keys.reduce((part, key) => (part[key] ??= {}), object)[last] = value;
}

// The text of each point of a grid: its place and all its values.
function texts(x, y, values) {
  const short = (number) => Number(number.toPrecision(4));
  return y.map((b, row) => x.map((a, column) => [
    `α = ${short(a)}, β = ${short(b)}`,
    ...Object.entries(values).map(([label, rows]) => `${label} = ${rows[row][column]}`),
  ].join("<br>")));
}

// The changes of a view or a step, with the texts of the surface, which is the first trace.
function changes(panel, { traces = {}, values }) {
  const kept = Object.entries(traces).map(([key, list]) => [key, list.map((value) => value ?? undefined)]);
  traces = Object.fromEntries(kept);
  if (!values) return traces;
  const x = traces.x?.[0] ?? panel.traces[0].x;
  const y = traces.y?.[0] ?? panel.traces[0].y;
  const text = panel.traces.map(() => undefined);
  text[0] = texts(x, y, values);
  return { ...traces, text };
}

function camera(plot) {
  plot.fit = Math.max(1, (WIDE * plot.clientHeight) / plot.clientWidth);
  return farther(page.camera, plot.fit);
}

// The attributes of a view, and those that depend on the width of the plot.
function viewLayout(plot, panel) {
  const { layout } = panel.views[view];
  if (!page.camera) return layout;
  const isNarrow = plot.clientWidth < NARROW;
  const shown = isNarrow ? (_, i, all) => all.length < 5 || i % 2 === 0 : () => true;
  const short = (text) => (isNarrow ? text.split(" (")[0] : text);
  return {
    ...layout,
    "scene.xaxis.title.text": short(panel.layout.scene.xaxis.title.text),
    "scene.yaxis.title.text": short(panel.layout.scene.yaxis.title.text),
    "scene.zaxis.title.text": plot.clientWidth < ROOMY ? "" : layout["scene.zaxis.title.text"],
    "scene.zaxis.tickvals": layout["scene.zaxis.tickvals"].filter(shown),
    "scene.zaxis.ticktext": layout["scene.zaxis.ticktext"].filter(shown),
  };
}

function farther({ eye, ...rest }, factor) {
  return { ...rest, eye: { x: eye.x * factor, y: eye.y * factor, z: eye.z * factor } };
}

function draw(plot, panel) {
  const layout = structuredClone(panel.layout);
  const all = { ...viewLayout(plot, panel), ...page.themes[theme].layout };
  if (page.camera) all["scene.camera"] = camera(plot);
  for (const [path, value] of Object.entries(all)) place(layout, path, value);
  const { text } = changes(panel, { values: panel.values });
  const traces = panel.traces.map((trace, i) => {
    const copy = structuredClone(trace);
    if (text?.[i]) copy.text = text[i];
    if (trace.meta?.themed) place(copy, trace.meta.themed, page.themes[theme].line);
    return copy;
  });
  return Plotly.newPlot(plot, traces, layout, CONFIG);
}

async function showView(number) {
  view = number;
  await each((plot, panel) => Plotly.update(plot, changes(panel, panel.views[view]), viewLayout(plot, panel)));
  write();
}

async function showStep(number) {
  step = number;
  write();
  await each((plot, panel) => Plotly.restyle(plot, changes(panel, panel.steps[step]), panel.steps[step].indices));
}

async function play() {
  isPlaying = !isPlaying;
  write();
  const last = page.steps.labels.length - 1;
  if (isPlaying && step === last) await showStep(0);
  while (isPlaying && step < last) {
    await new Promise((done) => setTimeout(done, page.steps.milliseconds));
    if (isPlaying) await showStep(step + 1);
  }
  isPlaying = false;
  write();
}

async function showTheme(name) {
  theme = name;
  write();
  await each(async (plot, panel) => {
    for (const [i, trace] of panel.traces.entries()) {
      if (trace.meta?.themed) await Plotly.restyle(plot, { [trace.meta.themed]: page.themes[theme].line }, [i]);
    }
    await Plotly.relayout(plot, page.themes[theme].layout);
  });
}

function toggle(group) {
  if (!hidden.delete(group)) hidden.add(group);
  write();
  return each((plot, panel) => {
    const members = panel.traces.flatMap((trace, i) => (trace.legendgroup === group ? [i] : []));
    return members.length ? Plotly.restyle(plot, { visible: !hidden.has(group) }, members) : null;
  });
}

function reset() {
  return each((plot, panel) => Plotly.relayout(
    plot,
    page.camera ? { "scene.camera": camera(plot) } : { ...panel.views[view].layout, "xaxis.autorange": true },
  ));
}

function save() {
  return each((plot, panel) => Plotly.downloadImage(plot, { format: "png", scale: 2, filename: panel.title }));
}

// Let the other plots follow a plot that the reader turns or zooms.
function follow(plot, event) {
  if (plot !== leader) return;
  const shared = page.oneScale ? /^(scene\.camera|[xy]axis\.)/ : /^(scene\.camera|xaxis\.)/;
  const moved = Object.entries(event).filter(([key]) => shared.test(key));
  if (!moved.length) return;
  for (const other of plots) if (other !== plot) Plotly.relayout(other, Object.fromEntries(structuredClone(moved)));
}

// The camera after fingers moved: one finger turns it around the centre, two zoom.
function turned({ eye, center, up }, before, now) {
  const [x, y, z] = ["x", "y", "z"].map((axis) => eye[axis] - center[axis]);
  const gap = ([[a, b], [c, d]]) => Math.hypot(a - c, b - d);
  const zoom = now.length === 2 ? gap(before) / Math.max(gap(now), 1) : 1;
  const [right, down] = now.length === 1 ? [now[0][0] - before[0][0], now[0][1] - before[0][1]] : [0, 0];
  const distance = Math.min(Math.max(Math.hypot(x, y, z) * zoom, 0.3), 10);
  const angle = Math.atan2(y, x) - right / 100;
  const height = Math.min(Math.max(Math.atan2(z, Math.hypot(x, y)) + down / 100, -1.5), 1.5);
  const flat = distance * Math.cos(height);
  const moved = [flat * Math.cos(angle), flat * Math.sin(angle), distance * Math.sin(height)];
  return { up, center, eye: { x: moved[0] + center.x, y: moved[1] + center.y, z: moved[2] + center.z } };
}

// Turn a scene by touch. Plotly's own touch tells nobody of the new camera, and does not zoom.
function followFingers(plot) {
  let fingers = [];
  let next = null;
  const read = ({ touches }) => [...touches].map(({ clientX, clientY }) => [clientX, clientY]);
  const remember = (event) => { fingers = read(event); };
  plot.addEventListener("touchstart", remember, { capture: true, passive: true });
  plot.addEventListener("touchend", remember, { capture: true, passive: true });
  plot.addEventListener("touchmove", (event) => {
    event.preventDefault();
    event.stopPropagation();
    const now = read(event);
    if (now.length === fingers.length && now.length <= 2) {
      if (!next) requestAnimationFrame(() => {
        Plotly.relayout(plot, { "scene.camera": next });
        next = null;
      });
      next = turned(next ?? plot.layout.scene.camera, fingers, now);
    }
    fingers = now;
  }, { capture: true, passive: false });
}

// Keep the size of a plot, and the distance of its camera, right for its place on the page.
async function resize(plot, panel) {
  if (!plot._fullLayout || !plot.clientWidth) return;
  const before = plot.fit;
  const { width, height } = plot._fullLayout;
  if (width === plot.clientWidth && height === plot.clientHeight) return;
  await Plotly.relayout(plot, { width: plot.clientWidth, height: plot.clientHeight });
  if (!page.camera) return;
  camera(plot);
  const moved = farther(plot._fullLayout.scene.camera, plot.fit / before);
  await Plotly.relayout(plot, { ...viewLayout(plot, panel), "scene.camera": moved });
}

function write() {
  document.documentElement.dataset.theme = theme;
  byId("theme").setAttribute("aria-pressed", theme === "dark");
  for (const [i, button] of [...byId("views").querySelectorAll("button")].entries()) {
    button.setAttribute("aria-pressed", i === view);
  }
  const menu = byId("views").querySelector("select");
  if (menu) menu.value = view;
  writeLegend();
  const shown = page.panels.map((panel) => panel.views[view]);
  for (const [i, bar] of [...document.querySelectorAll(".bar")].entries()) writeBar(bar, shown[i].bar);
  byId("note").textContent = [...new Set(shown.flatMap(({ notes }) => notes))].join(" ");
  if (!page.steps) return;
  const label = page.steps.labels[step];
  byId("play").textContent = isPlaying ? "Pause" : "Play";
  byId("steps").querySelector("output").textContent = label;
  byId("step").value = step;
  byId("step").setAttribute("aria-valuetext", label);
}

function writeLegend() {
  const items = new Map();
  for (const panel of page.panels) {
    for (const [i, trace] of panel.traces.entries()) {
      const now = panel.views[view].traces;
      const isShown = (panel.steps[step]?.traces ?? now).showlegend?.[i] ?? trace.showlegend ?? true;
      if (!trace.meta?.symbol || !isShown || items.has(trace.legendgroup)) continue;
      const name = now.name?.[i] ?? trace.name;
      items.set(trace.legendgroup, { name, symbol: trace.meta.symbol, colour: trace.meta.colour ?? trace.line.color });
    }
  }
  byId("legend").replaceChildren(...[...items].map(([group, { name, symbol, colour }]) => {
    const button = document.createElement("button");
    button.innerHTML = SYMBOLS[symbol];
    button.firstChild.style.color = colour;
    const text = document.createElement("span");
    text.innerHTML = name; // escaped, as plotly needs it
    button.append(text);
    button.setAttribute("aria-pressed", !hidden.has(group));
    button.onclick = () => toggle(group);
    return button;
  }));
}

function writeBar(bar, { title, ticks }) {
  bar.querySelector(".title").innerHTML = title; // escaped, as plotly needs it
  const box = bar.querySelector(".ticks");
  box.replaceChildren(...ticks.map(([share, text]) => {
    const tick = document.createElement("span");
    tick.innerHTML = text;
    tick.style.left = `${100 * share}%`;
    return tick;
  }));
  placeTicks(box);
}

// Keep texts of ticks inside their box, and hide those that have no room beside their neighbours.
function placeTicks(box) {
  const { left, right } = box.getBoundingClientRect();
  let end = left;
  for (const tick of box.children) {
    tick.style.marginLeft = "0";
    tick.style.visibility = "visible";
    const own = tick.getBoundingClientRect();
    const shift = Math.max(left - own.left, 0) + Math.min(right - own.right, 0);
    tick.style.marginLeft = `${shift}px`;
    if (own.left + shift < end) tick.style.visibility = "hidden";
    else end = own.right + shift + 6;
  }
}

async function start() {
  write();
  for (const [i, button] of [...byId("views").querySelectorAll("button")].entries()) button.onclick = () => showView(i);
  const menu = byId("views").querySelector("select");
  if (menu) menu.onchange = () => showView(Number(menu.value));
  byId("theme").onclick = () => showTheme(theme === "dark" ? "light" : "dark");
  system.onchange = () => showTheme(system.matches ? "dark" : "light");
  byId("reset").onclick = reset;
  byId("save").onclick = save;
  if (page.steps) {
    byId("play").onclick = play;
    byId("step").oninput = () => {
      isPlaying = false;
      showStep(Number(byId("step").value));
    };
  }
  await each(draw);
  const observer = new ResizeObserver((entries) => entries.forEach(({ target }) => resize(target, page.panels[plots.indexOf(target)])));
  for (const plot of plots) {
    for (const event of ["pointerenter", "pointerdown", "touchstart", "wheel"]) {
      plot.addEventListener(event, () => { leader = plot; }, { capture: true, passive: true });
    }
    plot.on("plotly_relayouting", (event) => follow(plot, event));
    plot.on("plotly_relayout", (event) => follow(plot, event));
    if (page.camera) followFingers(plot);
    observer.observe(plot);
  }
  for (const box of document.querySelectorAll(".bar .ticks")) new ResizeObserver(() => placeTicks(box)).observe(box);
  document.documentElement.dataset.drawn = "true";
}
start();
})();
