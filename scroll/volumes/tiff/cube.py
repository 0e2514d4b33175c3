"""One TIFF file whose pages are the z slices of a cube, raw or compressed."""

from pathlib import Path

from scroll.errors import InputError
from scroll.runtime.reading import reads
from scroll.volumes.tiff.pages import TiffFilePages, TiffPages
from scroll.volumes.tiff.spacing import stated_in_tiff
from scroll.volumes.volume import Volume
from scroll.volumes.voxel_size import settled_um

UNDERSTANDS = "a TIFF file with one page a slice"
ENDINGS = (".tif", ".tiff")


def recognises(path: Path) -> bool:
    """Whether `path` is a TIFF file by name."""
    return path.is_file() and path.suffix.lower() in ENDINGS


@reads("a whole TIFF")
def open(path: Path, voxel_um: float | None = None) -> Volume:
    """Open a TIFF of several pages as a lazy (Z, Y, X) volume; all headers are checked, no pixel is read.

    Raises:
        InputError: cut off, a single page, or pages that differ.
    """
    tiff = TiffFilePages(path)
    if tiff.count < 2:
        size = "x".join(map(str, tiff.page_shape))
        raise InputError(
            f"{path}: a single {size} image; expected one page a slice: point at a cube, or a folder of layers"
        )
    if voxel_um is None:
        voxel_um = settled_um(path, stated_in_tiff(path), path.name)
    height, width = tiff.page_shape
    pages = TiffPages([path], (tiff.count, height, width), tiff.dtype, tiff.is_raw, first=tiff)
    return Volume(pages, path, voxel_um)
