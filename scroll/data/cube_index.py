"""What has to be known of a cube before it is trained on, found out once and kept beside its working copies."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scroll.data.boxes import Size
from scroll.data.intensity import grey_scale_of
from scroll.data.labels import surface_label
from scroll.errors import InputError, MissingInputError
from scroll.runtime.bounded import plain_file
from scroll.runtime.files import written_aside
from scroll.runtime.reading import reading
from scroll.runtime.receipt import fingerprint, key_of
from scroll.volumes import npy
from scroll.volumes.tiff import cube as tiff_cube
from scroll.volumes.volume import Volume
from scroll.volumes.working_copy import is_as_written, working_copy

BLOCK = 16  # voxels; labels are counted over blocks of this edge, so that 800 cubes need 25 MB
SAMPLED_VOXELS = 500_000  # that the grey scale is measured on
LAYOUT = 1  # to be raised when what is kept changes
Counts = NDArray[np.uint16]


@dataclass(frozen=True)
class CubeIndex:
    """A cube's working copies and what was counted in them.

    `ct` and `label` are raw .npy files of (Z, Y, X) `shape`, of the type in the TIFF; there is no `label` for a test cube.
    `grey_scale` is the median and half the 16-84 % range of the CT, from a lattice of voxels. `known` and `surface`
    are voxels per block of 16^3, (ceil(Z / 16), ceil(Y / 16), ceil(X / 16)); empty without a label.
    """

    ct: Path
    label: Path | None
    shape: Size
    grey_scale: tuple[float, float]
    known: Counts
    surface: Counts


def cube_index(image: Path, label: Path | None, cache_dir: Path) -> CubeIndex:
    """The index of a cube, from `cache_dir` where it was made before; else both files are read, checked and copied.

    Raises:
        InputError: a file is no whole TIFF of several pages, the label has another shape or holds other values than 0, 1
            and 2, or the disk is full.
    """
    path = index_path(image, label, cache_dir)
    kept = _kept(path)
    if kept is not None:
        return kept
    made = _made(image, label, cache_dir)
    with written_aside(path) as aside, aside.open("wb") as file:  # by name numpy would add an ending
        np.savez(
            file, copies=[made.ct.name, made.label.name if made.label else ""], shape=made.shape, grey_scale=made.grey_scale,
            known=made.known, surface=made.surface,
        )  # fmt: skip
    return made


def index_path(image: Path, label: Path | None, cache_dir: Path) -> Path:
    """Where the index is kept, under a name made of the files' names and contents: a changed file is read again."""
    key = key_of([LAYOUT, BLOCK, [fingerprint(file) for file in (image, label) if file is not None]])
    path, before = (cache_dir / f"{image.stem}-{name}.npz" for name in (key, key.before))
    return before if before.exists() and not path.exists() else path


def _kept(path: Path) -> CubeIndex | None:
    """The index made before; None where there is none, or where it or a copy that it speaks of was cut off, changed or removed."""
    try:
        with reading(path, "an index of ours", "delete it"), np.load(plain_file(path), allow_pickle=False) as stored:
            ct, label = (path.with_name(str(name)) if name else None for name in stored["copies"])
            z, y, x = (int(n) for n in stored["shape"])
            middle, spread = (float(v) for v in stored["grey_scale"])
            index = CubeIndex(ct or path, label, (z, y, x), (middle, spread), stored["known"], stored["surface"])
        copies = [copy for copy in (ct, label) if copy is not None]
        is_whole = all(npy.mapped(copy).shape == index.shape for copy in copies)
        is_whole = is_whole and all(map(is_as_written, copies))
    except InputError:
        return None
    return index if is_whole else None


def _made(image: Path, label: Path | None, cache_dir: Path) -> CubeIndex:
    volume = tiff_cube.open(image)
    drawn = None if label is None else tiff_cube.open(label)
    if drawn is not None and drawn.shape != volume.shape:
        raise InputError(
            f"{label}: is {drawn.shape} (z, y, x) but {image} is {volume.shape}; label and cube must match voxel for voxel"
        )
    counts = (np.zeros((0, 0, 0), np.uint16),) * 2 if drawn is None else _counted(drawn, cache_dir)
    ct = _copy(volume, cache_dir)
    return CubeIndex(ct, None if drawn is None else _copy(drawn, cache_dir), volume.shape, _grey_scale(ct), *counts)


def _copy(volume: Volume, cache_dir: Path) -> Path:
    """Packed TIFF is hundreds of times slower than a map; the map is closed again, for 800 cubes are more than may be open."""
    return Path(str(working_copy(volume, cache_dir, (0, volume.shape[0]), is_shown=False).path))


def _counted(label: Volume, cache_dir: Path) -> tuple[Counts, Counts]:
    """Known and surface voxels per block; the label is checked on the way, a slab of blocks at a time."""
    mapped = npy.mapped(_copy(label, cache_dir))
    known, surface = [], []
    for z in range(0, label.shape[0], BLOCK):
        slab = surface_label(np.asarray(mapped[z : z + BLOCK]), str(label.path))
        known.append(_sums(~slab.ignore))
        surface.append(_sums(slab.target))
    return np.concatenate(known), np.concatenate(surface)


def _sums(slab: NDArray[np.bool_]) -> Counts:
    """True voxels per block of a slab of at most 16 layers; cut blocks count what is there."""
    sums = slab.sum(axis=0, dtype=np.uint16)[None]
    for axis in (1, 2):
        sums = np.add.reduceat(sums, np.arange(0, slab.shape[axis], BLOCK), axis=axis, dtype=np.uint16)
    return sums


def _grey_scale(ct: Path) -> tuple[float, float]:
    """Median and robust spread (half the 16-84 % range) of a cube's grey values, from a lattice of its voxels."""
    mapped = npy.mapped(ct)
    step = max(1, int((mapped.size / SAMPLED_VOXELS) ** (1 / 3)))
    return grey_scale_of(mapped[::step, ::step, ::step])


def cut_box(copy: Path, corner: Size, size: Size) -> NDArray[np.number]:
    """A box of a working copy, (Z, Y, X) of `size` or of what of it is inside.

    Raises:
        MissingInputError: the copy was removed or cut off while the run went on.
    """
    try:
        mapped = npy.mapped(copy)  # opened each time: 0.3 ms, and nothing stays open
    except InputError:
        raise MissingInputError(
            f"{copy}: this working copy is not there any more, or was cut off; run the same command again: it is made again"
        ) from None
    return np.array(mapped[tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))])
