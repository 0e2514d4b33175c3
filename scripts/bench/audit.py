"""What an audit says beside what is true, on phantoms drawn for it.

    python -m scripts.bench.audit sheets [--seeds 81 82 83] [--bare 17] [--keep DIR]
    python -m scripts.bench.audit members [--seeds 81 82 83] [--keep DIR]
    python -m scripts.bench.audit halves [--seeds 81 82 83] [--keep DIR]

- sheets: a run of two small members and stage two reads bare fragments, and fragments with easy and default ink: how many components are
  called real, of those on letters and of those beside them, by the copies alone and where `BLANK` other bare fragments are given as blank
  papyrus. A bare one, a stack cut off the sheet and a blurred one: the verdict of each.
- members: the run's members and one that is bad in a known way: trained on reversed stacks, on labels of another place (random), on bright
  fibres (paints), or on one scrap for long, with labels that nothing tells (memorised). What each looks like.
- halves: the contrast of which half of the planted letters is found, on a bare fragment, beside the contrast at which the run finds half of
  the letters that the phantom itself was drawn with, at the same contrasts.

What `--keep` holds is used again, so a stopped one goes on, and all experiments share a seed's run.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble.audit.alone import asked_alone
from ensemble.audit.record import Audit, SheetAudit
from ensemble.audit.sheet import How
from ensemble.audit.study import audit
from ensemble.controls.asked import Asked, asked_run
from ensemble.controls.detectability import FOUND_SHARE, Planting, found_share
from ensemble.controls.psychometric import contrast_of_half
from scripts.bench import audit_phantoms as phantoms
from scripts.bench.audit_phantoms import BAD, BIN, LETTER_UM, NETWORKS, VOXEL_UM
from scroll.config.schema import Settings
from scroll.data.fragments import Fragment
from scroll.metrics.betti_matching.connected import connected_components
from scroll.runtime.command_line import run_command, whole
from scroll.volumes.masks import read_mask_png
from stage1_3d.external.ours import export_member
from stage1_3d.train import train_stage1

LIKE_TRUTH = 0.5  # share of a component on letters from which on it is a true one
NO_PLANTING = How(copies=1, planting=None, depths=())
DENSITIES = (0.2, 0.3, 0.45, 0.65, 0.95, 1.4)  # of films that phantoms are drawn with: rising contrasts
BLANK = 3  # fragments given as papyrus without ink
DEFAULT_STEPS = 640  # of a run for default ink: after 160 it tells none of it from papyrus
BAD_STEPS = {"memorised": 300}


def main() -> None:
    """Read the command line and run one of the experiments on each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=("sheets", "members", "halves"))
    parser.add_argument("--seeds", type=whole(0, 2**31), nargs="+", default=[81, 82, 83])
    parser.add_argument("--bare", type=whole(1, 26), default=17, help="bare fragments a seed (%(default)s)")
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it")
    arguments = parser.parse_args()
    halves = []
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            root = (arguments.keep or Path(folder)) / f"seed{seed}"
            if arguments.experiment == "sheets":
                of_sheets(root, seed, arguments.bare)
            elif arguments.experiment == "members":
                of_members(root, seed)
            else:
                halves.append(of_halves(root, seed))
    if len(halves) > 1:
        print_halves("all", *(np.concatenate(part) for part in zip(*halves, strict=True)))


def run_of(root: Path, seed: int) -> Settings:
    """The run of a seed, trained on easy ink."""
    phantoms.draw(root / "easy", "easy", seed, 3, 2)
    return phantoms.trained_run(root, root / "easy")


def of_sheets(root: Path, seed: int, bare: int) -> None:
    """Audit sheets of every kind, and print their verdicts and what of their components is called real."""
    asked = asked_run(run_of(root, seed))
    phantoms.draw(root / "bare", "zero", seed + 1000, 0, bare)
    phantoms.draw(root / "blank", "zero", seed + 4000, 0, BLANK)
    _both_ways(root, seed, "bare", asked)
    _both_ways(root, seed, "easy", asked)
    source = root / "easy" / "test" / "a"
    for kind, change in (("cut", phantoms.cut), ("blurred", phantoms.blurred)):
        phantoms.changed(source, root / "verdicts" / kind, change)
    for name in ("a", "b"):
        if not (root / "verdicts" / f"bare-{name}").exists():
            shutil.copytree(root / "bare" / "test" / name, root / "verdicts" / f"bare-{name}")
    how = How(copies=1, planting=Planting((0.25, 0.5, 1.0, 2.0), LETTER_UM), depths=())
    for sheet in audit(asked, [root / "verdicts"], root / "audit" / "verdicts", how, "").sheets:
        half = sheet.half_found.contrast if sheet.half_found else None
        print(f"seed {seed}, {sheet.id}: {sheet.verdict.kind} (half found at {half})", flush=True)
    phantoms.draw(root / "default", "default", seed + 2000, 3, 2)
    by_default = phantoms.trained_run(root, root / "default", f"run-default-{DEFAULT_STEPS}", DEFAULT_STEPS)
    _both_ways(root, seed, "default", asked_run(by_default))


def _both_ways(root: Path, seed: int, kind: str, asked: Asked) -> None:
    """Audit the sheets of a kind by copies alone, and beside blank papyrus."""
    for blank in ([], [root / "blank" / "test"]):
        found = audit(asked, [root / kind / "test"], root / "audit" / kind, NO_PLANTING, "", blank)
        _report(root, seed, kind, found, "beside blank papyrus" if blank else "by copies")


def _report(root: Path, seed: int, kind: str, found: Audit, how: str) -> None:
    """How many components stand out, of those on letters and of those beside them."""
    counts = np.sum([_called_real(root, kind, sheet) for sheet in found.sheets], axis=0)
    sheets = [sheet for sheet in found.sheets if sheet.stands_out]
    true, imagined = counts.tolist()
    print(
        f"seed {seed}, {kind}, {how}: called real {true[0]} of {true[1]} true components, {imagined[0]} of {imagined[1]} imagined ones; "
        f"something on {len(sheets)} of {len(found.sheets)} sheets",
        flush=True,
    )


def _called_real(root: Path, kind: str, sheet: SheetAudit) -> NDArray[np.int64]:
    """(2, 2): of true and of imagined components those that stand out, and all."""
    counts = np.zeros((2, 2), np.int64)
    table = next((one.rows for one in sheet.tables if one.title == "Found components"), ())
    if not table:
        return counts
    truth = np.zeros(1, bool) if kind == "bare" else read_mask_png(root / kind / "heldout" / sheet.id / "inklabels.png")
    mask = read_mask_png(root / "audit" / kind / sheet.id / "ensemble" / "ink_mask.png")
    pieces = connected_components(mask[None], 26)[0]
    for row in table:
        is_true = kind != "bare" and truth[pieces == row["component"]].mean() >= LIKE_TRUTH
        counts[int(not is_true)] += [row["verdict"] == "stands out", 1]
    return counts


def of_members(root: Path, seed: int) -> None:
    """Train bad members beside the run's good ones, and print what each looks like in an audit with them."""
    members = _exported(root, run_of(root, seed), NETWORKS, "")
    for kind, spoil in BAD.items():
        if not (root / kind).exists():
            shutil.copytree(root / "easy" / "train", root / kind / "train")
            for folder in sorted((root / kind / "train").iterdir()):
                spoil(folder)
        networks = {"cnn3d": NETWORKS["cnn3d"]}
        settings = phantoms.settings_of(root, f"run-{kind}", root / kind, networks, BAD_STEPS.get(kind, 120))
        train_stage1(settings)
        members |= _exported(root, settings, networks, kind)
    for kind in BAD:
        folders = [members["cnn3d"], members["unet3d"], members[kind]]
        changes = [f"data.bin_yx={BIN}", "data.depth=[-12, 12]", f"data.voxel_um={VOXEL_UM}"]
        output, sources = root / "audit" / f"members-{kind}", [root / "easy" / "test" / "a"]
        if kind == "memorised":  # known by a sheet that it was trained on beside a new one
            sources.append(root / kind / "train" / "1")
        output.mkdir(parents=True, exist_ok=True)
        asked = asked_alone(folders, root / "easy", output, changes, None)
        found = audit(asked, sources, output, How(1, Planting((0.5, 2.0), LETTER_UM), ()), "")
        for name in asked.members:
            looks = "; ".join(f"{one.kind} {one.why}" for one in found.looks[name])
            print(f"seed {seed}, {kind}: {name}: {looks}", flush=True)


def _exported(root: Path, settings: Settings, networks: Iterable[str], kind: str) -> dict[str, Path]:
    """Folders of a run's members by name; that of a bad one is called by its `kind`."""
    folders = {}
    for name in networks:
        folders[kind or name] = root / "members" / (kind or name)
        export_member(settings, name, folders[kind or name], "safetensors", phantoms.fitted_alone(settings, name))
    return folders


def of_halves(root: Path, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Contrasts (1, K) that letters were drawn with, and of them (P, K), and of planted ones (Q, K), which were found."""
    settings = run_of(root, seed)
    asked, folder = asked_run(settings), root / "films"
    for number, density in enumerate((0.0, *DENSITIES)):
        phantoms.draw_with_film(folder / str(number), seed + 3000, density)
    bare = Fragment("bare", folder / "0" / "test" / "a", settings.data)
    letters = _letters(folder / "0" / "heldout" / "a" / "inklabels.png")
    contrasts, is_found = [], []
    for number in range(1, len(DENSITIES) + 1):
        drawn = Fragment(f"film {number}", folder / str(number) / "test" / "a", settings.data)
        contrasts.append(_contrast(bare, drawn, letters))
        is_found.append(_is_found(asked, drawn, root / "audit" / "films" / str(number), letters))
    drawn_at = np.array(contrasts)
    how = How(copies=1, planting=Planting(tuple(drawn_at.round(4)), LETTER_UM), depths=())
    source = folder / "0" / "test"
    audit(asked, [source], root / "audit" / "halves", how, "")
    planted = _planted(root / "audit" / "halves" / "audit.json", len(DENSITIES))
    return print_halves(f"seed {seed}", drawn_at[None], np.stack(is_found, axis=1), planted)


def print_halves(
    who: str, contrasts: NDArray[np.float64], drawn: NDArray[np.bool_], planted: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Print shares found and both halves; contrasts of several seeds are about alike, their geometric mean is printed."""
    at = np.exp(np.log(contrasts).mean(axis=0))
    halves = [contrast_of_half(at, found.mean(axis=0))[0] for found in (drawn, planted)]
    shares = [found.mean(axis=0).round(2).tolist() for found in (drawn, planted)]
    print(
        f"{who}: contrasts {at.round(3).tolist()}, of {len(drawn)} drawn letters found {shares[0]}, of {len(planted)} planted {shares[1]}; "
        f"half at {halves[0]} drawn, {halves[1]} planted",
        flush=True,
    )
    return contrasts, drawn, planted


def _letters(path: Path) -> NDArray[np.int32]:
    """(Y, X) numbers of the whole letters from 1: pieces half as high as a letter and more."""
    pieces = connected_components(read_mask_png(path)[None], 26)[0].astype(np.int32)
    for number in range(1, int(pieces.max()) + 1):
        rows = np.flatnonzero((pieces == number).any(axis=1))
        if np.ptp(rows) + 1 < 0.5 * phantoms.LETTER_PX:
            pieces[pieces == number] = 0
    return np.unique(pieces, return_inverse=True)[1].reshape(pieces.shape).astype(np.int32)


def _contrast(bare: Fragment, drawn: Fragment, letters: NDArray[np.int32]) -> float:
    """What the drawn film adds in spreads of the bare sheet: grey added within letters over all layers, by the film's thickness."""
    added = phantoms.stack_of(drawn.folder).astype(np.float32) - phantoms.stack_of(bare.folder)
    return float(added.sum(axis=0)[letters > 0].mean() / phantoms.FILM_VOX / bare.grey_scale[1])


def _is_found(asked: Asked, drawn: Fragment, folder: Path, letters: NDArray[np.int32]) -> NDArray[np.bool_]:
    mask = asked.predicted(drawn, folder).mask
    return np.asarray(found_share(mask.astype(np.float32), letters) >= FOUND_SHARE)


def _planted(path: Path, contrasts: int) -> NDArray[np.bool_]:
    """(Q, K) of the planted letters, which were found: as many of each contrast as the table says."""
    (sheet,) = json.loads(path.read_text(encoding="utf-8"))["sheets"]
    rows = next(one["rows"] for one in sheet["tables"] if one["title"] == "Planted letters")
    return np.stack([np.arange(row["planted"]) < row["found"] for row in rows], axis=1)[:, :contrasts]


if __name__ == "__main__":
    run_command(main)
