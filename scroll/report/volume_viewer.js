// Three cuts through a cube that meet in one place: the CT, and over it sheets by colour, the label and the errors.

const AXES = ["z", "y", "x"], OTHERS = { z: ["y", "x"], y: ["z", "x"], x: ["z", "y"] };
const LABEL_SHIFT = 4, COLOUR_MASK = 15, SURFACE = 1, UNKNOWN = 2;

class VolumeViewer {
  constructor(root, names, views, colours) {
    this.root = root;
    this.views = views;
    this.colours = colours;
    this.loaded = new Map();
    this.draw = onceAFrame(() => this.paint());
    for (const name of ["piece", "sheets", "label", "errors", "opacity", "zoom"]) this[name] = byRole(root, name);
    this.sliders = Object.fromEntries(AXES.map((axis) => [axis, byRole(root, axis)]));
    this.canvases = Object.fromEntries(AXES.map((axis) => [axis, root.querySelector(`canvas[data-axis=${axis}]`)]));
    fillSelect(this.piece, names);
    this.listen();
    this.open(this.piece.value);
    new ResizeObserver(this.draw).observe(root);
  }

  listen() {
    this.piece.onchange = () => this.open(this.piece.value);
    for (const axis of AXES) {
      this.sliders[axis].oninput = () => { this.place[axis] = Number(this.sliders[axis].value); this.draw(); };
      const frame = this.canvases[axis].parentElement;
      const follow = (event) => { if (event.buttons) this.onClick(axis, event); };
      frame.onpointerdown = follow;
      frame.onpointermove = follow;
      frame.onkeydown = (event) => this.onKey(axis, event);
    }
    for (const input of [this.sheets, this.label, this.errors]) input.onchange = this.draw;
    for (const input of [this.opacity, this.zoom]) input.oninput = this.draw;
  }

  open(piece) {
    this.piece.value = piece;
    this.view = this.views[piece];
    this.size = Object.fromEntries(AXES.map((axis, i) => [axis, this.view.size_zyx[i]]));
    this.place = Object.fromEntries(AXES.map((axis) => [axis, this.size[axis] >> 1]));
    this.marked = null;
    for (const axis of AXES) this.sliders[axis].max = this.size[axis] - 1;
    for (const list of document.querySelectorAll(".atlas")) list.closest("[data-piece]").hidden = list.closest("[data-piece]").dataset.piece !== piece;
    if (!this.loaded.has(piece)) this.loaded.set(piece, this.load(this.view));
    this.voxels = null;
    this.root.dataset.ready = "";
    this.problem = "";
    this.loaded.get(piece).catch((error) => { this.problem = `This browser cannot show the cube: ${error.message}`; }).then((voxels) => {
      if (this.piece.value !== piece) return;
      this.voxels = voxels;
      this.root.dataset.ready = piece;
      this.draw();
    });
  }

  /** The bytes of the CT, from pictures of slabs, and of sheets and label, packed. */
  async load(view) {
    const [depth, height, width] = view.size_zyx, ct = new Uint8Array(depth * height * width);
    for (const [number, base64] of view.slabs.entries()) {
      const image = new Image();
      image.src = `data:image/webp;base64,${base64}`;
      await image.decode();
      const canvas = Object.assign(document.createElement("canvas"), { width: image.naturalWidth, height: image.naturalHeight });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
      const start = number * view.slab * height * width;
      for (let i = 0; i < data.length / 4; i++) ct[start + i] = data[4 * i];
    }
    const packed = Uint8Array.from(atob(view.codes), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return { ct, codes: new Uint8Array(await new Response(stream).arrayBuffer()) };
  }

  /** Shows a voxel [z, y, x] of the whole cube in all three cuts, and marks it. */
  jump(piece, where) {
    if (piece !== this.piece.value) this.open(piece);
    AXES.forEach((axis, i) => { this.place[axis] = clamp(Math.floor(where[i] / this.view.shrink), 0, this.size[axis] - 1); });
    this.marked = { ...this.place };
    if (Number(this.zoom.value) < 2) this.zoom.value = 2;
    this.errors.checked = true;
    this.sheets.checked = false;  // their colours and those of the errors would mix
    this.draw();
  }

  onClick(axis, event) {
    const box = this.canvases[axis].getBoundingClientRect(), window_ = this.window(axis);
    const [down, right] = OTHERS[axis];
    const share = { [down]: (event.clientY - box.top) / box.height, [right]: (event.clientX - box.left) / box.width };
    for (const other of OTHERS[axis]) {
      const [first, count] = window_[other];
      this.place[other] = clamp(Math.floor(first + share[other] * count), 0, this.size[other] - 1);
    }
    this.draw();
  }

  onKey(axis, event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [down, right] = OTHERS[axis];
    const moves = {
      ArrowUp: [down, -1], ArrowDown: [down, 1], ArrowLeft: [right, -1], ArrowRight: [right, 1],
      PageUp: [axis, -1], PageDown: [axis, 1], "[": [axis, -1], "]": [axis, 1],
    };
    const zooms = { "+": 1, "=": 1, "-": -1 };
    if (moves[event.key]) {
      const [moved, by] = moves[event.key];
      this.place[moved] = clamp(this.place[moved] + by, 0, this.size[moved] - 1);
    } else if (zooms[event.key]) {
      this.zoom.value = Number(this.zoom.value) + zooms[event.key];
    } else return;
    event.preventDefault();
    this.draw();
  }

  /** First voxel and number of voxels that a cut shows along each of its axes: a square about the place. */
  window(axis) {
    const most = Math.max(...OTHERS[axis].map((other) => this.size[other])), count = most / Number(this.zoom.value);
    const found = {};
    for (const other of OTHERS[axis]) {
      const centre = Number(this.zoom.value) > 1 ? this.place[other] + 0.5 : this.size[other] / 2;
      const free = this.size[other] - count;
      found[other] = [free > 0 ? clamp(centre - count / 2, 0, free) : free / 2, count];
    }
    return found;
  }

  paint() {
    for (const axis of AXES) {
      this.sliders[axis].value = this.place[axis];
      const whole = this.place[axis] * this.view.shrink;
      byRole(this.root, `${axis}-said`).textContent = `${whole} of ${this.view.full_size_zyx[AXES.indexOf(axis)] - 1}`;
      if (this.voxels) this.paintCut(axis);
    }
    byRole(this.root, "opacity-said").textContent = `${this.opacity.value} %`;
    byRole(this.root, "zoom-said").textContent = `${this.zoom.value} ×`;
    byRole(this.root, "size-said").textContent = this.problem ? this.problem : this.view.shrink > 1
      ? `Shown at 1/${this.view.shrink} of the scan's resolution, so that the page stays small.` : "Shown voxel by voxel.";
    tellLegend(this.root);
    this.root.dataset.place = AXES.map((axis) => this.place[axis]).join(",");
  }

  paintCut(axis) {
    const canvas = this.canvases[axis], ratio = fitCanvas(canvas), context = canvas.getContext("2d");
    const [down, right] = OTHERS[axis], window_ = this.window(axis);
    const picture = this.cut(axis, this.size[down], this.size[right]);
    context.fillStyle = "#0c0e10";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = false;
    const scale = canvas.width / window_[right][1];
    const at = (other, value) => (value - window_[other][0]) * scale;
    context.drawImage(picture, at(right, 0), at(down, 0), this.size[right] * scale, this.size[down] * scale);
    const x = at(right, this.place[right] + 0.5), y = at(down, this.place[down] + 0.5), gap = 12 * ratio;
    for (const [colour, width] of [["rgba(0,0,0,.6)", 3], ["#f0e442", 1]]) {
      context.strokeStyle = colour;
      context.lineWidth = width * ratio;
      context.beginPath();
      for (const [x1, y1, x2, y2] of [[0, y, x - gap, y], [x + gap, y, canvas.width, y], [x, 0, x, y - gap], [x, y + gap, x, canvas.height]]) {
        context.moveTo(x1, y1);
        context.lineTo(x2, y2);
      }
      context.stroke();
    }
    if (this.marked && this.marked[axis] === this.place[axis]) {
      this.ring(context, at(right, this.marked[right] + 0.5), at(down, this.marked[down] + 0.5), gap, ratio);
    }
  }

  ring(context, x, y, radius, ratio) {
    for (const [colour, width] of [["#000", 5], ["#fff", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width * ratio;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  /** One cut as a picture of one pixel a voxel. */
  cut(axis, height, width) {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d"), picture = context.createImageData(width, height), data = picture.data;
    const strides = { z: this.size.y * this.size.x, y: this.size.x, x: 1 }, [down, right] = OTHERS[axis];
    const start = this.place[axis] * strides[axis], mixes = this.mixes();
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const voxel = start + row * strides[down] + column * strides[right];
        const grey = this.voxels.ct[voxel], [kept, red, green, blue] = mixes[this.voxels.codes[voxel]];
        data.set([kept * grey + red, kept * grey + green, kept * grey + blue, 255], 4 * (row * width + column));
      }
    }
    context.putImageData(picture, 0, 0);
    return canvas;
  }

  /** For each code of sheet and label [share of the grey that stays, red, green, blue on top]. */
  mixes() {
    const opacity = Number(this.opacity.value) / 100;
    return Array.from({ length: 3 << LABEL_SHIFT }, (_, code) => {
      const sheet = code & COLOUR_MASK, label = code >> LABEL_SHIFT;
      let mix = [1, 0, 0, 0];
      const lay = (over, alpha) => { mix = mix.map((value, i) => (1 - alpha) * value + (i ? alpha * over[i - 1] : 0)); };
      if (this.sheets.checked && sheet) lay(this.colours.sheets[(sheet - 1) % this.colours.sheets.length], opacity);
      if (this.label.checked && label === SURFACE) lay(this.colours.label, 0.7);
      if (this.errors.checked && label !== UNKNOWN) {
        const kind = sheet ? (label === SURFACE ? "found" : "invented") : label === SURFACE ? "missed" : null;
        if (kind) lay(this.colours[kind], 0.85);
      }
      if ((this.errors.checked || this.label.checked) && label === UNKNOWN) lay(this.colours.unknown, 0.6);
      return mix;
    });
  }
}
