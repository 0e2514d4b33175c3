"use strict";
// What both viewers share: controls by name, pictures decoded when first drawn, canvases as sharp as the screen.

const byRole = (root, name) => root.querySelector(`[data-role="${name}"]`);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const css = (rgb, alpha = 1) => `rgba(${rgb.join(",")},${alpha})`;

/** Calls `draw` once before the next frame, however often it is asked to. */
function onceAFrame(draw) {
  let isAsked = false;
  return () => {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => { isAsked = false; draw(); });
  };
}

/** Makes the canvas as many pixels as the screen shows of it; returns pixels of the screen to one of CSS. */
function fitCanvas(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  return ratio;
}

/** A picture out of base64, decoded when it is first asked for; `ready` is called when it can be drawn. */
class Pictures {
  constructor(ready) { this.ready = ready; this.known = new Map(); }

  get(key, base64) {
    let image = this.known.get(key);
    if (!image) {
      image = new Image();
      image.onload = this.ready;
      image.src = `data:image/webp;base64,${base64}`;
      this.known.set(key, image);
    }
    return image.complete && image.naturalWidth ? image : null;
  }
}

/** Fills a select with names, and hides its label where there is nothing to choose. */
function fillSelect(select, names) {
  for (const name of names) select.append(new Option(name, name));
  if (names.length < 2) select.closest("label").hidden = true;
}

/** A round length for a scale bar: 1 cm where it fits, else the longest of 1, 2, 5 times a power of ten below `most_px`. */
function scaleBar(um_a_px, most_px) {
  let length = 10000;
  if (length / um_a_px > most_px || length / um_a_px < 24) {
    const most_um = most_px * um_a_px;
    const power = 10 ** Math.floor(Math.log10(most_um));
    length = power * [5, 2, 1].find((times) => times * power <= most_um);
  }
  const [unit, size] = length >= 10000 ? ["cm", 10000] : length >= 1000 ? ["mm", 1000] : ["µm", 1];
  return { px: length / um_a_px, text: `${length / size} ${unit}` };
}

/** Of the legend only what is shown: sheets bear some of the colours of the errors. */
function tellLegend(root) {
  for (const line of root.querySelectorAll("[data-for]")) line.hidden = !byRole(root, line.dataset.for).checked;
}
