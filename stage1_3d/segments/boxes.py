"""Where stage one looks in scroll space: boxes of CT about traced sheets that see nothing of what a fold holds out."""

from collections.abc import Sequence

import numpy as np

from scroll.config.schema import MemberSettings
from scroll.data.folds import Fold
from scroll.data.segments import TracedVolume, at_level
from scroll.data.shares import Shares
from scroll.errors import InputError
from scroll.surfaces.blocks import Blocks
from scroll.volumes.place import Place

ATTEMPTS = 200
Box = tuple[int, int, int]


class Boxes:
    """Where boxes of CT are drawn: around points of the sheets, never touching what the fold holds out.

    Args:
        volumes: the volumes with their segments.
        fold: which working rows are closed to training, or held out.
        member: size of a box, and the share that is drawn around ink.
        is_training: around open rows, free of every closed row's band; else around held-out rows.
        shares: each scroll's of every batch; None: none.

    Raises:
        InputError: nothing to draw around.
    """

    def __init__(
        self,
        volumes: Sequence[TracedVolume],
        fold: Fold,
        member: MemberSettings,
        is_training: bool,
        shares: Shares | None = None,
    ) -> None:
        self.size = member.patch_size
        self.volumes = {volume.name: volume for volume in volumes}
        self.segments = [segment for volume in volumes for segment in volume.segments]
        self.sampler = fold.sampler(self.segments, (1, 1), member.foreground_share, is_training, shares)
        self.closed = {name: closed_blocks(v, fold) for name, v in self.volumes.items()} if is_training else {}

    def place(self, rng: np.random.Generator, turn: int = 0) -> tuple[TracedVolume, Box]:
        """Volume and corner of a box, from the caller's random numbers.

        Raises:
            InputError: every one of many boxes touches a held-out sheet.
        """
        for _ in range(ATTEMPTS):
            place = self.sampler.place(rng, turn)
            segment = self.segments[place.source]
            if not segment.mask[place.y, place.x]:
                continue
            middle = segment.surface.tile(slice(place.y, place.y + 1), slice(place.x, place.x + 1), segment.data.bin_yx)
            if not middle.valid[0, 0]:  # at the rim half a working pixel is papyrus, but not its middle
                continue
            volume = self.volumes[segment.volume_name]
            corner = volume.inside(self._around(rng, middle.points[0, 0], segment.volume.place), self.size)
            if volume.name not in self.closed or not self.closed[volume.name].touches(corner, self.size):
                return volume, corner
        raise InputError(
            f"{ATTEMPTS} boxes of {self.size} voxels all touch held-out sheets of the same volume; hold out whole volumes "
            "(folds.by: volume) or bands of rows (folds.by: region), or make patch_size smaller"
        )

    def _around(self, rng: np.random.Generator, point: np.ndarray, volume: Place) -> np.ndarray:
        """Corner of a box about a point on a sheet (voxels of level 0), moved by up to a quarter of its size."""
        size = np.array(self.size)
        away = rng.uniform(-0.25, 0.25, 3) * size
        return np.asarray(at_level(point.astype(np.float64), volume) - size / 2 + away)


def closed_blocks(traced: TracedVolume, fold: Fold) -> Blocks:
    """Where in a volume no training box of this fold may look."""
    blocks = Blocks(traced.volume.shape)
    for segment in traced.segments:
        start, stop = fold.closed.get(segment.id, (0, 0))
        if stop > start:
            rows = (start * segment.data.bin_yx, stop * segment.data.bin_yx)
            blocks.mark(segment.surface, rows, segment.data.depth, segment.volume.place)
    return blocks
