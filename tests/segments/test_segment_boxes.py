"""Training boxes in scroll space see nothing of what their fold holds out, and carry the label that was drawn on the sheet."""

import numpy as np
import pytest
import torch
from stored_patches import assert_left_to_the_device_they_are_the_same

from ensemble.commands import preview
from scroll.config.schema import AugmentSettings, FoldSettings, LossSettings, MemberSettings
from scroll.data.folds import make_folds
from scroll.data.patch_sampler import draw
from scroll.data.sample import skeleton_tube
from scroll.data.segments import at_level, by_volume, find_segments
from scroll.errors import InputError
from stage1_3d.segments.boxes import Boxes, closed_blocks
from stage1_3d.segments.dataset import LabelledVolume, SegmentPatches
from stage1_3d.segments.lifted_labels import INK, UNKNOWN, lifted_label, open_lifted

PLAIN = AugmentSettings(
    flips=False, quarter_turns=False, brightness=0, contrast=0, noise=0, layer_dropout=0, depth_jitter=0, cutout=0
)
MEMBER = MemberSettings(network="cnn3d", patch_size=(24, 24, 24), supervision="band", ink_depth=(-2, 4), augment=PLAIN)


def held_out_voxels(volume, fold):
    """Every voxel of the band of every held-out row of a volume, (n, 3)."""
    found = []
    for segment in volume.segments:
        start, stop = (row * segment.data.bin_yx for row in fold.held_out.get(segment.id, (0, 0)))
        tile = segment.surface.tile(slice(start, stop), slice(None))
        for depth in range(*segment.data.depth):
            found.append(tile.points[tile.valid] + depth * tile.normals[tile.valid])
    return np.rint(np.concatenate(found)).astype(int) if found else np.empty((0, 3), int)


@pytest.mark.parametrize("level", [0, 1])
def test_no_training_box_holds_a_held_out_voxel_of_any_segment_of_its_volume(data, level):
    data = data.model_copy(update={"level": level})
    segments = [s for s in find_segments(data.root / "train", data) if s.volume_name == "1"]
    volumes = by_volume(segments)
    for fold in make_folds(segments, FoldSettings(by="region", count=2, buffer_px=2)):
        forbidden = at_level(held_out_voxels(volumes[0], fold).astype(float), level)
        assert len(forbidden)
        size = 12 // 2**level
        boxes = Boxes(volumes, fold, MEMBER.model_copy(update={"patch_size": (size,) * 3}), is_training=True)
        for n in range(60):
            _, corner = boxes.place(draw(0, n))
            inside = ((forbidden >= np.array(corner)) & (forbidden <= np.array(corner) + size - 1)).all(axis=1)
            assert not inside.any()


def test_holding_out_neighbouring_wraps_leaves_no_box_and_says_what_to_do(data):
    segments = [s for s in find_segments(data.root / "train", data) if s.volume_name == "1"]
    fold = make_folds(segments, FoldSettings(by="fragment", count=2))[0]
    wide = MEMBER.model_copy(update={"patch_size": (64, 64, 64)})
    boxes = Boxes(by_volume(segments), fold, wide, is_training=True)
    with pytest.raises(InputError, match=r"folds\.by: volume"):
        boxes.place(draw(0, 0))


def test_whole_volumes_held_out_close_nothing_in_the_others(data):
    segments = find_segments(data.root / "train", data)
    volumes = by_volume(segments)
    for fold in make_folds(segments, FoldSettings(by="volume", count=2)):
        shut = [volume.name for volume in volumes if closed_blocks(volume, fold).marked.any()]
        assert shut == [volumes[fold.number].name]
        training = Boxes(volumes, fold, MEMBER, is_training=True)
        held_out = Boxes(volumes, fold, MEMBER, is_training=False)
        assert {training.place(draw(0, n))[0].name for n in range(30)} == {volumes[1 - fold.number].name}
        assert {held_out.place(draw(0, n))[0].name for n in range(30)} == {volumes[fold.number].name}


def test_boxes_lie_inside_the_volume_and_hold_the_sheet(data):
    segments = find_segments(data.root / "train", data)
    fold = make_folds(segments, FoldSettings(by="volume", count=2))[0]
    boxes = Boxes(by_volume(segments), fold, MEMBER, is_training=True)
    labels = {v.name: open_lifted(lifted_label(v, MEMBER.ink_depth)) for v in by_volume(segments)}
    for n in range(40):
        volume, corner = boxes.place(draw(3, n))
        assert all(0 <= c <= length - 24 for c, length in zip(corner, volume.volume.shape, strict=True))
        assert (labels[volume.name][tuple(slice(c, c + 24) for c in corner)] != UNKNOWN).any()


def test_the_lifted_label_is_the_drawn_one(data):
    for volume in by_volume(find_segments(data.root / "train", data)):
        label = open_lifted(lifted_label(volume, (-2, 4)))
        right = wrong = 0
        for segment in volume.segments:
            tile, drawn = segment.surface.tile(slice(None), slice(None)), segment.full_label
            known = tile.valid & ~drawn.ignore
            for depth in (-1.0, 0.0, 2.0):
                at = np.rint(tile.points[known] + depth * tile.normals[known]).astype(int)
                at = np.clip(at, 0, np.array(volume.volume.shape) - 1)
                found = label[tuple(slice(0, n) for n in label.shape)][tuple(at.T)]
                right += np.count_nonzero((found == INK) == drawn.target[known])
                wrong += np.count_nonzero((found == INK) != drawn.target[known])
        assert right > 0.95 * (right + wrong)  # the rest are voxels rounded across an edge, and wraps that touch


def test_ink_is_unknown_where_it_may_not_lie_and_bare_papyrus_is_known_there(data):
    volume = by_volume(find_segments(data.root / "train", data))[0]
    label = open_lifted(lifted_label(volume, (-2, 4)))[tuple(slice(0, n) for n in volume.volume.shape)]
    segment = max(volume.segments, key=lambda s: s.full_mask.sum())
    tile, drawn = segment.surface.tile(slice(None), slice(None)), segment.full_label
    for is_ink, least in ((True, 0.9), (False, 0.0)):
        picked = tile.valid & ~drawn.ignore & (drawn.target == is_ink)
        at = np.rint(tile.points[picked] + 6 * tile.normals[picked]).astype(int)
        at = np.clip(at, 0, np.array(label.shape) - 1)
        unknown = (label[tuple(at.T)] == UNKNOWN).mean()
        assert unknown >= least if is_ink else unknown < 0.15


@pytest.mark.parametrize(
    "augment",
    [
        AugmentSettings(),
        AugmentSettings(across_sheets=True, turn_degrees=20, zoom=0.2, elastic_vox=1, blur=1, mixup=0.5, cutmix=0.5),
    ],
)
def test_a_patch_depends_on_seed_and_number_alone(data, augment):
    segments = find_segments(data.root / "train", data)
    fold = make_folds(segments, FoldSettings(by="volume", count=2))[1]
    member = MEMBER.model_copy(update={"augment": augment})

    def patches(seed):
        volumes = [LabelledVolume(v, lifted_label(v, member.ink_depth)) for v in by_volume(segments)]
        return SegmentPatches(volumes, fold, member, seed, is_training=True)

    first, again, other = patches(4), patches(4), patches(5)
    _ = again[9], again[2]
    for n in (0, 3, 7):
        for key in ("ct", "target", "ignore"):
            assert (first[n][key] == again[n][key]).all()
    assert any((first[n]["ct"] != other[n]["ct"]).any() for n in range(3))
    assert first[0]["ct"].shape == (1, 24, 24, 24) and first[0]["target"].shape == (24, 24, 24)


def test_a_patch_carries_its_skeleton_where_the_loss_asks_for_it(data):
    segments = find_segments(data.root / "train", data)
    fold = make_folds(segments, FoldSettings(by="volume", count=2))[0]
    volumes = [LabelledVolume(v, lifted_label(v, MEMBER.ink_depth)) for v in by_volume(segments)]
    asking = MEMBER.model_copy(update={"loss": LossSettings(skeleton_recall=1), "augment": AugmentSettings()})
    found = 0
    for is_training in (True, False):
        patches = SegmentPatches(volumes, fold, asking, 0, is_training)
        for patch in (patches[n] for n in range(6)):
            skeleton = patch["skeleton"].numpy()
            assert (skeleton == skeleton_tube(patch["target"].numpy(), patch["ignore"].numpy())).all()
            found += skeleton.sum()
    assert found


def test_ink_and_bare_papyrus_are_both_drawn(data):
    segments = find_segments(data.root / "train", data)
    fold = make_folds(segments, FoldSettings(by="volume", count=2))[0]
    volumes = [LabelledVolume(v, lifted_label(v, MEMBER.ink_depth)) for v in by_volume(segments)]
    patches = SegmentPatches(volumes, fold, MEMBER, 0, is_training=True)
    inked = [bool((patches[n]["target"] & ~patches[n]["ignore"]).any()) for n in range(30)]
    assert sum(inked) >= 8
    known = np.mean([float((~patches[n]["ignore"]).float().mean()) for n in range(10)])
    assert known > 0.2


def test_no_box_is_drawn_about_a_working_pixel_whose_middle_is_off_the_sheet(data):
    data = data.model_copy(update={"bin_yx": 8})
    segments = [
        s
        for s in find_segments(data.root / "train", data)
        if np.linalg.norm(s.surface.points[s.surface.valid], axis=-1).min() > 16  # far from the volume's first corner
    ]
    fold = make_folds(segments, FoldSettings(by="volume", count=2))[0]
    small = MEMBER.model_copy(update={"patch_size": (8, 8, 8)})
    boxes = Boxes(by_volume(segments), fold, small, is_training=True)
    rims = [s.mask & ~s.surface.tile(slice(None), slice(None), 8).valid for s in segments]
    assert sum(rim.sum() for rim in rims) > 10  # such pixels there are, and their point is (-1, -1, -1)
    assert (0, 0, 0) not in {boxes.place(draw(1, n))[1] for n in range(300)}


@pytest.mark.parametrize("skeleton_recall", [0, 0.5])
def test_boxes_left_to_the_device_are_the_same_and_are_sent_as_they_are_stored(data, skeleton_recall):
    segments = find_segments(data.root / "train", data)
    fold = make_folds(segments, FoldSettings(by="volume", count=2))[0]
    quiet = AugmentSettings(turn_degrees=20, zoom=0.2, elastic_vox=1, blur=1, mixup=0.5, cutmix=0.5, noise=0)
    volumes = [LabelledVolume(v, lifted_label(v, MEMBER.ink_depth)) for v in by_volume(segments)]
    loss = LossSettings(skeleton_recall=skeleton_recall)
    patches = SegmentPatches(volumes, fold, MEMBER.model_copy(update={"augment": quiet, "loss": loss}), 0, True)
    assert assert_left_to_the_device_they_are_the_same(patches, list(range(6)))["image"] == torch.uint8


def test_the_preview_shows_boxes_with_every_augmentation_of_scroll_space(data):
    segments = find_segments(data.root / "train", data)
    fold = make_folds(segments, FoldSettings(by="volume", count=2))[0]
    augment = AugmentSettings(turn_degrees=20, zoom=0.2, elastic_vox=1, blur=1, mixup=0.5, cutmix=0.5)
    volumes = [LabelledVolume(v, lifted_label(v, MEMBER.ink_depth)) for v in by_volume(segments)]
    patches = SegmentPatches(volumes, fold, MEMBER.model_copy(update={"augment": augment}), 0, is_training=True)
    plain = patches.cut(draw(0, 0), augment)
    for setting in preview.switched_on(augment, patches.space):
        assert (preview.looks(patches, 0, augment, setting).image != plain.image).any(), setting
