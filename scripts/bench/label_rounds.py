"""Label rounds on phantoms with an imagined annotator: which labels teach most, what proposals bring, whether errors grow.

    python -m scripts.bench.label_rounds ranking --seeds 21 22 23
    python -m scripts.bench.label_rounds proposals --seeds 21 22 23
    python -m scripts.bench.label_rounds wrong --seeds 21 22 23
    python -m scripts.bench.label_rounds blank --seeds 21 22 23

A line of JSON for each training: seed, what chose or proposed, round, share of the area that people labelled, their seconds, F0.5 and AUC
on the validation stripe, which no round touches. All through the functions that `make round` calls.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ensemble.blend import blend
from ensemble.ink.fit import calibrate, read_fit
from ensemble.ink.fit_record import InkFit
from ensemble.ink.predictors import ENSEMBLE, flat_map
from ensemble.rounds.labels import labelled_by_people, write_labels
from ensemble.rounds.maps import Source, sources
from ensemble.rounds.place import LabelRound
from ensemble.rounds.propose import open_mask, propose
from ensemble.rounds.rank import edge_of, ranked
from ensemble.rounds.report import write_round_report
from ensemble.rounds.train import train_student
from scripts.bench.labelled_phantom import (
    BIN,
    OPEN_PX,
    PATCH_UM,
    START,
    STEPS,
    Mask,
    World,
    boxes_of,
    drawn,
    first_labels,
    painted_on,
    settings_of,
)
from scroll.config.schema import Settings
from scroll.data.sheets import Sheet, training_sheets
from scroll.metrics.fbeta import LEVELS, auc, level_counts
from scroll.rounds.ranking import Asked, asked_for, patch_nats
from scroll.rounds.voices import entropy
from scroll.runtime.command_line import run_command, whole
from stage1_3d.train import train_stage1
from stage2_2d.train import train_stage2

ROUNDS = 3
Chooser = Callable[[LabelRound, Sequence[Source], InkFit], list[Asked]]


def main() -> None:
    """Read the command line and run one of the experiments on each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=list(EXPERIMENTS))
    parser.add_argument("--seeds", type=whole(0, 2**31), nargs="+", default=[21, 22, 23])
    parser.add_argument("--preset", default="easy", help="of the phantom (%(default)s)")
    parser.add_argument("--ink-share", type=float, help="of the papyrus that bears ink, where not the preset's")
    parser.add_argument(
        "--start", type=float, default=START, help="share of the open area labelled at first (%(default)s)"
    )
    parser.add_argument(
        "--steps", type=float, nargs="+", default=STEPS, help="ranking: share asked for by round (%(default)s)"
    )
    parser.add_argument(
        "--arms", nargs="+", choices=list(CHOOSERS), default=list(CHOOSERS), help="ranking: these alone"
    )
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            root = (arguments.keep or Path(folder)) / f"seed{seed}"
            preset = "zero" if arguments.experiment == "blank" else arguments.preset
            world = drawn(root, seed, preset, arguments.ink_share)
            EXPERIMENTS[arguments.experiment](
                replace(world, start=arguments.start, steps=tuple(arguments.steps), arms=tuple(arguments.arms))
            )


def trained(settings: Settings) -> InkFit:
    """Round 0."""
    train_stage1(settings)
    train_stage2(settings)
    return calibrate(settings)


def by_disagreement(a_round: LabelRound, found: Sequence[Source], fit: InkFit) -> list[Asked]:
    """Where all networks contradict each other."""
    return ranked(_choosing(a_round, "disagreement"), fit, found)


def by_ink(a_round: LabelRound, found: Sequence[Source], fit: InkFit) -> list[Asked]:
    """Label here next: by turns where ink is to be expected, and anywhere."""
    return ranked(_choosing(a_round, "ink"), fit, found)


def _choosing(a_round: LabelRound, how: str) -> LabelRound:
    rounds = a_round.base.rounds.model_copy(update={"choose": how})
    return replace(a_round, base=a_round.base.model_copy(update={"rounds": rounds}))


def by_chance(a_round: LabelRound, found: Sequence[Source], fit: InkFit) -> list[Asked]:
    """Open patches in a random order."""
    edge_px = edge_of(a_round, found)
    rng = np.random.default_rng([a_round.base.seed, a_round.number, 1])
    area = {s.sheet.id: patch_nats(np.ones(s.sheet.mask.shape, np.float32), open_mask(s), edge_px) for s in found}
    whole_patch = 0.9 * edge_px**2
    return asked_for(
        {name: (one > whole_patch) * rng.random(one.shape) for name, one in area.items()},
        edge_px,
        a_round.base.rounds.ask,
    )


def by_uncertainty(a_round: LabelRound, found: Sequence[Source], fit: InkFit) -> list[Asked]:
    """Where one network, the U-Net, is least sure."""
    edge_px = edge_of(a_round, found)
    nats = {
        s.sheet.id: patch_nats(
            entropy(flat_map(s.folders["unet3d"], "unet3d", "")).astype(np.float32), open_mask(s), edge_px
        )
        for s in found
    }
    return asked_for(nats, edge_px, a_round.base.rounds.ask)


CHOOSERS: dict[str, Chooser] = {
    "here next": by_ink, "random": by_chance, "disagreement": by_disagreement, "uncertain": by_uncertainty,
}  # fmt: skip


def a_round_of(
    world: World, base: Settings, number: int, choose: Chooser | None, spoil: Callable[[Path], None] | None = None
) -> tuple[InkFit, float]:
    """One whole round, the annotator painting all that was asked for; the student's fit, and the annotator's seconds.

    `spoil` does something to the folder of labels before they are trained on.
    """
    a_round = LabelRound(base, number)
    fit = read_fit(a_round.teacher)
    found = sources(a_round)
    proposals = propose(a_round, fit, found)
    asked = choose(a_round, found, fit) if choose else []
    painted, seconds = {source.sheet.id: labelled_by_people(source) for source in found} if asked else {}, 0.0
    for one in asked:
        height, width = world.truths[one.sheet].shape
        box = tuple(
            slice(at * BIN, min((at + one.edge_px) * BIN, length)) for at, length in ((one.y, height), (one.x, width))
        )
        painted[one.sheet], took = painted_on(world, one.sheet, painted[one.sheet], (box[0], box[1]))
        seconds += took
    write_labels(a_round, fit, found, proposals, painted)
    if spoil:
        spoil(a_round.folder / "labels")
    student = train_student(a_round)
    write_round_report(a_round, found, proposals, tuple(painted), len(asked), seconds)
    return student, seconds


def say(world: World, arm: str, number: int, settings: Settings, fit: InkFit, seconds: float, **also: float) -> None:
    """A line of JSON."""
    sheets = training_sheets(settings.data)
    shares = [_shares(world, sheet) for sheet in sheets]
    score = fit.held_out.rows[ENSEMBLE].all if fit.held_out else None
    print(
        json.dumps(
            {
                "seed": world.seed, "arm": arm, "round": number, "human": round(float(np.mean([one[0] for one in shares])), 4),
                "proposed": round(float(np.mean([one[1] for one in shares])), 4), "seconds": round(seconds),
                "f05": score and round(score.f05, 4), "low": score and round(score.low, 4), "high": score and round(score.high, 4),
                "auc": round(_auc(world, settings, fit, sheets), 4),
                "members": {name: round(row.all.f05, 4) for name, row in fit.held_out.rows.items()} if fit.held_out else {},
            }
            | also
        ),
        flush=True,
    )  # fmt: skip


def _shares(world: World, sheet: Sheet) -> tuple[float, float]:
    label, is_open = sheet.full_label, ~world.closed(sheet.id)
    human, area = np.count_nonzero(~label.human.ignore), np.count_nonzero(is_open)
    return human / area, (np.count_nonzero(~label.ignore) - human) / area


def _auc(world: World, settings: Settings, fit: InkFit, sheets: Sequence[Sheet]) -> float:
    """Of the ensemble, in the validation stripes."""
    counts = np.zeros((2, LEVELS), np.int64)
    for sheet in sheets:
        maps = [flat_map(settings.folder.oof(name, sheet.id), name, "") for name in fit.weights]
        prob = blend(maps, list(fit.weights.values()))
        closed = world.closed(sheet.id)[::BIN, ::BIN]
        ink = world.truths[sheet.id][BIN // 2 :: BIN, BIN // 2 :: BIN]
        counts = counts + level_counts(prob, ink, closed)
    return auc(counts)


def base_of(world: World, arm: str, **how: object) -> Settings:
    """A copy of round 0 in a folder of its own, for rounds of one kind."""
    settings = settings_of(world, arm.replace(" ", "-"), "labels", **how)  # type: ignore[arg-type]
    if not settings.run_dir.exists():
        shutil.copytree(world.root / "round0", settings.run_dir, ignore=shutil.ignore_patterns("rounds"))
    return settings


def patches_for(world: World, share: float) -> int:
    """How many patches make that share of the open area of all sheets."""
    return max(1, round(share * sum(len(boxes_of(world, name)) for name in world.truths)))


def ranking(world: World) -> None:
    """F0.5 by labelled area: asked for here next, at random, where one network is least sure; and all labelled."""
    first_labels(world, "labels", world.start)
    first_labels(world, "all", 1.0)
    everything, begun = settings_of(world, "everything", "all"), settings_of(world, "round0", "labels")
    say(world, "everything", 0, everything, trained(everything), 0)
    say(world, "begun", 0, begun, trained(begun), 0)
    for arm in world.arms:
        for number, share in enumerate(world.steps, start=1):
            base = base_of(world, arm, ask=patches_for(world, share))
            fit, seconds = a_round_of(world, base, number, CHOOSERS[arm])
            say(world, arm, number, LabelRound(base, number).student, fit, seconds)


def proposals(world: World) -> None:
    """Rounds without a further label, with what is proposed; and what another seed alone changes."""
    first_labels(world, "labels", world.start)
    begun = settings_of(world, "round0", "labels")
    say(world, "begun", 0, begun, trained(begun), 0)
    for arm, is_proposed, rounds in (("proposals", True, ROUNDS), ("another seed", False, 1)):
        for number in range(1, rounds + 1):
            base = base_of(world, arm, propose_labels=is_proposed)
            fit, seconds = a_round_of(world, base, number, None)
            say(world, arm, number, LabelRound(base, number).student, fit, seconds)


def wrong(world: World) -> None:
    """A letter that is not there is proposed on every sheet in round 1: are runs surer of its place than those that never saw it?"""
    first_labels(world, "labels", world.start)
    begun = settings_of(world, "round0", "labels")
    letters = {name: _letter_where_none_is(world, name) for name in world.truths}
    fit = trained(begun)
    say(world, "begun", 0, begun, fit, 0, wrong_auc=round(_auc_of_letters(world, begun, fit, letters), 4))
    for arm, spoil in (("wrong", partial(_propose_wrongly, letters)), ("proposals", None)):
        for number in range(1, ROUNDS + 1):
            base = base_of(world, arm, propose_labels=True)
            fit, _ = a_round_of(world, base, number, None, spoil if number == 1 else None)
            student = LabelRound(base, number).student
            found = round(_auc_of_letters(world, student, fit, letters), 4)
            say(world, arm, number, student, fit, 0, wrong_auc=found)


def _letter_where_none_is(world: World, name: str) -> Mask:
    """(Y, X): the most inked patch of the validation stripe, in the open where there is least ink."""
    ink, edge = world.truths[name], round(PATCH_UM / 7.91)
    bare = min(boxes_of(world, name), key=lambda box: (int(ink[box].sum()), box[0].start, box[1].start))
    height, width = ink[bare].shape
    rows, columns = range(0, ink.shape[0] - height, edge // 2), range(OPEN_PX, ink.shape[1] - width, edge // 2)
    patches = [ink[y : y + height, x : x + width] for y in rows for x in columns]
    letter = np.zeros(ink.shape, bool)
    letter[bare] = max(patches, key=lambda patch: int(patch.sum())) & ~ink[bare]
    return letter


def _propose_wrongly(letters: Mapping[str, Mask], labels: Path) -> None:
    for name, letter in letters.items():
        for kind, value in (("inklabels", 242), ("supervision_mask", 255), ("proposed_mask", 255)):
            path = max(labels.glob(f"{name}/{name}_{kind}_v*.png"), default=labels / name / f"{name}_{kind}_v1.png")
            picture = np.array(Image.open(path)) if path.exists() else np.zeros(letter.shape, np.uint8)
            picture[letter] = value
            Image.fromarray(picture).save(path)


def _auc_of_letters(world: World, settings: Settings, fit: InkFit, letters: Mapping[str, Mask]) -> float:
    """Of the ensemble: how surely it tells the false letters from bare papyrus of the open part; 1/2 is chance."""
    counts, centre = np.zeros((2, LEVELS), np.int64), slice(BIN // 2, None, BIN)
    for name, letter in letters.items():
        maps = [flat_map(settings.folder.oof(one, name), one, "") for one in fit.weights]
        is_bare = (~world.truths[name] & ~world.closed(name))[centre, centre]
        counts += level_counts(blend(maps, list(fit.weights.values())), letter[centre, centre], is_bare)
    return auc(counts)


def blank(world: World) -> None:
    """Letters that are labelled and not in the scan: nothing may be learnt, in whatever round."""
    first_labels(world, "labels", world.start * 4)
    begun = settings_of(world, "round0", "labels")
    say(world, "begun", 0, begun, trained(begun), 0)
    for number in range(1, ROUNDS + 1):
        base = base_of(world, "blank", ask=patches_for(world, world.start), propose_labels=True)
        fit, seconds = a_round_of(world, base, number, by_disagreement)
        say(world, "blank", number, LabelRound(base, number).student, fit, seconds)


EXPERIMENTS: dict[str, Callable[[World], None]] = {one.__name__: one for one in (ranking, proposals, wrong, blank)}


if __name__ == "__main__":
    run_command(main)
