"""Opens volumes, predictions and labels as layers of napari, over each other and in micrometres.

pip install -c constraints.txt -e '.[view]'
python scripts/napari_view.py volume.zarr runs/demo/predict/a/unet3d/prob.zarr --labels label.tif
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scroll.viewing.arguments import add_volumes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def main() -> None:
    """Open the viewer, until its window is closed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_volumes(parser)
    parser.add_argument("--picture", type=Path, help="also write a PNG of the view, and close it again")
    arguments = parser.parse_args()
    from scroll.errors import MissingInputError
    from scroll.runtime.output_folder import PICTURE, check_file
    from scroll.viewing.layers import look_at_all
    from scroll.viewing.napari_layers import napari_layers

    shown = look_at_all(arguments.volumes, arguments.labels, arguments.voxel_um)
    try:
        import napari
    except ImportError as error:
        raise MissingInputError(
            f"napari is not installed ({error}); run pip install -c constraints.txt -e '.[view]' in the project's folder"
        ) from None
    if arguments.picture is not None:
        check_file(arguments.picture, PICTURE)
    viewer = napari.Viewer(title="Scroll Ensemble")
    for layer in napari_layers(shown):
        (viewer.add_labels if layer.is_labels else viewer.add_image)(**layer.options)
    viewer.scale_bar.visible = True
    viewer.reset_view()
    if arguments.picture is not None:
        _save(viewer.screenshot(flash=False), arguments.picture)
        print(f"picture: {arguments.picture}")
        viewer.close()
        return
    napari.run()


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
