"""Training boxes in cubes: balanced, mostly known, a pure function of their number, and never out of a held-out cube."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from drawn_cubes import cubes_of, striped, write_cubes
from stored_patches import assert_left_to_the_device_they_are_the_same

from scroll.config.schema import AugmentSettings, FoldSettings, MemberSettings
from scroll.data.cubes import Cube, prepare, training_cubes
from scroll.data.folds import Fold, make_folds
from scroll.data.patch_sampler import draw
from scroll.errors import InputError
from stage1_3d.cubes import boxes as cube_boxes
from stage1_3d.cubes.boxes import CubeBoxes
from stage1_3d.cubes.dataset import CubePatches

PLAIN = AugmentSettings(
    flips=False, quarter_turns=False, brightness=0, contrast=0, noise=0, layer_dropout=0, depth_jitter=0, cutout=0
)
MEMBER = MemberSettings(network="unet3d", patch_size=(16, 24, 32), supervision="band", augment=PLAIN)
OPEN = Fold(0, {}, {})


def member(**changes: object) -> MemberSettings:
    return MemberSettings.model_validate(MEMBER.model_dump() | changes)


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> list[Cube]:
    """Four cubes of one surface sheet each in a corner, a few known voxels about it, and a bare known half elsewhere."""
    root = tmp_path_factory.mktemp("sparse")
    labels = {}
    for number in range(4):
        label = np.full((64, 64, 80), 2, np.uint8)
        label[:, 32:, 16:64] = 0
        label[4:12, 2:10, 4:12] = 0
        label[4:12, 2:10, 8] = 1
        labels[f"c{number}"] = label
    write_cubes(root, labels, {f"c{number}": str(number % 2) for number in range(4)})
    return prepare(cubes_of(root))


def boxes_of(cubes: list[Cube], count: int, seed: int = 0, **changes: object) -> list[cube_boxes.CubeBox]:
    boxes = CubeBoxes(cubes, OPEN, member(**changes), is_training=True)
    return [boxes.place(draw(seed, n)) for n in range(count)]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_that_share_of_the_boxes_holds_surface(sparse, share):
    boxes = boxes_of(sparse, 100, foreground_share=share)  # of the known voxels one in 350 is surface, and is by itself
    found = np.mean([box.label.target.any() for box in boxes])
    by_chance = np.mean([box.label.target.any() for box in boxes_of(sparse, 100, seed=1, foreground_share=0)])
    assert by_chance < 0.1
    assert abs(found - (share + (1 - share) * by_chance)) < 0.15
    if share == 1:
        assert found == 1


def test_a_box_about_the_surface_holds_a_voxel_of_it_however_lonely_and_small(tmp_path):
    label = np.zeros((40, 50, 60), np.uint8)
    label[20, 49, 0] = 1
    write_cubes(tmp_path, {"a": label})
    for box in boxes_of(prepare(cubes_of(tmp_path)), 30, foreground_share=1.0, patch_size=(8, 8, 8)):
        assert box.label.target.sum() == 1


def test_boxes_lie_inside_and_bear_the_label_that_is_there(sparse):
    for box in boxes_of(sparse, 30):
        assert all(0 <= c <= n - s for c, n, s in zip(box.corner, box.cube.shape, MEMBER.patch_size, strict=True))
        drawn = tifffile.imread(box.cube.label_path)
        drawn = drawn[tuple(slice(c, c + s) for c, s in zip(box.corner, MEMBER.patch_size, strict=True))]
        assert (box.label.target == (drawn == 1)).all() and (box.label.ignore == (drawn == 2)).all()
        assert box.known_share == pytest.approx((drawn != 2).mean()) and box.known_share > 0


def test_boxes_that_are_mostly_unknown_are_avoided(tmp_path, monkeypatch):
    label = np.full((32, 64, 64), 2, np.uint8)
    label[:, :40, :40] = 0
    label[::8, ::8, ::8] = 1  # known voxels all over, far from one another
    write_cubes(tmp_path, {"a": label})
    cubes = prepare(cubes_of(tmp_path))

    def unknown() -> float:
        few = [box.known_share < cube_boxes.KNOWN_SHARE for box in boxes_of(cubes, 60, foreground_share=1)]
        return float(np.mean(few))

    avoided = unknown()
    monkeypatch.setattr(cube_boxes, "ATTEMPTS", 1)
    assert unknown() > 0.25 and avoided < 0.02


def test_every_scroll_and_every_labelled_place_is_reached(sparse):
    seen = {cube.id: np.zeros(cube.shape, bool) for cube in sparse}
    for box in boxes_of(sparse, 250, foreground_share=0.1):
        seen[box.cube.id][tuple(slice(c, c + s) for c, s in zip(box.corner, MEMBER.patch_size, strict=True))] = True
    for cube in sparse:
        known = tifffile.imread(cube.label_path) != 2
        assert seen[cube.id][known].mean() > 0.9


@pytest.mark.parametrize("by", ["scroll", "fragment"])
def test_no_training_box_is_of_a_held_out_cube_and_validation_boxes_are_of_no_other(sparse, by):
    folds = make_folds(sparse, FoldSettings(by=by, count=2))
    for fold in folds:
        for is_training in (True, False):
            boxes = CubeBoxes(sparse, fold, MEMBER, is_training)
            drawn = {boxes.place(draw(0, n)).cube.id for n in range(25)}
            others = {cube.id for cube in sparse} - {*fold.held_out}
            assert drawn == (others if is_training else {*fold.held_out})


def test_a_fold_left_without_labels_is_refused(tmp_path):
    write_cubes(tmp_path, {"a": striped((16, 16, 16)), "b": np.full((16, 16, 16), 2, np.uint8)}, {"a": "1", "b": "2"})
    cubes = prepare(cubes_of(tmp_path))
    holds_b, holds_a = sorted(make_folds(cubes, FoldSettings(by="scroll", count=2)), key=lambda f: "a" in f.held_out)
    with pytest.raises(InputError, match="none of its 1 cubes to train on has a labelled voxel"):
        CubeBoxes(cubes, holds_a, MEMBER, is_training=True)
    with pytest.raises(InputError, match="none of its 1 cubes to validate on has a labelled voxel"):
        CubeBoxes(cubes, holds_b, MEMBER, is_training=False)


def test_cubes_without_surface_are_trained_on_all_the_same(tmp_path):
    write_cubes(tmp_path, {"a": np.zeros((16, 32, 32), np.uint8)})
    (box,) = boxes_of(prepare(cubes_of(tmp_path)), 1, foreground_share=1.0)
    assert box.known_share == 1 and not box.label.target.any()


def items(cubes: list[Cube], numbers: list[int], seed: int = 1, **changes: object) -> list[dict[str, np.ndarray]]:
    fold = make_folds(cubes, FoldSettings(by="scroll", count=2))[1]
    patches = CubePatches(cubes, fold, member(**changes), seed, is_training=True)
    return [{key: tensor.numpy() for key, tensor in patches[n].items()} for n in numbers]


def test_patch_n_is_the_same_whatever_was_asked_before(data):
    cubes = prepare(training_cubes(data))
    noisy = AugmentSettings(depth_jitter=0)
    in_order = items(cubes, [0, 1, 2, 3, 4, 5], augment=noisy)
    for n, again in zip([4, 0, 5, 2], items(training_cubes(data), [4, 0, 5, 2], augment=noisy), strict=True):
        assert all((again[key] == in_order[n][key]).all() for key in ("ct", "target", "ignore"))
    assert len({item["ct"].tobytes() for item in in_order}) == 6
    assert (items(cubes, [0], seed=2, augment=noisy)[0]["ct"] != in_order[0]["ct"]).any()


def test_a_patch_drawn_in_another_process_is_the_same_and_no_voxel_travels_there(sparse):
    fold = make_folds(sparse, FoldSettings(by="scroll", count=2))[0]
    patches = CubePatches(sparse, fold, MEMBER, 1, is_training=True)
    sent = pickle.dumps(patches)
    assert len(sent) < 0.02 * sum(np.prod(cube.shape) for cube in sparse)
    there = pickle.loads(sent)
    assert all((there[3][key] == patches[3][key]).all() for key in ("ct", "target", "ignore"))


@pytest.mark.parametrize("skeleton_recall", [0, 0.5])
def test_boxes_left_to_the_device_are_the_same_and_are_sent_as_they_are_stored(data, skeleton_recall):
    cubes = prepare(training_cubes(data))
    fold = make_folds(cubes, FoldSettings(by="scroll", count=2))[1]
    moved = AugmentSettings(turn_degrees=15, zoom=0.1, elastic_vox=1, blur=1, noise=0, cutmix=0.5, layer_dropout=0)
    asking = member(augment=moved.model_dump(), loss={"skeleton_recall": skeleton_recall})
    patches = CubePatches(cubes, fold, asking, 1, is_training=True)
    assert assert_left_to_the_device_they_are_the_same(patches, list(range(6)))["image"] == torch.uint8


def test_label_and_ct_are_moved_alike_and_shaped_alike(tmp_path):
    write_cubes(tmp_path, {"a": striped((40, 40, 40), 3), "b": striped((40, 40, 40), 5)}, {"a": "1", "b": "2"})
    moved = AugmentSettings.model_validate(PLAIN.model_dump() | {"flips": True, "quarter_turns": True})
    for item in items(prepare(cubes_of(tmp_path)), list(range(12)), patch_size=(16, 24, 24), augment=moved):
        assert item["ct"].shape == (1, 16, 24, 24) and item["ct"].dtype == np.float32
        assert item["target"].shape == item["ignore"].shape == (16, 24, 24)
        known = ~item["ignore"]
        bright = (
            item["ct"][0] > item["ct"][0][known & ~item["target"]].max()
        )  # surface is grey 100 to 109, the rest 50 to 59
        assert (bright[known] == item["target"][known]).all() and known.any()


def test_a_patch_larger_than_its_cube_is_padded_and_what_was_added_is_ignored(tmp_path):
    shape = (20, 24, 28)
    write_cubes(tmp_path, {"a": striped(shape, 3, 1.0), "b": striped(shape, 5, 1.0)}, {"a": "1", "b": "2"})
    for item in items(prepare(cubes_of(tmp_path)), [0, 1], patch_size=(32, 32, 32)):
        known = ~item["ignore"]
        assert known.sum() == np.prod(shape) and known[:20, :24, :28].all()
        assert np.isfinite(item["ct"]).all() and (item["ct"][0, 20:] == item["ct"][0, 19]).all()


def test_validation_patches_are_plain(tmp_path: Path):
    write_cubes(tmp_path, {"a": striped((40, 40, 40), 3), "b": striped((40, 40, 40), 5)}, {"a": "1", "b": "2"})
    cubes = prepare(cubes_of(tmp_path))
    fold = make_folds(cubes, FoldSettings(by="scroll", count=2))[0]
    validated = member(augment=AugmentSettings(), training={"validation_patches": 6})
    patches = CubePatches(cubes, fold, validated, 0, is_training=False)
    assert len(patches) == 6
    (cube,) = [cube for cube in cubes if cube.id in fold.held_out]
    whole = cube.patch((0, 0, 0), cube.shape)
    for n in range(6):
        found = patches[n]["ct"].numpy()[0]
        corner = patches.boxes.place(draw(0, n, 1)).corner
        assert (found == whole[tuple(slice(c, c + s) for c, s in zip(corner, found.shape, strict=True))]).all()
