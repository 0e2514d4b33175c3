"""Test cubes from CT to submission.zip, cube by cube: members, sheets, stage two, mask; on time, and from where it stopped."""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.output_record import blended_record, run_record
from ensemble.request import Request
from ensemble.surface.fit import read_cube_fit
from ensemble.surface.postprocess.pipeline import run
from ensemble.surface.predictors import SHEETS, STAGE2, Blended, LiftedSheets, Predicted, as_pairs
from ensemble.surface.submission import read_submission_zip, write_mask_tif, write_submission_zip
from ensemble.time_budget.measured_cost import measured_cost
from ensemble.time_budget.plan import HOUR_S, Deadline, MemberCost, in_words, with_views
from scroll.config.schema import Settings
from scroll.data.cubes import Cube, find_cubes, prepare
from scroll.data.members.others import of_others
from scroll.errors import InputError
from scroll.inference.sliding_window import Forward
from scroll.runtime.files import kept_json, read_mapping, remove, write_sealed
from scroll.runtime.manifest import file_sum
from scroll.runtime.progress import progress
from scroll.runtime.receipt import key_of
from scroll.runtime.record import needed
from stage1_3d.cubes.predict import predict_cube, prediction_of
from stage1_3d.cubes.trace import flatten_cube
from stage1_3d.external.member import all_folds
from stage1_3d.predict import load_forward
from stage2_2d.surface.predict import predict_sheets

FLAT = (SHEETS, STAGE2)  # routes by way of the sheets
NO_LIMIT_S = 1e9


class CubeRun:
    """A trained run that predicts cubes into `output`, as its fit says."""

    def __init__(self, settings: Settings, output: Path) -> None:
        self.settings, self.output = settings, output
        self.fit = read_cube_fit(settings)
        self.folds = list(range(settings.folds.count))  # of stage two
        self.where = Predicted(settings.run_dir, output)
        self._loaded: dict[str, Forward] = {}

    @cached_property
    def weights(self) -> dict[str, float]:
        """Of the members."""
        return self.fit.weights.weights

    @property
    def members(self) -> list[str]:
        """Who has to look at a cube: sheets are traced in the mean of all, a plain blend only those with a weight."""
        everyone = list(self.settings.stage1.members)
        return everyone if self.fit.route in FLAT else [name for name in everyone if self.weights[name] > 0]

    def load(self, name: str) -> Forward:
        """A member's folds as one function, loaded when first asked for."""
        if name not in self._loaded:
            self._loaded[name] = load_forward(self.settings, name, all_folds(self.settings, name))
        return self._loaded[name]

    def mask_path(self, cube: Cube) -> Path:
        """Where a cube's mask is, as it will be submitted."""
        return self.output / "masks" / f"{cube.id}.tif"

    def is_done(self, cube: Cube) -> bool:
        """Whether its mask was made by this very run from this very cube."""
        note = self.mask_path(cube).with_suffix(".json")
        kept, mask = kept_json(note, f"cube {cube.id} is predicted"), self.mask_path(cube)
        if not mask.exists() or kept.get("key") != self._key(cube):
            return False
        return "mask" not in kept or list(file_sum(mask)) == kept["mask"]  # notes made before say nothing of it

    def _key(self, cube: Cube) -> str:
        return key_of([self.fit.made_from, self.fit.route, cube.key])

    def predict(self, cube: Cube, kept: Mapping[str, int]) -> None:
        """One cube, with these members and as many views of each; writes its mask and a note of how it was made."""
        for name, views in kept.items():
            settings = with_views(self.settings, views)
            predict_cube(settings, name, cube, all_folds(settings, name), self.output / name, partial(self.load, name))
        if self.fit.route in FLAT:
            self.look_flat(cube, list(kept))
        mask = self.mask(cube, self.fit.route, list(kept))
        write_mask_tif(self.mask_path(cube), mask, self._record(cube, kept))
        about = {"key": self._key(cube), "views": dict(kept), "mask": file_sum(self.mask_path(cube))}
        write_sealed(self.mask_path(cube).with_suffix(".json"), about)

    def add_views(self, cube: Cube) -> None:
        """Make what the rows of the table need that are not submitted: the maps of all members, sheets and stage two.

        Raises:
            MissingInputError: the weights are not there, as in a bundle of what is submitted alone.
        """
        note = read_mapping(self.mask_path(cube).with_suffix(".json"), "predict the cubes again", views={str: int})
        left = [name for name in self.settings.stage1.members if name not in note["views"]]
        for name in left:
            predict_cube(
                self.settings, name, cube, all_folds(self.settings, name), self.output / name, partial(self.load, name)
            )
        self.look_flat(cube, [*note["views"], *left])

    def tidy(self, cube: Cube) -> None:
        """Remove what its mask was made from; the mask, and that it is done, stay."""
        members = [self.where.member(name, cube.id) for name in self.settings.stage1.members]
        for folder in (*members, self.where.sheets(cube.id), self.where.stage2(cube.id)):
            remove(folder)

    def look_flat(self, cube: Cube, kept: Sequence[str]) -> None:
        """Trace the sheets of a cube and let stage two mend them; for a member that was left out the first one stands in."""
        first = next((name for name in kept if name in self.settings.stage1.fitted), kept[0])
        names = {name: name if name in kept else first for name in self.settings.stage1.fitted}
        folders = {name: self.where.member(instead, cube.id) for name, instead in names.items()}
        flatten_cube(self.settings, cube, folders, self.where.sheets(cube.id))
        predict_sheets(
            self.settings, [cube], self.folds, self.output / "sheets", self.output / "stage2", is_shown=False
        )

    def mask(self, cube: Cube, row: str, kept: Sequence[str] | None = None) -> NDArray[np.bool_]:
        """The mask of one row of the fit's table, from predictions that are there."""
        about = self.fit.rows[row]
        if about.lift is not None:
            return run(about.post_processing, LiftedSheets(self.where, about.lift, cube, row == STAGE2)())
        return run(about.post_processing, Blended(self.where, as_pairs(self._shares(row, kept)), cube.id)())

    def _shares(self, row: str, kept: Sequence[str] | None) -> dict[str, float]:
        """How much each member counts in a row's blend."""
        weights = {row: 1.0} if row in self.weights else self.weights
        weights = {name: weights.get(name, 0.0) for name in kept or self.settings.stage1.members}
        return weights if any(weights.values()) else dict.fromkeys(weights, 1.0)

    def _record(self, cube: Cube, kept: Mapping[str, int]) -> dict[str, Any]:
        """What the mask of a cube tells of itself; sheets are traced in the mean of all members."""
        route, how = self.fit.route, self.fit.rows[self.fit.route].post_processing
        folders = {name: self.where.member(name, cube.id) for name in kept}
        if route in FLAT:
            folders |= {"sheets": self.where.sheets(cube.id), "stage2": self.where.stage2(cube.id)}
        weights = dict.fromkeys(kept, 1.0) if route in FLAT else self._shares(route, list(kept))
        record = blended_record(self.settings, "mask of the surface", cube.id, weights, folders)
        record["receipts"] = {f"{cube.id}/masks": self._key(cube), **record["receipts"]}
        about = {"route": route, "fit": self.fit.made_from, "threshold": how.threshold, "views": dict(kept)}
        return {
            **record,
            **about,
            "voxel_um": cube.pixel_um,
            "post_processing": {k: v for k, v in how.as_record().items() if v},
        }

    def without(self, cube: Cube, name: str) -> NDArray[np.bool_]:
        """The mask (Z, Y, X) of the plain blend that was fitted without a member, from predictions that are there."""
        about = self.fit.without[name]
        return run(about.post_processing, Blended(self.where, as_pairs(about.weights), cube.id)())


def predict_test_cubes(settings: Settings, request: Request) -> list[Cube]:
    """Predict the test cubes of the competition's folder `request.source` into `request.output`/masks/<id>.tif, one by one.

    The time is projected before it starts and printed; within the hours test-time flips are given up, then members. What an
    earlier, killed prediction finished is kept where the request says so. Returns the cubes, all or those of its part.

    Raises:
        MissingInputError: no fit, no weights, or no cubes.
        InputError: not even one member fits into the time.
    """
    began = time.monotonic()
    cube_run = CubeRun(settings, request.output)
    cubes = prepare(request.part.of(find_cubes(request.source, settings.data, part="test")))
    if not request.is_resumed:
        for cube in cubes:
            remove(cube_run.mask_path(cube))
    left = [cube for cube in cubes if not cube_run.is_done(cube)]
    if not left:
        print(f"{request.output}: all {len(cubes)} cubes are predicted already")
        return cubes
    for line in _all_in_time(cube_run, cubes, left, began, request):
        print(line, flush=True)
    return cubes


def _all_in_time(
    cube_run: CubeRun, cubes: Sequence[Cube], left: Sequence[Cube], began: float, request: Request
) -> Iterator[str]:
    """Predict what is left, and yield what there is to say; the work `began` then, by `time.monotonic`."""
    limit_s = request.hours * HOUR_S if request.hours else NO_LIMIT_S
    try:
        deadline = Deadline(
            costs(cube_run, left), after_members_s(cube_run, left), limit_s - (time.monotonic() - began)
        )
    except InputError as error:
        if not request.is_late_empty:
            raise
        yield from [str(error), *_left_empty(cube_run, left)]
        return
    is_limited = limit_s < NO_LIMIT_S
    yield from deadline.plan.lines(limit_s) if is_limited else [f"projected: {in_words(deadline.plan.projected_s)}"]
    voxels = sum(np.prod(cube.shape, dtype=float) for cube in left)
    with progress("predict", len(cubes), "cube", len(cubes) - len(left)) as advance:
        for number, cube in enumerate(left):
            if request.is_late_empty and time.monotonic() - began > limit_s:
                yield from _left_empty(cube_run, left[number:])
                return
            cube_run.predict(cube, deadline.plan.kept)
            if request.is_tidy:
                cube_run.tidy(cube)
            before = deadline.plan.dropped
            yield from (
                reason
                for reason in deadline.finished(float(np.prod(cube.shape, dtype=float) / voxels)).dropped
                if reason not in before
            )
            advance()


def _left_empty(cube_run: CubeRun, cubes: Sequence[Cube]) -> Iterator[str]:
    """Empty masks, without the note that would call them done."""
    for cube in cubes:
        remove(cube_run.mask_path(cube).with_suffix(".json"))
        record = run_record(cube_run.settings, "empty mask, for no time was left", [cube.id])
        write_mask_tif(cube_run.mask_path(cube), np.zeros(cube.shape, bool), record)
    yield f"no time left: {len(cubes)} cubes are submitted empty: {', '.join(cube.id for cube in cubes)}"


def costs(cube_run: CubeRun, cubes: Sequence[Cube]) -> list[MemberCost]:
    """What every member takes for these cubes, measured on this machine."""
    found = []
    for name in cube_run.members:
        other, settings = of_others(cube_run.settings).get(name), cube_run.settings
        if other and other.card.ready:
            found.append(MemberCost(name, 0.0, 1, cube_run.weights[name]))
            continue
        if other and other.goes_whole(settings.data.voxel_um):
            settings = with_views(settings, 1)  # it has mirrors of its own
        load = partial(cube_run.load, name)
        predictions = [prediction_of(settings, name, cube, load) for cube in cubes]
        found.append(measured_cost(name, predictions, cube_run.weights[name]))
    return found


def after_members_s(cube_run: CubeRun, cubes: Sequence[Cube]) -> float:
    """Seconds for tracing, stage two and post-processing, from what they took for a voxel when the run was fitted."""
    a_voxel = needed(cube_run.settings.folder.fit, "seconds_a_voxel", cube_run.fit.seconds_a_voxel)
    return sum(float(np.prod(cube.shape, dtype=float)) for cube in cubes) * a_voxel


def write_checked_zip(path: Path, output: Path, cubes: Sequence[Cube]) -> None:
    """Pack the masks, and open the zip as the scorer would.

    Raises:
        InputError: the zip read back is not what was asked for.
    """
    write_submission_zip(path, output / "masks", [cube.id for cube in cubes])
    count = sum(1 for _ in read_submission_zip(path, {cube.id: cube.shape for cube in cubes}))
    print(f"submission: {path}, {count} cube{'' if count == 1 else 's'}, read back and valid")
