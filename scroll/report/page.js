// Starts the viewer with what the page holds, and leads there from the atlas and the patches.

function start() {
  const root = document.getElementById("viewer");
  if (!root) return;
  const held = JSON.parse(document.getElementById("views").textContent);
  const viewer = root.dataset.kind === "flat"
    ? new FlatViewer(root, held.names, held.views) : new VolumeViewer(root, held.names, held.views, held.colours);
  for (const button of document.querySelectorAll("button[data-where]")) {
    if (!held.views[button.dataset.piece]) { button.hidden = true; continue; }
    button.onclick = () => {
      for (const other of document.querySelectorAll("button[aria-current]")) other.removeAttribute("aria-current");
      button.setAttribute("aria-current", "true");
      const [where, corner, size] = ["where", "corner", "size"].map((name) => JSON.parse(button.dataset[name] || "null"));
      viewer.jump(button.dataset.piece, where, corner, size);
      root.querySelector(".stage, .cuts").scrollIntoView({ block: "nearest" });
    };
  }
}
start();
