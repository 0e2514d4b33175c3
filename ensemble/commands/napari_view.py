"""Opens volumes, predictions and labels as layers of napari, over each other and in micrometres; or a label to paint on.

pip install -c constraints.txt -e '.[view]'
python scripts/napari_view.py volume.zarr runs/demo/predict/a/unet3d/prob.zarr --labels label.tif
python scripts/napari_view.py --paint paint/a
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scroll.viewing.arguments import add_volumes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from scroll.viewing.napari_layers import Layer


def main() -> None:
    """Open the viewer, until its window is closed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_volumes(parser)
    parser.add_argument("--picture", type=Path, help="also write a PNG of the view, and close it again")
    parser.add_argument(
        "--paint", type=Path, help="a folder that a round exported to paint in; Ctrl-S and closing save its label"
    )
    arguments = parser.parse_args()
    if arguments.paint is not None and (arguments.volumes or arguments.labels or arguments.picture):
        parser.error("--paint opens the layers of its folder; give no volumes, --labels or --picture with it")
    from scroll.errors import MissingInputError

    show = (_look if arguments.paint is None else _paint)(arguments)
    try:
        import napari
    except ImportError as error:
        raise MissingInputError(
            f"napari is not installed ({error}); run pip install -c constraints.txt -e '.[view]' in the project's folder"
        ) from None
    show(napari)


def _look(arguments: argparse.Namespace) -> "Callable[[Any], None]":
    """Read what is to be shown; what is returned shows it."""
    from scroll.runtime.output_folder import PICTURE, check_file
    from scroll.viewing.layers import look_at_all
    from scroll.viewing.napari_layers import napari_layers

    layers = look_at_all(arguments.volumes, arguments.labels, arguments.voxel_um)
    if arguments.picture is not None:
        check_file(arguments.picture, PICTURE)

    def show(napari: Any) -> None:
        viewer = _viewer(napari, "Scroll Ensemble", napari_layers(layers))
        if arguments.picture is None:
            napari.run()
            return
        _save(viewer.screenshot(flash=False), arguments.picture)
        print(f"picture: {arguments.picture}")
        viewer.close()

    return show


def _paint(arguments: argparse.Namespace) -> "Callable[[Any], None]":
    """The same of a label to paint on, which is saved when the window is closed."""
    from scroll.errors import InputError
    from scroll.rounds.napari_painting import WORDS, LabelOnDisk, paint_layers
    from scroll.rounds.to_paint import LABEL

    label = LabelOnDisk(arguments.paint)
    layers = paint_layers(arguments.paint, label.numbers())

    def show(napari: Any) -> None:
        from napari.utils import notifications

        viewer = _viewer(napari, f"Scroll Ensemble: {arguments.paint.name}, {WORDS}", layers)
        painted = viewer.layers[LABEL]
        viewer.layers.selection.active, painted.selected_label, painted.mode = painted, 1, "paint"
        for action in viewer.window.file_menu.actions():  # napari's own would ask which file to save the layer to
            if action.shortcut().toString() == "Ctrl+S":
                action.setShortcut("")

        def save(_: Any) -> None:
            try:
                notifications.show_info(f"saved: {label.save(painted.data)}")
            except InputError as error:
                notifications.show_error(str(error))

        viewer.bind_key("Control-S", save, overwrite=True)
        napari.run()
        print(f"saved: {label.save(painted.data)}")

    return show


def _viewer(napari: Any, title: str, layers: "Sequence[Layer]") -> Any:
    viewer = napari.Viewer(title=title)
    for layer in layers:
        (viewer.add_labels if layer.is_labels else viewer.add_image)(**layer.options)
    viewer.scale_bar.visible = True
    viewer.reset_view()
    return viewer


def _save(screenshot: "NDArray[np.uint8]", path: Path) -> None:
    """A PNG of (Y, X, 4), marked as ours."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from scroll.runtime.files import written_aside
    from scroll.runtime.output_folder import DRAWN_BY

    about = PngInfo()
    for name, text in DRAWN_BY.items():
        about.add_text(name, text)
    with written_aside(path) as aside:
        Image.fromarray(screenshot).save(aside, format="PNG", pnginfo=about)
