// Deep zoom into a flattened sheet: layers of the CT, and over them the probability, the label and the errors.

const PAN_PX = 80, ZOOM_STEP = 1.35, MOST_ZOOM = 24;

class FlatViewer {
  constructor(root, names, views) {
    this.root = root;
    this.views = views;
    this.draw = onceAFrame(() => this.paint());
    this.pictures = new Pictures(this.draw);
    this.stage = root.querySelector(".stage");
    this.canvas = root.querySelector("canvas");
    this.marked = null;
    this.pointers = new Map();
    for (const name of ["piece", "layer", "prediction", "opacity", "label", "errors"]) this[name] = byRole(root, name);
    fillSelect(this.piece, names);
    this.listen();
    this.open(this.piece.value);
    new ResizeObserver(() => { if (this.isWhole) this.showAll(); else this.draw(); }).observe(this.stage);
  }

  get layers() { return this.view.pyramids.filter((one) => one.role === "ct"); }
  pyramid(role, name) { return this.view.pyramids.find((one) => one.role === role && (!name || one.name === name)); }

  open(piece) {
    this.piece.value = piece;
    this.view = this.views[piece];
    this.marked = null;
    const chosen = this.prediction.value;
    this.prediction.replaceChildren();
    const names = this.view.pyramids.filter((one) => one.role === "prediction").map((one) => one.name);
    for (const name of names) this.prediction.append(new Option(name, name));
    if (names.includes(chosen)) this.prediction.value = chosen;
    this.layer.max = this.layers.length - 1;
    const depths = this.layers.map((one) => Math.abs(one.depth_um));
    this.layer.value = depths.indexOf(Math.min(...depths));
    this.showAll();
  }

  listen() {
    this.piece.onchange = () => this.open(this.piece.value);
    for (const input of [this.layer, this.opacity]) input.oninput = this.draw;
    for (const input of [this.prediction, this.label, this.errors]) input.onchange = this.draw;
    byRole(this.root, "in").onclick = () => this.zoomBy(ZOOM_STEP);
    byRole(this.root, "out").onclick = () => this.zoomBy(1 / ZOOM_STEP);
    byRole(this.root, "all").onclick = () => this.showAll();
    this.stage.onkeydown = (event) => this.onKey(event);
    this.stage.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    this.stage.onpointerdown = (event) => {
      if (event.target.closest("button")) return;
      this.stage.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    };
    this.stage.onpointermove = (event) => this.onMove(event);
    this.stage.onpointerup = this.stage.onpointercancel = (event) => this.pointers.delete(event.pointerId);
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = {
      ArrowLeft: () => this.pan(PAN_PX, 0), ArrowRight: () => this.pan(-PAN_PX, 0),
      ArrowUp: () => this.pan(0, PAN_PX), ArrowDown: () => this.pan(0, -PAN_PX),
      "+": () => this.zoomBy(ZOOM_STEP), "=": () => this.zoomBy(ZOOM_STEP), "-": () => this.zoomBy(1 / ZOOM_STEP),
      0: () => this.showAll(), "[": () => this.step(-1), "]": () => this.step(1), PageUp: () => this.step(-1), PageDown: () => this.step(1),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  }

  step(by) { this.layer.value = Number(this.layer.value) + by; this.draw(); }

  onWheel(event) {
    // a page that one only scrolls past must not stop here: the wheel zooms once the view was clicked, or with Ctrl
    if (!this.stage.contains(document.activeElement) && !event.ctrlKey) return;
    event.preventDefault();
    const box = this.stage.getBoundingClientRect();
    this.zoomBy(2 ** (-event.deltaY / 300), [event.clientX - box.left, event.clientY - box.top]);
  }

  onMove(event) {
    if (!this.pointers.has(event.pointerId)) return;
    const before = [...this.pointers.values()];
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    const after = [...this.pointers.values()];
    const middle = (points) => [0, 1].map((i) => points.reduce((sum, point) => sum + point[i], 0) / points.length);
    const [x, y] = middle(after), [oldX, oldY] = middle(before);
    this.pan(x - oldX, y - oldY);
    if (after.length === 2) {
      const apart = (points) => Math.hypot(points[0][0] - points[1][0], points[0][1] - points[1][1]);
      const box = this.stage.getBoundingClientRect();
      this.zoomBy(apart(after) / Math.max(1, apart(before)), [x - box.left, y - box.top]);
    }
  }

  /** Of the whole sheet in the stage. */
  get leastZoom() {
    const [height, width] = this.view.size_yx;
    return Math.min(this.stage.clientWidth / width, this.stage.clientHeight / height);
  }

  showAll() {
    this.isWhole = true;
    this.zoom = this.leastZoom;
    this.centre = this.view.size_yx.map((n) => n / 2);
    this.draw();
  }

  /** Zooms about a place of the stage, which stays where it is. */
  zoomBy(times, place = [this.stage.clientWidth / 2, this.stage.clientHeight / 2]) {
    const zoom = clamp(this.zoom * times, this.leastZoom / 2, MOST_ZOOM);
    const off = [place[1] - this.stage.clientHeight / 2, place[0] - this.stage.clientWidth / 2];
    this.centre = this.centre.map((c, i) => c + off[i] / this.zoom - off[i] / zoom);
    this.zoom = zoom;
    this.moved();
  }

  pan(right, down) {
    this.centre = [this.centre[0] - down / this.zoom, this.centre[1] - right / this.zoom];
    this.moved();
  }

  moved() {
    this.isWhole = false;
    this.centre = this.centre.map((c, i) => clamp(c, 0, this.view.size_yx[i]));
    this.draw();
  }

  /** Shows a box of the sheet, [z, y, x] its corner and its size in pixels of the sheet, and marks it; in the layer of `where`. */
  jump(piece, where, corner, size) {
    this.open(piece);
    const shrink = this.view.shrink;
    const [height, width] = [size[1] / shrink, size[2] / shrink];
    this.centre = [(corner[1] + size[1] / 2) / shrink, (corner[2] + size[2] / 2) / shrink];
    this.marked = { centre: [...this.centre], size: [height, width] };
    this.zoom = clamp(0.6 * Math.min(this.stage.clientHeight / height, this.stage.clientWidth / width), 0.01, MOST_ZOOM);
    const apart = this.layers.map((one) => Math.abs(Number(one.name.split(" ")[1]) - where[0]));
    this.layer.value = apart.indexOf(Math.min(...apart));
    this.errors.checked = true;
    this.moved();
  }

  paint() {
    const ratio = fitCanvas(this.canvas), context = this.canvas.getContext("2d");
    context.fillStyle = "#0c0e10";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.scale = this.zoom * ratio;  // pixels of the screen to a shown one
    this.corner = [
      this.centre[0] - this.canvas.height / 2 / this.scale, this.centre[1] - this.canvas.width / 2 / this.scale,
    ];
    context.imageSmoothingEnabled = this.scale < 4;
    const layer = this.layers[this.layer.value];
    this.paintPyramid(context, layer, 1);
    if (this.errors.checked) this.veil(context);
    const opacity = Number(this.opacity.value) / 100;
    if (opacity > 0) this.paintPyramid(context, this.pyramid("prediction", this.prediction.value), opacity);
    if (this.errors.checked) this.paintPyramid(context, this.pyramid("errors"), 0.9);
    if (this.label.checked) this.paintPyramid(context, this.pyramid("label"), 1);
    if (this.marked) this.paintMark(context, ratio);
    this.tell(layer);
  }

  /** Darkens the CT: white errors would be lost on it. */
  veil(context) {
    context.fillStyle = "rgba(12,14,16,.45)";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  paintPyramid(context, pyramid, alpha) {
    if (!pyramid) return;
    const last = pyramid.finest + pyramid.levels.length - 1;
    const wanted = clamp(Math.floor(-Math.log2(this.scale) + 0.25), pyramid.finest, last);
    const tiles = this.visible(pyramid, wanted);
    const isThere = tiles.every((tile) => tile.image);
    context.globalAlpha = alpha;
    if (!isThere || !tiles.length) {
      const base = this.visible(pyramid, last);
      for (const tile of base) if (tile.image) this.paintTile(context, tile);
    }
    if (isThere || pyramid.role === "ct") for (const tile of tiles) if (tile.image) this.paintTile(context, tile);
    context.globalAlpha = 1;
  }

  visible(pyramid, level) {
    const size = this.view.tile_px * 2 ** level, [height, width] = this.view.size_yx;
    const columns = Math.ceil(width / size), rows = Math.ceil(height / size), found = [];
    const end = [this.corner[0] + this.canvas.height / this.scale, this.corner[1] + this.canvas.width / this.scale];
    const range = (axis, count) => [
      clamp(Math.floor(this.corner[axis] / size), 0, count), clamp(Math.ceil(end[axis] / size), 0, count),
    ];
    const [top, bottom] = range(0, rows), [left, right] = range(1, columns);
    for (let row = top; row < bottom; row++) {
      for (let column = left; column < right; column++) {
        const index = row * columns + column, base64 = pyramid.levels[level - pyramid.finest][index];
        const key = [this.piece.value, pyramid.role, pyramid.name, level, index].join("/");
        found.push({ image: this.pictures.get(key, base64), y: row * size, x: column * size, times: 2 ** level });
      }
    }
    return found;
  }

  paintTile(context, tile) {
    const at = (value, axis) => Math.round((value - this.corner[axis]) * this.scale);  // whole pixels: no seams
    const x = at(tile.x, 1), y = at(tile.y, 0);
    const right = at(tile.x + tile.image.naturalWidth * tile.times, 1), bottom = at(tile.y + tile.image.naturalHeight * tile.times, 0);
    context.drawImage(tile.image, x, y, right - x, bottom - y);
  }

  paintMark(context, ratio) {
    const { centre, size } = this.marked;
    const box = [1, 0].map((axis) => (centre[axis] - size[axis] / 2 - this.corner[axis]) * this.scale);
    for (const [colour, width] of [["#000", 5], ["#fff", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width * ratio;
      context.strokeRect(...box, size[1] * this.scale, size[0] * this.scale);
    }
  }

  tell(layer) {
    const bar = scaleBar(this.view.pixel_um / this.zoom, 0.5 * this.stage.clientWidth);
    this.root.querySelector(".scalebar i").style.width = `${bar.px}px`;
    this.root.querySelector(".scalebar span").textContent = bar.text;
    const depth = Math.round(layer.depth_um);
    const said = depth === 0 ? "at the centre" : `${Math.abs(depth)} µm ${depth < 0 ? "before" : "behind"} the centre`;
    const short = depth === 0 ? "centre" : `${depth < 0 ? "−" : "+"}${Math.abs(depth)} µm`;
    byRole(this.root, "layer-said").textContent = `${layer.name.split(" ")[1]} of ${this.view.depth - 1}, ${short}`;
    this.layer.setAttribute("aria-valuetext", `${layer.name}, ${said}`);
    byRole(this.root, "opacity-said").textContent = `${this.opacity.value} %`;
    const um = this.view.pixel_um;
    byRole(this.root, "size-said").textContent = this.view.shrink > 1
      ? `Shown at 1/${this.view.shrink} of the scan's resolution (${um.toFixed(1)} µm a pixel), so that the page stays small.`
      : `Shown at the scan's full resolution (${um.toFixed(2)} µm a pixel).`;
    tellLegend(this.root);
    this.root.dataset.ready = this.piece.value;
    this.root.dataset.zoom = this.zoom.toFixed(4);
    this.root.dataset.centre = this.centre.map((c) => c.toFixed(1)).join(",");
  }
}
