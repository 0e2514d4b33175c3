"""What the doctor looks at where sheets are traced in scroll volumes: geometry, CT on the sheet, labels, folds."""

import warnings
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from scroll.config.schema import Settings
from scroll.data.folds import make_folds
from scroll.data.kinds import training_items
from scroll.data.patch_sampler import draw
from scroll.data.segments import Segment, at_level, by_volume
from scroll.errors import InputError
from stage1_3d.doctor_checks import check_ink
from stage1_3d.segments.boxes import Boxes

SAMPLES = 1024
LEAST_ON_CT = 0.95  # share of sampled places on the sheet with CT that is not 0


def items_of(settings: Settings) -> list[Segment]:
    """The training segments.

    Raises:
        MissingInputError: the folder, or one of `data.train`, is not there.
    """
    return training_items(settings.data)


def checks_of_all(settings: Settings, segments: list[Segment]) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is looked at in all of them together: a name, and a check that raises InputError."""
    yield f"folds: {settings.folds.count} by {settings.folds.by}", partial(check_folds, settings, segments)


def described(segment: Segment) -> str:
    """One line about a segment that is sound."""
    area_cm2 = np.count_nonzero(segment.full_mask) * segment.pixel_um**2 / 1e8
    return (
        f"segment '{segment.id}': canvas {segment.shape_yx}, {area_cm2:.2f} cm2, cell {segment.surface.cell_vox} voxels, "
        f"in volume '{segment.volume_name}' {segment.volume.shape} {segment.volume.dtype}"
    )


def check(segment: Segment) -> None:
    """The surface, the volume around it, and the label.

    Raises:
        InputError: the first thing that is wrong.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        _ = segment.surface  # looked at here first: what is cached warns no more
    doubts = [str(one.message) for one in caught if one.category is UserWarning]
    if doubts:
        raise InputError(doubts[0])
    _check_ct(segment)
    check_ink(segment.full_label, str(segment.full_labels.files[0]), "on the traced sheet")


def _check_ct(segment: Segment) -> None:
    """Most of the sheet must lie where there is CT: a masked volume is 0 outside the scroll, and so is another scroll's."""
    rows, columns = np.nonzero(segment.mask)
    if not len(rows):
        raise InputError(
            f"{segment.folder}: no traced point is inside the volume {segment.volume.shape}; is it another scroll's?"
        )
    picked = np.random.default_rng(0).choice(len(rows), size=min(SAMPLES, len(rows)), replace=False)
    last, scale = np.array(segment.volume.shape) - 1, segment.data.bin_yx
    looked = found = 0
    for row, column in zip(rows[picked], columns[picked], strict=True):
        tile = segment.surface.tile(slice(row, row + 1), slice(column, column + 1), scale)
        if not tile.valid[0, 0]:  # at the rim half a working pixel is papyrus, but not its middle
            continue
        z, y, x = (int(c) for c in np.clip(np.rint(at_level(tile.points[0, 0], segment.volume.place)), 0, last))
        looked += 1
        found += bool(segment.volume[z, y, x] != 0)
    if found < LEAST_ON_CT * looked:
        raise InputError(
            f"{segment.folder}: CT is 0 at {looked - found} of {looked} places on the sheet, expected at most "
            f"{1 - LEAST_ON_CT:.0%}; is it traced in another volume than '{segment.volume_name}', or at another resolution?"
        )


def check_folds(settings: Settings, segments: list[Segment]) -> None:
    """Draw boxes of every fold: there must be some that touch no held-out sheet, and stage two's patches must fit.

    Raises:
        InputError: naming the fold and what does not fit.
    """
    volumes = by_volume(segments)
    for fold in make_folds(segments, settings.folds):
        try:
            for is_training in (True, False):
                fold.sampler(segments, settings.stage2.patch_size, 0.5, is_training)
        except InputError as error:
            raise InputError(f"fold {fold.number}, stage2: {error}") from None
        for name, member in settings.stage1.trained.items():
            try:
                boxes = Boxes(volumes, fold, member, is_training=True)
                for n in range(20):
                    boxes.place(draw(settings.seed, n))
            except InputError as error:
                raise InputError(f"fold {fold.number}, stage1.members.{name}: {error}") from None
