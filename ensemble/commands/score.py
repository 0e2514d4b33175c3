"""The leaderboard's score of surface predictions: `python scripts/score.py PRED GT`; --atlas says what to mend first."""

import argparse
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scroll.errors import InputError, MissingInputError
from scroll.runtime.bounded import MOST_UNKNOWN_BYTES, most_tiff_bytes, read_entry
from scroll.runtime.output_folder import SCORES, check_file
from scroll.runtime.processes import in_order, usable_cores
from scroll.runtime.reading import reading

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scroll.metrics.error_map import Entry
    from scroll.metrics.leaderboard import SurfaceScore

UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
PREDICTED, LABELLED = (
    ({0, 1, 2}, {0, 255}),
    ({0, 1, 2}, {0, 2, 255}),
)  # a predicted 2 is surface, as the leaderboard has it
TIFF_ENDINGS = (".tif", ".tiff")
COLUMNS = ("score", "topo", "surface_dice", "voi_score", "voi")


class Pair(NamedTuple):
    """One volume to score: its name, its prediction, its label, and how many faults to mend (None: no atlas)."""

    name: str
    pred: Path
    label: Path
    atlas_limit: int | None


class Packed(NamedTuple):
    """A file in a zip."""

    path: Path
    entry: zipfile.ZipInfo


Found = Path | Packed


class Scored(NamedTuple):
    """What comes back for one volume."""

    name: str
    score: "SurfaceScore"
    atlas: "list[Entry] | None"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, score every volume, print the table and write the JSON."""
    options = _parse(arguments)
    if options.json:
        check_file(options.json, SCORES, [options.pred, options.gt])
    with tempfile.TemporaryDirectory() as scratch:
        pairs = match(options.pred, options.gt, Path(scratch), options.atlas_limit if options.atlas else None)
        scored = score_all(pairs, options.jobs)
    print(*table(scored), sep="\n")
    if options.json:
        _write(options.json, scored)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pred", type=Path, help="a TIFF volume, a folder of them, or a submission.zip")
    parser.add_argument("gt", type=Path, help="the label, or a folder of labels of the same names (2 = not labelled)")
    parser.add_argument("--json", type=Path, metavar="F", help="write everything to this file as well")
    parser.add_argument("--atlas", action="store_true", help="list every fault, and what mending it alone would gain")
    parser.add_argument(
        "--atlas-limit", type=int, default=100, metavar="N", help="faults to mend and rescore in a volume (%(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=usable_cores(), help="volumes at a time (%(default)s)")
    options = parser.parse_args(arguments)
    for name in ("jobs", "atlas_limit"):
        if getattr(options, name) < (name == "jobs"):
            raise InputError(
                f"--{name.replace('_', '-')}: {getattr(options, name)} is too few; give 1 or more, or leave it out"
            )
    return options


def match(pred: Path, gt: Path, scratch: Path, atlas_limit: int | None) -> list[Pair]:
    """Pairs of prediction and label by name (one file against one file: whatever their names).

    Raises:
        MissingInputError: a path is not there, or a prediction has no label.
        InputError: a zip that cannot be read, or a folder without TIFF files.
    """
    preds, labels = tiffs(pred), tiffs(gt)
    if pred.is_file() and gt.is_file() and len(preds) == len(labels) == 1:
        (name,), (label,) = preds, labels.values()
        labels = {name: label}
    without = sorted(preds.keys() - labels.keys())
    if without:
        raise MissingInputError(
            f"{gt}: no label for {len(without)} of {len(preds)} predictions (first: {without[0]!r}); "
            "give labels of the same file names"
        )
    left = len(labels.keys() - preds.keys())
    if left:
        print(f"note: {left} of {len(labels)} labels have no prediction; they are not in the mean", file=sys.stderr)
    return [Pair(name, *_on_disk(preds[name], labels[name], scratch), atlas_limit) for name in sorted(preds)]


def tiffs(path: Path) -> dict[str, Found]:
    """TIFF files by name without ending: of a folder, of a zip (nothing is unpacked yet), or the one file."""
    if not path.exists():
        raise MissingInputError(f"{path}: not there; expected a TIFF volume, a folder of them, or a submission.zip")
    if path.is_file() and path.suffix.lower() == ".zip":
        files: list[tuple[Path, Found]] = [
            (Path(entry.filename), Packed(path, entry)) for entry in _entries(path) if not entry.is_dir()
        ]
    else:
        files = [(file, file) for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    found: dict[str, Found] = {}
    for name, file in files:
        if name.suffix.lower() in TIFF_ENDINGS and not name.name.startswith("."):
            if name.stem in found:
                raise InputError(
                    f"{path}: holds {name.stem} twice, the second as {name}; expected one TIFF for each volume: take one out"
                )
            found[name.stem] = file
    if not found:
        raise InputError(f"{path}: holds no .tif file; expected one TIFF of many pages for each volume")
    return found


def _entries(path: Path) -> list[zipfile.ZipInfo]:
    with reading(path, "a zip of TIFF files", "pack them again"):
        try:
            with zipfile.ZipFile(path) as archive:
                return archive.infolist()
        except UNREADABLE as error:
            raise InputError(f"{path}: not a readable zip ({error}); pack the TIFF files again") from None


def _on_disk(pred: Found, label: Found, scratch: Path) -> tuple[Path, Path]:
    """Paths of both; what is in a zip is unpacked into `scratch`, of a prediction no more than its label's size allows."""
    label_path = _unpacked(label, scratch / "labels", MOST_UNKNOWN_BYTES)
    if isinstance(pred, Path):
        return pred, label_path
    from scroll.volumes import open_volume

    return _unpacked(pred, scratch / "predictions", most_tiff_bytes(open_volume(label_path).shape)), label_path


def _unpacked(found: Found, folder: Path, most_bytes: int) -> Path:
    if isinstance(found, Path):
        return found
    file = folder / Path(found.entry.filename).name
    folder.mkdir(exist_ok=True)
    try:
        with zipfile.ZipFile(found.path) as archive:
            file.write_bytes(read_entry(archive, found.entry, most_bytes))
    except InputError as error:
        raise InputError(f"{found.path}: {error}; pack the right TIFF files") from None
    except UNREADABLE as error:
        raise InputError(f"{found.path}: not a readable zip ({error}); pack the TIFF files again") from None
    return file


def score_all(pairs: Sequence[Pair], jobs: int) -> list[Scored]:
    """Score every pair, `jobs` at a time in processes of one thread each."""
    from scroll.runtime.progress import progress

    with progress("score", len(pairs), "volume") as advance:
        scored = []
        for one in in_order(score_pair, pairs, jobs):
            scored.append(one)
            advance()
    return scored


def score_pair(pair: Pair) -> Scored:
    """Read and score one volume.

    Raises:
        InputError: a file is no volume, or the two do not fit.
    """
    from scroll.metrics.leaderboard import masks, score_masks

    pred, label = _volumes(pair)
    try:
        known = masks(pred, label)
    except InputError as error:
        raise InputError(f"{pair.pred} against {pair.label}: {error}") from None
    if pair.atlas_limit is None:
        return Scored(pair.name, score_masks(*known), None)
    from scroll.metrics.error_map import atlas

    return Scored(pair.name, score_masks(*known), atlas(*known, limit=pair.atlas_limit))


def _volumes(pair: Pair) -> "tuple[NDArray[Any], NDArray[Any]]":
    """Voxels of both, (Z, Y, X), whose sizes are compared in their headers and whose values are those of masks."""
    import numpy as np

    from scroll.volumes import open_volume

    pred, label = (open_volume(path) for path in (pair.pred, pair.label))
    if pred.shape != label.shape:
        raise InputError(
            f"{pair.pred} {pred.shape} and {pair.label} {label.shape} differ in shape; give both on one grid"
        )
    read = []
    for volume, meant in ((pred, PREDICTED), (label, LABELLED)):
        voxels = volume[...]
        values = np.unique(voxels).tolist()
        if not any({*values} <= allowed for allowed in meant):
            expected = " or ".join(", ".join(map(str, sorted(allowed))) for allowed in meant)
            raise InputError(f"{volume.path}: holds values {values[:6]}; expected {expected} alone: threshold it")
        read.append(voxels)
    return read[0], read[1]


def table(scored: Sequence[Scored]) -> list[str]:
    """Lines of text: a volume each, the mean, and the atlases."""
    from scroll.metrics.error_map import as_table
    from scroll.metrics.leaderboard import mean_score

    width = max(len("volume"), *(len(one.name) for one in scored))
    parts = "   matched/predicted/label of dim 0, 1, 2"
    lines = [f"{'volume':<{width}}" + "".join(f"{name:>14}" for name in COLUMNS) + parts]
    rows = [(one.name, [getattr(one.score, name) for name in COLUMNS], one.score.counts) for one in scored]
    mean = mean_score([one.score for one in scored])
    for name, values, counts in [*rows, ("mean", [mean[name] for name in COLUMNS], ())]:
        triples = "  ".join("/".join(map(str, triple)) for triple in counts)
        lines.append((f"{name:<{width}}" + "".join(f"{value:>14.6f}" for value in values) + f"   {triples}").rstrip())
    for one in scored:
        if one.atlas is not None:
            lines += ["", f"{one.name}: {len(one.atlas)} faults (~: by counts alone, not mended)", *as_table(one.atlas)]
    return lines


def _write(path: Path, scored: Sequence[Scored]) -> None:
    from scroll.metrics.leaderboard import mean_score
    from scroll.runtime.files import write_json

    volumes = []
    for one in scored:
        row = {"name": one.name, **asdict(one.score)}
        if one.atlas is not None:
            row["atlas"] = [asdict(entry) for entry in one.atlas]
        volumes.append(row)
    write_json(path, {"mean": mean_score([one.score for one in scored]), "volumes": volumes})
