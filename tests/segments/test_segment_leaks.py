"""In scroll space: boxes of training, many and of every kind of fold, against every voxel about every row that is closed."""

import numpy as np
import pytest

from scroll.config.schema import AugmentSettings, FoldSettings, MemberSettings
from scroll.data.folds import Fold, make_folds
from scroll.data.patch_sampler import draw
from scroll.data.segments import Segment, TracedVolume, by_volume, find_segments
from scroll.errors import InputError
from stage1_3d.segments.boxes import Boxes

SIZE = 12
MEMBER = MemberSettings(
    network="cnn3d", patch_size=(SIZE,) * 3, supervision="band", augment=AugmentSettings(depth_jitter=0)
)


def voxels_about(volume: TracedVolume, rows_of: dict[str, tuple[int, int]]) -> np.ndarray:
    """(Z, Y, X) bool: the depth window about some working rows of a volume's segments, all in level-0 voxels."""
    found = np.zeros(volume.volume.shape, dtype=bool)
    for segment in volume.segments:
        first, end = (row * segment.data.bin_yx for row in rows_of.get(segment.id, (0, 0)))
        tile = segment.surface.tile(slice(first, end), slice(None))
        for depth in range(*segment.data.depth):
            at = np.rint(tile.points[tile.valid] + depth * tile.normals[tile.valid]).astype(int)
            found[tuple(at[((at >= 0) & (at < found.shape)).all(axis=1)].T)] = True
    return found


def drawn(segments: list[Segment], fold: Fold, count: int) -> list[tuple[str, tuple[slice, ...]]]:
    boxes = Boxes(by_volume(segments), fold, MEMBER, is_training=True)
    places = [boxes.place(draw(0, n)) for n in range(count)]
    return [(volume.name, tuple(slice(c, c + SIZE) for c in corner)) for volume, corner in places]


@pytest.mark.parametrize(
    "settings",
    [
        FoldSettings(by="volume", count=2),
        FoldSettings(by="scroll", count=2),
        FoldSettings(by="region", count=2, buffer_px=SIZE // 2),
    ],
    ids=lambda settings: f"{settings.by}-{settings.count}",
)
def test_no_training_box_holds_a_voxel_about_a_closed_row(data, settings):
    """With bands of rows the closed rows are the held-out ones and the buffer: so far away does every box stay."""
    segments = find_segments(data.root / "train", data)
    for fold in make_folds(segments, settings):
        if settings.by == "region":
            for segment in segments:
                (first, end), (start, stop) = fold.held_out[segment.id], fold.closed[segment.id]
                height = segment.mask.shape[0]
                assert (start, stop) == (max(0, first - SIZE // 2), min(height, end + SIZE // 2))
        closed = {volume.name: voxels_about(volume, fold.closed) for volume in by_volume(segments)}
        assert any(mask.any() for mask in closed.values())
        for name, box in drawn(segments, fold, 300):
            assert not closed[name][box].any()


def test_the_look_at_boxes_finds_a_leak_where_there_is_one(data):
    """Boxes of one fold, held against what the other holds out: many of them must be caught."""
    segments = find_segments(data.root / "train", data)
    first, second = make_folds(segments, FoldSettings(by="region", count=2, buffer_px=SIZE // 2))
    held_out = {volume.name: voxels_about(volume, second.held_out) for volume in by_volume(segments)}
    caught = [held_out[name][box].any() for name, box in drawn(segments, first, 100)]
    assert np.mean(caught) > 0.9
    with pytest.raises(InputError, match="are held out, but only"):
        Fold(0, first.held_out, {})
