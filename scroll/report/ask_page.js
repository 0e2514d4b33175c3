// One patch at a time, marked by keys. Marks and clocks stay in the browser's storage, where it has one, until they are saved as a file.

const held = JSON.parse(document.getElementById("asked").textContent);
const root = document.getElementById("viewer");
const part = (name) => byRole(root, name);
const KEY = `label-round-${held.key}`;
const LONGEST_MS = 10000;  // between two ticks of a second: longer only where the machine slept
const webp = (base64) => `data:image/webp;base64,${base64}`;
const count = held.patches.length;

/** Which patch is shown, marks by its place, seconds of each, and the places in the order in which they were marked. */
const state = { at: 0, marks: {}, seconds: Array(count).fill(0), order: [] };
let depth = 0;
let since = null;  // when the clock was last looked at, in ms; null: it stands

function recall() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) || "null");
    if (kept && kept.seconds.length === count && kept.seconds.every(Number.isFinite) && kept.marks && Array.isArray(kept.order))
      Object.assign(state, kept);
  } catch { part("storage").hidden = false; }
}

function keep() {
  try { localStorage.setItem(KEY, JSON.stringify(state)); } catch { part("storage").hidden = false; }
}

/** The clock runs while a patch is shown that nobody has marked yet, and the page can be seen. */
function tick() {
  const now = performance.now();
  if (since !== null) state.seconds[state.at] += Math.min(now - since, LONGEST_MS) / 1000;
  since = document.hidden || state.marks[state.at] ? null : now;
}

/** A time that a person reads: 1 second, 40 seconds, 12 minutes. */
function words(seconds) {
  const [number, unit] = seconds < 90 ? [Math.round(seconds), "second"] : [Math.round(seconds / 60), "minute"];
  return `${number} ${unit}${number === 1 ? "" : "s"}`;
}

function progress() {
  const kinds = Object.values(state.marks);
  const [done, skipped] = ["done", "skip"].map((kind) => kinds.filter((one) => one === kind).length);
  const taken = state.seconds.filter((_, place) => state.marks[place] === "done");
  const mean = held.seconds_each ?? (taken.length ? taken.reduce((a, b) => a + b) / taken.length : null);
  const left = count - done - skipped;
  const time = mean === null ? "nobody has timed one yet"
    : `${left ? `about ${words(left * mean)}, ` : ""}at ${words(mean)} each ${held.seconds_each === null ? "so far" : "last time"}`;
  return `${done} of ${count} done, ${skipped} skipped, ${left} left: ${time}.`;
}

function facts(patch, sheet) {
  const [height, width] = sheet.size_yx.map((length, axis) => Math.min(patch.edge_px, length - [patch.y, patch.x][axis]));
  const mm = (px) => (px * sheet.pixel_um / 1000).toFixed(2);
  return [
    ["Sheet", patch.sheet],
    ["Upper left corner", `x ${patch.x}, y ${patch.y} pixels`],
    ["Size", `${width} x ${height} pixels, ${mm(width)} x ${mm(height)} mm`],
    ["From the sheet's corner", `${mm(patch.x)} mm right, ${mm(patch.y)} mm down`],
    ["Worth", `${patch.nats.toPrecision(3)} nats`],
    ["Shown for", words(state.seconds[state.at])],
  ];
}

function fill(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([name, value]) => {
    const [term, said] = [document.createElement("dt"), document.createElement("dd")];
    [term.textContent, said.textContent] = [name, value];
    return [term, said];
  }));
}

function picture(source, alt) {
  const image = new Image();
  [image.src, image.alt] = [webp(source), alt];
  return image;
}

function mapFigures(patch, name) {
  return patch.maps.map(([map, source]) => {
    const [figure, caption] = [document.createElement("figure"), document.createElement("figcaption")];
    caption.textContent = map;
    figure.append(picture(source, `${name}: ${map}`), caption);
    return figure;
  });
}

/** What changes with the time and the marks. */
function tell() {
  const patch = held.patches[state.at];
  const said = progress();
  if (part("progress").textContent !== said) part("progress").textContent = said;  // a reader says it again each time
  fill(part("facts"), facts(patch, held.sheets[patch.sheet]));
  [...part("list").children].forEach((line, place) => {
    const button = line.firstElementChild;
    button.setAttribute("aria-current", place === state.at);
    button.lastElementChild.textContent = { done: "✓ done", skip: "– skipped" }[state.marks[place]] || "open";
  });
}

function showDepth(wanted) {
  const patch = held.patches[state.at];
  depth = clamp(wanted, 0, patch.ct.length - 1);
  part("ct").src = webp(patch.ct[depth]);
  part("ct").alt = `Patch ${state.at + 1} of sheet ${patch.sheet}: CT, layer ${patch.layers[depth]}`;
  part("layer").textContent = `layer ${patch.layers[depth]} (${depth + 1} of ${patch.ct.length})`;
  part("depth").max = patch.ct.length - 1;
  part("depth").value = depth;
  root.dataset.depth = depth;
}

function show(place) {
  tick();
  state.at = clamp(place, 0, count - 1);
  since = null;
  tick();
  const patch = held.patches[state.at], sheet = held.sheets[patch.sheet], name = `Patch ${state.at + 1} of sheet ${patch.sheet}`;
  part("title").textContent = `Patch ${state.at + 1} of ${count}: sheet ${patch.sheet}`;
  part("maps").replaceChildren(...mapFigures(patch, name));
  part("sheet").src = webp(sheet.thumbnail);
  const [height, width] = sheet.size_yx, percent = (px, of) => `${100 * px / of}%`;
  Object.assign(part("frame").style, {
    left: percent(patch.x, width), top: percent(patch.y, height),
    width: percent(Math.min(patch.edge_px, width - patch.x), width), height: percent(Math.min(patch.edge_px, height - patch.y), height),
  });
  showDepth(patch.ct.length >> 1);
  root.dataset.at = state.at;
  tell();
  keep();
}

function mark(kind) {
  tick();
  const at = state.at;
  state.marks[at] = kind;
  state.order = [...state.order.filter((place) => place !== at), at];
  const ahead = [...Array(count).keys()].map((step) => (at + 1 + step) % count).find((place) => !state.marks[place]);
  show(ahead ?? at);
}

function undo() {
  const last = state.order.pop();
  if (last === undefined) return;
  delete state.marks[last];
  show(last);
}

function saveMarks() {
  tick();
  const marks = held.patches.map(({ sheet, y, x, edge_px }, place) => (
    { sheet, y, x, edge_px, mark: state.marks[place], seconds: Math.round(state.seconds[place] * 10) / 10 }
  )).filter((one) => one.mark);
  const text = JSON.stringify({ version: 1, round: held.round, marks }, null, 2);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${text}\n`], { type: "application/json" }));
  link.download = "marks.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const ACTIONS = {
  done: () => mark("done"), skip: () => mark("skip"), undo, save: saveMarks,
  next: () => show(state.at + 1), previous: () => show(state.at - 1),
  up: () => showDepth(depth - 1), down: () => showDepth(depth + 1),
};
const KEYS = {
  d: "done", s: "skip", u: "undo", n: "next", p: "previous", arrowright: "next", arrowleft: "previous", arrowup: "up", arrowdown: "down",
  "[": "up", "]": "down",
};

function press(event) {
  const action = KEYS[event.key.toLowerCase()];
  if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key.startsWith("Arrow") && event.target.matches("input")) return;  // the slider's own
  event.preventDefault();
  if (event.repeat && ["done", "skip", "undo"].includes(action)) return;  // a key held down marks one patch
  ACTIONS[action]();
}

function start() {
  recall();
  part("list").append(...held.patches.map((patch, place) => {
    const [line, button] = [document.createElement("li"), document.createElement("button")];
    const [name, said] = [document.createElement("span"), document.createElement("span")];
    name.textContent = `${place + 1}: ${patch.sheet}`;
    button.type = "button";
    button.append(picture(patch.ct[patch.ct.length >> 1], `Patch ${place + 1} of sheet ${patch.sheet}`), name, said);
    button.onclick = () => { show(place); part("title").scrollIntoView({ block: "nearest" }); };
    line.append(button);
    return line;
  }));
  for (const button of root.querySelectorAll("[data-do]")) button.onclick = ACTIONS[button.dataset.do];
  part("depth").oninput = () => showDepth(Number(part("depth").value));
  document.addEventListener("keydown", press);
  document.addEventListener("visibilitychange", () => { tick(); keep(); });
  window.addEventListener("pagehide", () => { tick(); keep(); });
  setInterval(() => { tick(); tell(); keep(); }, 1000);
  show(state.at);
  root.dataset.ready = "ask";
}
start();
