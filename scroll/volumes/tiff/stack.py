"""A folder of numbered TIFF layers, 00.tif onwards: the flattened stack of a fragment, or the slices of a scroll."""

import re
from collections import Counter
from pathlib import Path

from scroll.errors import InputError
from scroll.runtime.links import refuse_dead_link
from scroll.runtime.reading import reads
from scroll.volumes.tiff.pages import TiffFilePages, TiffPages
from scroll.volumes.volume import Volume
from scroll.volumes.voxel_size import recorded_voxel_um

UNDERSTANDS = "a folder of layers 00.tif, 01.tif, ... (or a folder that holds surface_volume/, layers/ or subvolume/)"
STACK_NAMES = ("surface_volume", "layers", "subvolume")
ENDINGS = (".tif", ".tiff")
BESIDE = re.compile(r"(^|_)(mask|(inklabels|supervision_mask|validation_mask|proposed_mask)(_v\d+)?)$", re.IGNORECASE)
NUMBER = re.compile(r"\d{1,9}", re.ASCII)
LOSSY = (".jpg", ".jpeg", ".jp2", ".j2k", ".jxl", ".webp")
OTHER_PICTURES = (*LOSSY, ".png", ".bmp")


def recognises(path: Path) -> bool:
    """Whether `path` is a folder of numbered layers, or holds one under a usual name."""
    if not path.is_dir():
        return False
    if path.name in STACK_NAMES or _inner_stacks(path) or any(file.stem.isdigit() for file in _tiffs(path)):
        return True
    return bool(_other_layers(path)) and not any(entry.is_dir() for entry in path.iterdir())


@reads("a folder of whole TIFF layers")
def open(path: Path, voxel_um: float | None = None) -> Volume:
    """Open a stack of layers as a lazy (Z, Y, X) volume, layer 00 at z = 0; every header is checked, no pixel is read.

    Raises:
        InputError: a layer is missing, doubled, not a number, cut off, or unlike the others.
    """
    folder = _stack_folder(path)
    files = _layer_files(folder)
    headers, is_raw = {}, True
    for file in files:
        tiff = TiffFilePages(file)
        if tiff.count != 1:
            raise InputError(
                f"{file}: holds {tiff.count} pages; expected one layer a file: split it, or open it as a cube"
            )
        headers[file] = (tiff.page_shape, tiff.dtype)
        is_raw &= tiff.is_raw
    (shape, dtype), _ = Counter(headers.values()).most_common(1)[0]
    for file, found in headers.items():
        if found != (shape, dtype):
            size, expected = (f"{yx[0]}x{yx[1]} {kind}" for yx, kind in (found, (shape, dtype)))
            raise InputError(f"{file}: is {size}; expected {expected} like the other layers: export this layer again")
    if voxel_um is None:
        owner = folder.parent if folder.name in STACK_NAMES else folder
        voxel_um = recorded_voxel_um((folder, owner), owner.name)
    return Volume(TiffPages(files, (len(files), *shape), dtype, is_raw), folder, voxel_um)


def _stack_folder(path: Path) -> Path:
    inner = [] if path.name in STACK_NAMES else _inner_stacks(path)
    if len(inner) > 1:
        found = ", ".join(folder.name + "/" for folder in inner)
        raise InputError(f"{path}: holds {found}; expected one stack: point at the one that you mean")
    return inner[0] if inner else path


def _inner_stacks(path: Path) -> list[Path]:
    return [path / name for name in STACK_NAMES if refuse_dead_link(path / name).is_dir()]


def _tiffs(folder: Path) -> list[Path]:
    # a name with a dot in front is no layer: macOS leaves ._00.tif behind on foreign disks
    return [file for file in folder.iterdir() if file.suffix.lower() in ENDINGS and not file.name.startswith(".")]


def _other_layers(folder: Path) -> list[Path]:
    """Numbered pictures, from 0 on, of a format that is not read as layers; two of them at least."""
    found = [file for file in folder.iterdir() if file.suffix.lower() in OTHER_PICTURES and NUMBER.fullmatch(file.stem)]
    return sorted(found) if len(found) > 1 else []


def _layer_files(folder: Path) -> list[Path]:
    """The layers by number, which must run from 0 without gap, double, stranger, or one in another format."""
    numbered: dict[int, Path] = {}
    for file in sorted(_tiffs(folder)):
        refuse_dead_link(file)
        if BESIDE.search(file.stem):
            continue  # read as what it is called
        if not (file.stem.isascii() and file.stem.isdigit()):
            raise InputError(
                f"{file}: not a layer; expected only numbered files such as 00.tif in {folder}: move it elsewhere"
            )
        twin = numbered.setdefault(int(file.stem), file)
        if twin != file:
            raise InputError(
                f"{file}: layer {int(file.stem)} is also {twin.name}; expected it once: remove the wrong one"
            )
    strange = [file for file in _other_layers(folder) if int(file.stem) not in numbered]
    if strange:
        kind, lossy = strange[0].suffix, strange[0].suffix.lower() in LOSSY
        raise InputError(
            f"{folder}: {len(strange)} layers are {kind} pictures, such as {strange[0].name}; expected TIFF"
            f"{', for JPEG changes grey values: export them from the source' if lossy else ': convert them to .tif'}"
        )
    if not numbered:
        raise InputError(f"{folder}: no .tif layer in it; expected 00.tif, 01.tif, ...: copy the layers there")
    last = max(numbered)
    missing = [number for number in range(last) if number not in numbered]
    if missing:
        digits = len(numbered[last].stem)
        names = ", ".join(f"{number:0{digits}d}{numbered[last].suffix}" for number in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        mend = "copy those missing, or remove the extra"
        raise InputError(f"{folder}: {names}{more} missing; expected every layer from 0 to {last}: {mend}")
    return [numbered[number] for number in range(last + 1)]
