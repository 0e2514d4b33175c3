"""A Neuroglancer state: which layers, from which address, in which colours and at which scale; and the link that opens it."""

import json
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

from scroll.errors import InputError
from scroll.viewing.layers import ViewedLayer

VIEWER = "https://neuroglancer-demo.appspot.com"
METRES = 1e-6  # in a micrometre
GREY = "#uicontrol invlerp normalized\nvoid main() {\n  emitGrayscale(normalized());\n}\n"
ORANGE = """\
#uicontrol invlerp normalized
#uicontrol vec3 color color(default="#e69f00")
void main() {
  emitRGBA(vec4(color, normalized()));
}
"""


def state(layers: Sequence[ViewedLayer], address: str) -> dict[str, object]:
    """The state of a viewer for what a server at `address` serves (see `scroll.viewing.server`), in the order given.

    Lengths are in voxels of the first volume; the view begins in its middle.

    Raises:
        InputError: nothing to show, or two of the same name.
    """
    names = [one.name for one in layers]
    if not names or len({*names}) < len(names):
        raise InputError(f"viewer: the layers are {names}; expected at least one, each with a name of its own")
    first = layers[0]
    z_um, y_um, x_um = first.steps_um[0]
    at_z, at_y, at_x = first.first_um
    depth, height, width = first.levels[0].shape
    return {
        "dimensions": {"x": [x_um * METRES, "m"], "y": [y_um * METRES, "m"], "z": [z_um * METRES, "m"]},
        "position": [width / 2 + at_x / x_um, height / 2 + at_y / y_um, depth / 2 + at_z / z_um],
        "crossSectionScale": max(1.0, max(height, width) / 500),
        "layers": [_layer(one, f"zarr://{address}/{number}/") for number, one in enumerate(layers)],
        "layout": "4panel",
    }


def _layer(one: ViewedLayer, source: str) -> dict[str, object]:
    layer: dict[str, object] = {"name": one.name, "source": source}
    if one.kind == "labels":
        return layer | {"type": "segmentation", "segments": ["1"], "selectedAlpha": 0.5, "notSelectedAlpha": 0.25}
    controls = {"normalized": {"range": list(one.grey_range())}}
    if one.kind == "probability":
        return layer | {
            "type": "image",
            "shader": ORANGE,
            "shaderControls": controls,
            "opacity": 0.7,
            "blend": "default",
        }
    return layer | {"type": "image", "shader": GREY, "shaderControls": controls, "opacity": 1}


def origin_of(viewer: str) -> str:
    """What a browser says of where the page of this viewer comes from.

    >>> origin_of("https://neuroglancer-demo.appspot.com:443/#!"), origin_of("http://localhost:8000/v/")
    ('https://neuroglancer-demo.appspot.com', 'http://localhost:8000')

    Raises:
        InputError: it is no address, or one with a password, which would be printed.
    """
    try:
        parts = urlsplit(viewer)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or not host.isascii():
        raise InputError(
            f"--viewer {viewer}: expected the address of a Neuroglancer without a password, such as {VIEWER}"
        )
    shown_host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown_host}" + (
        "" if port in (None, {"http": 80, "https": 443}[parts.scheme]) else f":{port}"
    )


def link(content: dict[str, object], viewer: str = VIEWER) -> str:
    """The address that opens a viewer with this state."""
    return f"{viewer.rstrip('/')}/#!{quote(json.dumps(content, separators=(',', ':')), safe='')}"
