"""Predictions that were made elsewhere: imported from what others write, and brought to the size of an item."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray

from scroll.data.members.card import NAME, Card, Ready
from scroll.errors import InputError, MissingInputError
from scroll.runtime.files import written_aside
from scroll.runtime.names import checked_name
from scroll.runtime.reading import reading
from scroll.runtime.receipt import file_hash
from scroll.volumes.binning import block_mean
from scroll.volumes.flat_picture import read_grey
from scroll.volumes.ome_zarr import open_array

ENDINGS = (".npz", ".npy", ".tif", ".tiff", ".png", ".zarr")


def volume_of(folder: Path, card: Card, item: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The stored probabilities of an item at its own size, (Z, Y, X); coarser ones are interpolated.

    Raises:
        MissingInputError: there are none of this item.
        InputError: they are of another size.
    """
    stored = _stored(folder, card, item, shape)
    if card.scale == 1:
        return np.asarray(stored, np.float32)
    return _finer(np.asarray(stored, np.float32), shape)


def map_of(folder: Path, card: Card, item: str, shape_yx: tuple[int, int], bin_yx: int) -> NDArray[np.float32]:
    """The stored map of a sheet of `shape_yx` pixels at working resolution, (Y / bin, X / bin).

    Raises:
        MissingInputError: there is none of this item.
        InputError: it is of another size, or its scale and the working resolution do not go into one another.
    """
    stored = np.asarray(_stored(folder, card, item, shape_yx), np.float32)
    working = tuple(-(-n // bin_yx) for n in shape_yx)
    if card.scale == bin_yx:
        return stored
    if bin_yx % card.scale == 0:
        return np.asarray(block_mean(stored, (bin_yx // card.scale,) * 2), np.float32)
    if card.scale % bin_yx:
        raise InputError(
            f"{folder / NAME}: a map of scale {card.scale} does not go into data.bin_yx {bin_yx}; set one a multiple of the other"
        )
    return _finer(stored, working)


def _finer(values: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
    """Interpolated linearly to `shape`; a coarse voxel is the centre of its block."""
    ndim = len(shape)
    factor = max(round(n / s) for n, s in zip(shape, values.shape, strict=True))
    grown = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], scale_factor=float(factor), mode={2: "bilinear", 3: "trilinear"}[ndim]
    )
    return np.asarray(grown[0, 0].numpy()[tuple(slice(0, n) for n in shape)])


def _stored(folder: Path, card: Card, item: str, shape: Sequence[int]) -> NDArray[np.float16]:
    if item not in card.ready:
        some = ", ".join(sorted(card.ready)[:5])
        raise MissingInputError(
            f"{folder / NAME}: holds no prediction of '{item}', but of {some}; import one that has it"
        )
    stored: NDArray[np.float16] = np.load(folder / card.ready[item].file, mmap_mode="r", allow_pickle=False)
    expected = tuple(-(-n // card.scale) for n in shape)
    if stored.shape != expected:
        raise InputError(
            f"{folder / card.ready[item].file}: the prediction of '{item}' is {stored.shape}, and the item {tuple(shape)}: expected "
            f"{expected} at scale {card.scale}; import it with the --scale that it has, or predict this item"
        )
    return stored


def found_in(folders: Sequence[Path]) -> dict[str, Path]:
    """Predictions in folders by item: <item>.npz, .npy, .tif, .png or .zarr; of a folder of nnU-Net's, those in fold_<k>/validation.

    Raises:
        InputError: two of one item, or a folder without any.
    """
    found: dict[str, Path] = {}
    for path in (path for folder in folders for path in _files_in(folder)):
        item = checked_name(path.name[: -len(path.suffix)].removesuffix(".ome"), f"{path}: the item")
        if item in found:
            raise InputError(f"{path} and {found[item]} are both of '{item}'; expected one: move the other away")
        found[item] = path
    return found


def _files_in(folder: Path) -> list[Path]:
    """What is a prediction in one folder."""
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; expected one with a file an item, named like it: give that")
    if validated := sorted(folder.glob("fold_*/validation/*.npz")):
        return validated
    if any(folder.glob("fold_*/validation")):
        raise InputError(
            f"{folder}: no fold_<k>/validation/*.npz in it: nnU-Net keeps probabilities only where it is asked to; run nnUNetv2_train "
            "with --npz, or with --val --npz where it is trained already"
        )
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not files:
        raise InputError(f"{folder}: no {', '.join(ENDINGS)} in it; expected one file an item, named like it")
    return [path for path in files if not _is_decided(path)]


def _is_decided(path: Path) -> bool:
    """Whether it is the segmentation that nnU-Net writes beside an item's .npz and .pkl, and no probability."""
    return path.suffix.lower() != ".npz" and all(path.with_suffix(end).is_file() for end in (".npz", ".pkl"))


def probabilities_in(path: Path) -> NDArray[np.float32]:
    """(Y, X) or (Z, Y, X) probabilities of a file: whole numbers are of 255 or 65535; of nnU-Net's two classes, the second.

    Raises:
        InputError: not readable, of other axes, or not from 0 to 1.
    """
    suffix = path.suffix.lower()
    with reading(path, "probabilities as a picture, an array or nnU-Net's .npz", "write it again"):
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                values = np.asarray(stored["probabilities"])
            if values.ndim != 4 or len(values) != 2:
                raise ValueError(f"'probabilities' is {values.shape}, not (2, Z, Y, X): background and one class")
            values = values[1]
        elif suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        elif suffix == ".zarr":
            values = np.asarray(open_array(path)[...])
        else:
            values = read_grey(path) if suffix == ".png" else _of_tiff(path)
        if values.ndim == 3 and len(values) == 1:
            values = values[0]
        if values.ndim not in (2, 3) or not values.size:
            raise ValueError(f"is {values.shape}, neither (Y, X) nor (Z, Y, X)")
    most = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535, np.dtype(bool): 1}.get(values.dtype)
    found: NDArray[np.float32] = values.astype(np.float32) / np.float32(most or 1)
    low, high = (float(found.min()), float(found.max())) if np.isfinite(found).all() else (np.nan, np.nan)
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"{path}: values from {low:g} to {high:g}; expected probabilities from 0 to 1, or uint8 from 0 to 255: turn logits or scores "
            "into probabilities"
        )
    return found


def _of_tiff(path: Path) -> NDArray[np.generic]:
    with tifffile.TiffFile(path) as file:
        if "S" in file.series[0].axes:
            raise ValueError("has colours")
        return np.asarray(file.asarray(), file.pages[0].dtype)


def import_ready(
    folders: Sequence[Path],
    output: Path,
    card: Card,
    trained_on: Sequence[str],
    splits: Sequence[Mapping[str, Sequence[str]]],
) -> Card:
    """Every prediction in some folders as <output>/<item>.npy, float16, and the card that names them.

    An item is new to its prediction if neither `trained_on` nor a fold of `splits` was trained on it, one of which must name something;
    of nnU-Net's folder, if its fold held it out, which is so by how nnU-Net validates and is compared with `splits` where they are given.

    Raises:
        InputError: one is not readable, or is validated by a fold that was trained on it; or some are maps and some volumes.
    """
    ready: dict[str, Ready] = {}
    axes: dict[int, Path] = {}
    seen = {*trained_on}.union(*(fold.get("train", ()) for fold in splits))
    for item, path in found_in(folders).items():
        values = probabilities_in(path)
        axes.setdefault(values.ndim, path)
        is_new = _is_validated(path, item, splits) or (bool(seen) and item not in seen)
        is_unseen = is_new and item not in trained_on
        with written_aside(output / f"{item}.npy") as aside, aside.open("wb") as file:
            np.save(file, values.astype(np.float16))
        ready[item] = Ready(file=f"{item}.npy", sha256=file_hash(output / f"{item}.npy"), is_unseen=is_unseen)
    if len(axes) > 1:
        raise InputError(
            f"{axes[2]} is a map and {axes[3]} a volume; expected one or the other: give one folder for each"
        )
    return card.model_copy(update={"ready": ready, "returns": "map" if 2 in axes else "voxels"})


def _is_validated(path: Path, item: str, splits: Sequence[Mapping[str, Sequence[str]]]) -> bool:
    """Whether a prediction is that of a numbered fold of nnU-Net's, which held the item out; its fold "all" validates what it trains on.

    Raises:
        InputError: by `splits` the fold did not hold it out.
    """
    fold = path.parent.parent.name
    number = fold.removeprefix("fold_")
    if path.parent.name != "validation" or fold == number or not number.isdigit():
        return False
    if splits and (int(number) >= len(splits) or item not in splits[int(number)].get("val", ())):
        raise InputError(
            f"{path}: by the splits given, fold {number} did not hold '{item}' out; give the splits it was trained with"
        )
    return True
