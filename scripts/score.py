"""The leaderboard's score of surface predictions: `python scripts/score.py PRED GT`; --atlas says what to mend first."""

import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, NamedTuple

from scroll.command_line import run_door
from scroll.damage import reading
from scroll.errors import InputError, MissingInputError
from scroll.processes import single_threaded_processes, usable_cores

if TYPE_CHECKING:
    from scroll.metrics.atlas import Entry
    from scroll.metrics.leaderboard import SurfaceScore

TIFF_ENDINGS = (".tif", ".tiff")
COLUMNS = ("score", "topo", "surface_dice", "voi_score", "voi")


class Pair(NamedTuple):
    """One volume to score: its name, its prediction, its label, and how many faults to mend (None: no atlas)."""

    name: str
    pred: Path
    label: Path
    atlas_limit: int | None


class Scored(NamedTuple):
    """What comes back for one volume."""

    name: str
    score: "SurfaceScore"
    atlas: "list[Entry] | None"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, score every volume, print the table and write the JSON."""
    options = _parse(arguments)
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
    preds, labels = tiffs(pred, scratch), tiffs(gt, scratch)
    if pred.is_file() and gt.is_file() and len(preds) == len(labels) == 1:
        (name, path), label = next(iter(preds.items())), next(iter(labels.values()))
        return [Pair(name, path, label, atlas_limit)]
    without = sorted(preds.keys() - labels.keys())
    if without:
        raise MissingInputError(
            f"{gt}: no label for {len(without)} of {len(preds)} predictions (first: {without[0]!r}); "
            "give labels of the same file names"
        )
    left = len(labels.keys() - preds.keys())
    if left:
        print(f"note: {left} of {len(labels)} labels have no prediction; they are not in the mean", file=sys.stderr)
    return [Pair(name, preds[name], labels[name], atlas_limit) for name in sorted(preds)]


def tiffs(path: Path, scratch: Path) -> dict[str, Path]:
    """TIFF files by name without ending: of a folder, of a zip (unpacked into `scratch`), or the one file."""
    if not path.exists():
        raise MissingInputError(f"{path}: not there; expected a TIFF volume, a folder of them, or a submission.zip")
    if path.is_file() and path.suffix.lower() == ".zip":
        files = list(_unpacked(path, scratch))
    else:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
    found = {file.stem: file for file in files if file.suffix.lower() in TIFF_ENDINGS}
    if not found:
        raise InputError(f"{path}: holds no .tif file; expected one TIFF of many pages for each volume")
    return found


def _unpacked(path: Path, scratch: Path) -> Iterator[Path]:
    try:
        with (
            reading(path, "a zip of TIFF files without a password", "pack them again"),
            zipfile.ZipFile(path) as archive,
        ):
            for number, member in enumerate(archive.infolist()):
                name = Path(member.filename).name
                if member.is_dir() or name.startswith(".") or Path(name).suffix.lower() not in TIFF_ENDINGS:
                    continue
                file = scratch / f"{path.stem}-{number}" / name
                file.parent.mkdir()
                with archive.open(member) as packed, file.open("wb") as plain:
                    shutil.copyfileobj(packed, plain)
                yield file
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: not a readable zip ({error}); pack the TIFF files again") from None


def score_all(pairs: Sequence[Pair], jobs: int) -> list[Scored]:
    """Score every pair, `jobs` at a time in processes of one thread each."""
    from scroll.progress import progress

    with progress("score", len(pairs), "volume") as advance, _processes(min(jobs, len(pairs))) as pool:
        scored = []
        for one in map(score_pair, pairs) if pool is None else pool.map(score_pair, pairs):
            scored.append(one)
            advance()
    return scored


def _processes(count: int) -> AbstractContextManager[Executor | None]:
    return nullcontext() if count == 1 else single_threaded_processes(count)


def score_pair(pair: Pair) -> Scored:
    """Read and score one volume.

    Raises:
        InputError: a file is no volume, or the two do not fit.
    """
    from scroll.metrics.leaderboard import masks, score_masks
    from scroll.volumes import open_volume

    pred, label = (open_volume(path)[...] for path in (pair.pred, pair.label))
    try:
        known = masks(pred, label)
    except InputError as error:
        raise InputError(f"{pair.pred} against {pair.label}: {error}") from None
    if pair.atlas_limit is None:
        return Scored(pair.name, score_masks(*known), None)
    from scroll.metrics.atlas import atlas

    return Scored(pair.name, score_masks(*known), atlas(*known, limit=pair.atlas_limit))


def table(scored: Sequence[Scored]) -> list[str]:
    """Lines of text: a volume each, the mean, and the atlases."""
    from scroll.metrics.atlas import as_table
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
    from scroll.files import write_json
    from scroll.metrics.leaderboard import mean_score

    volumes = []
    for one in scored:
        row = {"name": one.name, **one.score.as_row()}
        if one.atlas is not None:
            row["atlas"] = [entry.as_row() for entry in one.atlas]
        volumes.append(row)
    write_json(path, {"mean": mean_score([one.score for one in scored]), "volumes": volumes})


if __name__ == "__main__":
    run_door(main)
