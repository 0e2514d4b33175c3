"""tifxyz, the surface folder of Volume Cartographer: x.tif, y.tif, z.tif, one pixel a vertex, and meta.json.

Source: `lasagna/tifxyz_format.md` in ScrollPrize/villa; its points are x, y, z, ours z, y, x.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError, MissingInputError
from scroll.runtime.files import read_json, write_json, written_aside
from scroll.runtime.links import refuse_dead_link
from scroll.runtime.reading import reads
from scroll.surfaces.surface import INVALID, Surface, normals_of
from scroll.volumes.flat_picture import read_image

UNDERSTANDS = "a tifxyz folder (x.tif, y.tif, z.tif, meta.json)"
AXES = "zyx"
LEAST_SCALE = 1e-4  # cells per voxel; a cell of more than 10,000 voxels is a slip of the pen
STRIP_ROWS = 256
TILE = 1024  # pixels a side of the tiles that are written
BBOX_TOLERANCE_VOX = 1.0
MASKS = ("mask.tif", "mask.tiff")  # in letters of either case
KEPT = 255  # in a mask
UNFINISHED, READY = (
    ".vc-save-rollback",
    ".ready",
)  # VC3D's: the files as they were before a save, and that these are all


def recognises(path: Path) -> bool:
    """Whether `path` is a folder that holds one of x.tif, y.tif, z.tif, or what an interrupted save of them left."""
    files = [path / f"{axis}.tif" for axis in AXES] if path.is_dir() else []
    return any(file.is_file() or file.is_symlink() for file in files) or (path / UNFINISHED / READY).exists()


@reads("a whole tifxyz folder")
def open(path: Path) -> Surface:
    """Read a tifxyz folder into memory; points are float32, normals those of the grid.

    A vertex is invalid where its z is 0 or less, where a coordinate is not finite, or where mask.tif says so: where
    channel 0 is below 255. A mask with several pixels a vertex keeps a vertex only if it keeps all of them.

    Raises:
        MissingInputError: a file is not there.
        InputError: a damaged file, files of different sizes, meta.json of another format, a scale that is none.

    Warns:
        UserWarning: the bbox in meta.json is not that of the points, or a save was interrupted: then the surface as it was
            before is read.
    """
    whole = _before_an_unfinished_save(path)
    meta = _meta(whole)
    cell_vox = _cell_vox(whole, meta.get("scale"))
    points = _points(whole)
    valid = np.isfinite(points).all(axis=-1) & (points[..., 0] > 0)
    _compare_bbox(whole, meta.get("bbox"), points[valid])
    valid &= _mask(whole, valid.shape)
    points[~valid] = INVALID
    return Surface(points, normals_of(points, valid), valid, cell_vox, path)


def _before_an_unfinished_save(path: Path) -> Path:
    """The folder itself, or the one in it with all files of the last whole state, from which VC3D would restore them."""
    kept = path / UNFINISHED
    if not (kept / READY).exists():  # a save that had not begun to replace files, or had replaced all of them
        return path
    warnings.warn(
        f"{path}: VC3D was interrupted while it saved, and its files are of two states; the surface before that save is read: "
        "open it in VC3D once, which restores it",
        stacklevel=3,
    )
    return kept


def _meta(path: Path) -> dict[str, object]:
    file = path / "meta.json"
    try:
        meta = read_json(file, "a tifxyz folder needs it for its scale: copy the folder again")
    except RecursionError:
        raise InputError(f"{file}: nested too deeply for a meta.json; copy the folder again") from None
    if not isinstance(meta, dict) or meta.get("format") != "tifxyz":
        found = f"format {meta.get('format')!r:.60}" if isinstance(meta, dict) else f"a {type(meta).__name__}"
        raise InputError(
            f'{file}: holds {found}; expected "format": "tifxyz": point at a tifxyz folder, or mend the file'
        )
    return meta


def _cell_vox(path: Path, scale: Any) -> tuple[float, float]:
    """Voxels along rows and columns, from cells per voxel along x and y."""
    file = path / "meta.json"
    what = "expected [sx, sy] in cells per voxel, for example [0.05, 0.05] for a vertex every 20 voxels"
    if not isinstance(scale, list) or len(scale) != 2 or not all(map(_is_number, scale)):
        raise InputError(f"{file}: scale is {scale!s:.80}; {what}: write it there")
    for density in scale:
        if density > 1:
            raise InputError(
                f"{file}: scale is {scale}; {what}: if {density:g} is the step in voxels, write {1 / density:g}"
            )
        if not density >= LEAST_SCALE:
            raise InputError(f"{file}: scale is {scale}, below {LEAST_SCALE:g}; {what}: mend it")
    return 1 / scale[1], 1 / scale[0]


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _points(path: Path) -> NDArray[np.float32]:
    """(H, W, 3) z, y, x as they are stored."""
    channels = {}
    for axis in AXES:
        file = refuse_dead_link(path / f"{axis}.tif")
        if not file.is_file():
            raise MissingInputError(
                f"{file}: not there; expected x.tif, y.tif and z.tif in {path}: copy the folder again"
            )
        channels[axis] = read_image(file)
    if len({channel.shape for channel in channels.values()}) > 1:
        sizes = ", ".join(f"{axis}.tif {'x'.join(map(str, channels[axis].shape))}" for axis in reversed(AXES))
        raise InputError(f"{path}: sizes differ ({sizes}); expected one size for all three: export the surface again")
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold is no place in a volume
        return np.stack([channels[axis] for axis in AXES], axis=-1, dtype=np.float32, casting="unsafe")


def _mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    files = [file for file in sorted(path.iterdir()) if file.name.lower() in MASKS]
    if not files:
        return np.ones(shape, bool)
    if len(files) > 1:
        raise InputError(
            f"{files[0]} and {files[1].name}: two masks; expected one: move away the one that is not meant"
        )
    file = refuse_dead_link(files[0])
    mask = read_image(file)
    times = [size // n for size, n in zip(mask.shape, shape, strict=True)]
    if any(size % n for size, n in zip(mask.shape, shape, strict=True)):
        found, grid = (" x ".join(map(str, size)) for size in (mask.shape, shape))
        raise InputError(
            f"{file}: is {found} for a grid of {grid}; expected that, or a whole multiple: export it again"
        )
    highest = mask.max()
    if 0 < highest < KEPT or mask.min() < 0:
        raise InputError(
            f"{file}: its highest value is {highest:g}, its lowest {mask.min():g}, so nothing is kept; expected 255 where valid: rescale it"
        )
    blocks = (mask >= KEPT).reshape(shape[0], times[0], shape[1], times[1])
    return np.asarray(blocks.all(axis=(1, 3)))


def _compare_bbox(path: Path, bbox: Any, found: NDArray[np.float32]) -> None:
    """Warn where meta.json tells another box, in x, y, z, than that of the valid points (n, 3) before any mask."""
    if bbox is None or not len(found):
        return
    box = [found.min(axis=0)[::-1], found.max(axis=0)[::-1]]
    try:
        off_vox = float(np.abs(np.asarray(bbox, np.float64) - box).max())
    except (TypeError, ValueError, OverflowError):
        off_vox = math.inf
    if not off_vox <= BBOX_TOLERANCE_VOX:
        real = [[round(float(value), 1) for value in corner] for corner in box]
        warnings.warn(
            f"{path}/meta.json: its bbox {bbox!s:.120} is not that of the points, {real} (x, y, z), off by {off_vox:g} "
            "voxels; the points are used: check that the files belong together",
            stacklevel=3,
        )


def write_tifxyz(
    surface: Surface, path: Path, uuid: str = "", channels: Mapping[str, NDArray[Any]] | None = None
) -> None:
    """Write a surface as a tifxyz folder, aside first; what stood there is replaced.

    Points are float32 in LZW tiles, -1 where invalid, and meta.json holds the scale, the bbox (x, y, z) and the area in
    square voxels. `uuid` is the folder's name if not given. `channels` are further (H, W) arrays, written as <name>.tif.
    Read and written strip by strip, whatever the size of the surface.

    Raises:
        InputError: cells below one voxel or above 10,000, which tifxyz cannot tell; a channel of another size or one
            with the name of a part of the format.

    Warns:
        UserWarning: valid points have z <= 0 (or more than float32 holds), which tifxyz takes for invalid.
    """
    channels = channels or {}
    _check_writable(surface, path, channels)
    with written_aside(path) as aside:
        aside.mkdir(parents=True)
        for axis, name in enumerate(AXES):
            _write_image(aside / f"{name}.tif", surface.shape, np.float32, partial(_cut, surface, axis))
        for name, values in channels.items():
            _write_image(aside / f"{name}.tif", surface.shape, values.dtype, partial(_box, values))
        write_json(aside / "meta.json", _described(surface, uuid or path.name))


def _check_writable(surface: Surface, path: Path, channels: Mapping[str, NDArray[Any]]) -> None:
    if not all(1 <= cell <= 1 / LEAST_SCALE for cell in surface.cell_vox):
        cells = " x ".join(f"{cell:g}" for cell in surface.cell_vox)
        raise InputError(
            f"{path}: a cell is {cells} voxels; expected 1 to {1 / LEAST_SCALE:g}, as a scale is at most 1: resample the surface"
        )
    for name, values in channels.items():
        if values.shape != surface.shape or name in {*AXES, "mask"}:
            raise InputError(
                f"{path}: channel {name!r} of shape {values.shape}; expected {surface.shape} and no name of the format's own: "
                "rename or resize it"
            )


def _cut(surface: Surface, axis: int, rows: slice, columns: slice) -> NDArray[np.float32]:
    points, valid = _stored(surface, rows, columns)
    return np.where(valid, points[..., axis], np.float32(INVALID))


def _box(values: NDArray[Any], rows: slice, columns: slice) -> NDArray[Any]:
    return values[rows, columns]


def _stored(surface: Surface, rows: slice, columns: slice) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Points as float32, and which of them the format can hold."""
    with np.errstate(over="ignore"):
        points = np.asarray(surface.points[rows, columns]).astype(np.float32)
    return points, np.asarray(surface.valid[rows, columns]) & np.isfinite(points).all(axis=-1) & (points[..., 0] > 0)


def _described(surface: Surface, uuid: str) -> dict[str, object]:
    """What meta.json says; the area is that of the triangles of all whole quads."""
    low, high, area_vox, lost = np.full(3, np.inf), np.full(3, -np.inf), 0.0, 0
    for row in range(0, surface.shape[0], STRIP_ROWS):
        rows = slice(row, min(row + STRIP_ROWS + 1, surface.shape[0]))  # one more, for the quads between strips
        points, usable = _stored(surface, rows, slice(None))
        lost += int((np.asarray(surface.valid[rows]) & ~usable)[:STRIP_ROWS].sum())
        area_vox += _area_vox(points.astype(np.float64), usable)
        if usable.any():
            low, high = np.minimum(low, points[usable].min(axis=0)), np.maximum(high, points[usable].max(axis=0))
    if lost:
        warnings.warn(
            f"{surface.path}: {lost} valid points have z <= 0 or beyond float32, which tifxyz takes for invalid; they are lost: "
            "move the volume's origin, or write .ppm or .obj",
            stacklevel=3,
        )
    meta = {"format": "tifxyz", "type": "seg", "uuid": uuid, "scale": [1 / cell for cell in reversed(surface.cell_vox)]}
    box = {"bbox": [low[::-1].tolist(), high[::-1].tolist()]} if np.isfinite(low).all() else {}
    return {**meta, **box, "area_vx2": area_vox}


def _area_vox(points: NDArray[np.float64], valid: NDArray[np.bool_]) -> float:
    """Square voxels of the quads whose four corners are valid, each as two triangles."""
    whole = valid[1:, 1:] & valid[1:, :-1] & valid[:-1, 1:] & valid[:-1, :-1]
    a, b, c, d = (part[whole] for part in (points[:-1, :-1], points[:-1, 1:], points[1:, :-1], points[1:, 1:]))
    return float(sum(np.linalg.norm(np.cross(q - p, r - p), axis=-1).sum() for p, q, r in ((a, b, c), (d, b, c))) / 2)


def _write_image(path: Path, shape: tuple[int, int], dtype: Any, cut: Callable[[slice, slice], NDArray[Any]]) -> None:
    """Write a (Y, X) picture as LZW tiles of at most 1024 pixels a side, each of them cut when its turn comes."""
    import tifffile

    tile = tuple(min(TILE, -(-n // 16) * 16) for n in shape)
    tifffile.imwrite(
        path, _tiles(shape, tile, dtype, cut), shape=shape, dtype=dtype, tile=tile,
        compression="lzw", photometric="minisblack", metadata=None, maxworkers=1,
    )  # fmt: skip


def _tiles(
    shape: tuple[int, int], tile: tuple[int, ...], dtype: Any, cut: Callable[[slice, slice], NDArray[Any]]
) -> Iterator[NDArray[Any]]:
    for top in range(0, shape[0], tile[0]):
        for left in range(0, shape[1], tile[1]):
            part = cut(slice(top, min(top + tile[0], shape[0])), slice(left, min(left + tile[1], shape[1])))
            whole = np.zeros(tile, dtype)
            whole[: part.shape[0], : part.shape[1]] = part
            yield whole
