"""The surface competition's file: a zip with one TIFF of 0 and 1 for each test cube; written, and looked at as a grader would.

Every mask is a file of its own first, so that a killed prediction goes on where it stopped. Pillow writes and reads them:
it needs no imagecodecs, which is hard to get where there is no internet, and it is what the competition's metric reads with.
"""

import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from ensemble.surface.mask_tiff import tiff_faults
from scroll.errors import InputError, MissingInputError
from scroll.runtime.bounded import most_tiff_bytes, read_entry
from scroll.runtime.file_record import NOTHING, Contents, tiff_with_record, tiff_without_record
from scroll.runtime.files import written_aside

Mask = npt.NDArray[np.bool_] | npt.NDArray[np.uint8]
Shapes = Mapping[str, tuple[int, int, int]]
WARNING = "warning: "  # begins what a grader accepts, though nobody wants it
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first time a zip can tell: the same masks give the same bytes
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


def write_mask_tif(path: Path, mask: Mask, record: Contents = NOTHING) -> None:
    """Write a (Z, Y, X) mask, bool or uint8 of 0 and 1, as a uint8 TIFF of one LZW page a layer, aside and renamed.

    `record` says in it what it was made from; it is taken out again where the mask is packed into a submission.

    Raises:
        InputError: the mask is not one.
    """
    content = mask_tiff_bytes(mask, str(path))
    content = tiff_with_record(content, record) if record else content
    with written_aside(path) as aside:
        aside.write_bytes(content)


def mask_tiff_bytes(mask: Mask, name: str) -> bytes:
    """The TIFF that `write_mask_tif` writes; `name` is for errors."""
    from PIL import Image

    if mask.ndim != 3 or not mask.size or mask.dtype not in (np.bool_, np.uint8):
        raise InputError(
            f"{name}: the mask is {mask.dtype} {mask.shape}, expected bool or uint8 (Z, Y, X); threshold it"
        )
    if mask.max() > 1:
        raise InputError(f"{name}: the mask holds {mask.max()}, expected 0 and 1 alone; threshold it")
    first, *others = (Image.fromarray(np.ascontiguousarray(layer, dtype=np.uint8)) for layer in mask)
    content = io.BytesIO()
    first.save(content, format="TIFF", compression="tiff_lzw", save_all=True, append_images=others)
    return content.getvalue()


def write_submission_zip(path: Path, masks: Path | Iterable[tuple[str, Mask]], ids: Collection[str]) -> Path:
    """Write `path` with exactly one <id>.tif, at the top level, for each of `ids`; aside and renamed.

    `masks` is a folder of what `write_mask_tif` wrote, packed in order of the ids (other files are left out), or pairs of
    id and (Z, Y, X) mask, packed as they come. The same masks in the same order give the same bytes.
    Memory: one mask.

    Raises:
        MissingInputError: an id has no mask.
        InputError: no id at all, an id that is not of `ids` or comes twice, or a mask that is none.
    """
    if not ids:
        raise InputError(f"{path}: no cube to submit; predict at least one")
    packed = set()
    contents = _files(masks, ids) if isinstance(masks, Path) else _encoded(masks)
    with written_aside(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as archive:
        for cube_id, content in contents:
            if cube_id in packed or cube_id not in ids:
                why = "came before" if cube_id in packed else f"is none of the {len(ids)} test cubes"
                raise InputError(f"{path}: the mask of '{cube_id}' {why}; expected one for each test cube")
            packed.add(cube_id)
            entry = zipfile.ZipInfo(f"{cube_id}.tif", LONG_AGO)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # a plain file, wherever it is written
            archive.writestr(entry, content)
        _refuse_missing(path, [cube_id for cube_id in ids if cube_id not in packed], len(ids))
    return path


def _files(folder: Path, ids: Collection[str]) -> Iterator[tuple[str, bytes]]:
    there = {cube_id: folder / f"{cube_id}.tif" for cube_id in sorted(ids)}
    _refuse_missing(folder, [cube_id for cube_id, file in there.items() if not file.is_file()], len(ids))
    for cube_id, file in there.items():
        yield cube_id, tiff_without_record(file.read_bytes())


def _encoded(masks: Iterable[tuple[str, Mask]]) -> Iterator[tuple[str, bytes]]:
    for cube_id, mask in masks:
        yield cube_id, mask_tiff_bytes(mask, f"{cube_id}.tif")


def _refuse_missing(path: Path, missing: list[str], total: int) -> None:
    if missing:
        raise MissingInputError(
            f"{path}: {len(missing)} of {total} test cubes have no mask, the first is '{missing[0]}'; predict them first"
        )


def shapes_of_test_cubes(root: Path) -> dict[str, tuple[int, int, int]]:
    """(Z, Y, X) of every cube of <root>/test.csv by id, from the TIFF headers in <root>/test_images; no voxel is read.

    Raises:
        MissingInputError: the list or every cube is not there.
        InputError: the list is not one, or a file is no whole TIFF of several pages.
    """
    from scroll.config.schema import DataSettings
    from scroll.data.cubes import find_cubes
    from scroll.volumes.tiff import cube as tiff_cube

    cubes = find_cubes(root, DataSettings(kind="cubes", root=root), part="test")
    return {cube.id: tiff_cube.open(cube.image).shape for cube in cubes}


def read_submission_zip(path: Path, shapes: Shapes) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Id and (Z, Y, X) bool mask of one cube after the other, in order of `shapes`, once the whole file has been checked.

    Raises:
        MissingInputError: no such file.
        InputError: it breaks the rules; the first fault, and how many more there are.
    """
    faults = [line for line in check_submission_zip(path, shapes) if not line.startswith(WARNING)]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(f"{path}: {faults[0]}{more}")
    return _masks(path, shapes)


def _masks(path: Path, shapes: Shapes) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    from PIL import Image, ImageSequence

    with zipfile.ZipFile(path) as archive:
        for cube_id in shapes:
            content = read_entry(archive, archive.getinfo(f"{cube_id}.tif"), most_tiff_bytes(shapes[cube_id]))
            with Image.open(io.BytesIO(content), formats=["TIFF"]) as image:
                yield cube_id, np.stack([np.asarray(page) > 0 for page in ImageSequence.Iterator(image)])


def check_submission_zip(path: Path, shapes: Shapes) -> list[str]:
    """Everything that a grader would stumble over, one line each with its entry; empty if the file is good.

    `shapes` holds id and (Z, Y, X) of every test cube. Lines that begin with `WARNING`, last, tell what is accepted but
    surely not meant, such as a mask without any surface. Memory: one TIFF as it is in the zip, and one of its pages.

    Raises:
        MissingInputError: no such file.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: not there; expected a submission.zip with <id>.tif of each test cube")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            lines = list(_name_faults([entry.filename for entry in entries], shapes))
            seen = set()
            for entry in entries:
                cube_id = _claimed(entry.filename, shapes)
                if cube_id is not None and entry.filename not in seen:  # one that is there twice is a fault as it is
                    seen.add(entry.filename)
                    lines += _entry_faults(archive, entry, shapes[cube_id])
    except UNREADABLE as error:
        with path.open("rb") as file:
            is_begun = file.read(4) == b"PK\x03\x04"
        found = "a zip whose end is missing, as of a broken copy" if is_begun else "not a zip"
        return [f"{found} ({path.stat().st_size} bytes: {_words(error)}); pack it again"]
    return sorted(lines, key=lambda line: line.startswith(WARNING))


def _claimed(name: str, shapes: Shapes) -> str | None:
    """The test cube that an entry is meant for, however it is spelt; None: for none."""
    place = PurePosixPath(name)
    is_tiff = place.suffix.lower() in (".tif", ".tiff") and not name.endswith("/")
    return place.stem if is_tiff and place.stem in shapes else None


def _name_faults(names: list[str], shapes: Shapes) -> Iterator[str]:
    claims = Counter(cube_id for cube_id in (_claimed(name, shapes) for name in names) if cube_id is not None)
    for cube_id in shapes:
        if not claims[cube_id]:
            yield f"{cube_id}.tif is missing; expected one for each of the {len(shapes)} test cubes"
        elif claims[cube_id] > 1:
            yield f"{cube_id}.tif is there {claims[cube_id]} times, expected one"
    for name in dict.fromkeys(names):
        claimed = _claimed(name, shapes)
        if claimed is None:
            what = "a folder" if name.endswith("/") else f"none of the {len(shapes)} test cubes"
            yield f"{_printable(name)} is {what}; expected <id>.tif of the test cubes and nothing else: take it out"
        elif "/" in name:
            yield f"{_printable(name)} is in a folder; expected {claimed}.tif at the top level"
        elif name != f"{claimed}.tif":
            yield f"{_printable(name)} has another ending; expected {claimed}.tif"


def _entry_faults(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, shape: tuple[int, int, int]) -> Iterator[str]:
    name = _printable(entry.filename)
    try:
        content = read_entry(archive, entry, most_tiff_bytes(shape))
    except InputError as error:
        yield f"{error} for a mask of {shape} (z, y, x); write it again"
        return
    except UNREADABLE as error:
        yield f"{name} cannot be unpacked ({_words(error)}); pack it again"
        return
    faults, doubts = tiff_faults(content, shape)
    yield from (f"{name} {fault}" for fault in faults)
    yield from (f"{WARNING}{name} {doubt}" for doubt in doubts)


def _printable(name: str) -> str:
    return " ".join(name.split())[:120]


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
