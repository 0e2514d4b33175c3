"""Proposed labels: read beside a person's, carried through blocks, bands, changes and patches, and never taken for a person's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from ensemble.end_to_end.dataset import EndToEndPatches
from scroll.config.labels import LabelVersions
from scroll.config.schema import AugmentSettings, DataSettings, LossSettings, MemberSettings, Settings
from scroll.data.augment.augment import augmented, depth_moved, mixed, pasted
from scroll.data.augment.draws import draw_box, draw_depth_move
from scroll.data.augment.elastic import Warp, warped
from scroll.data.folds import Fold
from scroll.data.fragments import Fragment, find_fragments
from scroll.data.labels import Label, SheetLabels, binned_label, ink_band, labels_beside
from scroll.data.sample import Sample, Space, as_item
from scroll.errors import InputError, MissingInputError
from scroll.runtime.receipt import key_of
from stage1_3d.external.raw_dataset import pages_of
from stage1_3d.fragments.dataset import InkPatches
from stage2_2d.ink.dataset import StackPatches
from tests.data.scroll_fragments import write_fragment

SHAPE = (40, 50)
INK = np.zeros(SHAPE, bool)
INK[10:30, 5:20] = True
LEFT = np.zeros(SHAPE, bool)
LEFT[:, :12] = True


def save(path: Path, mask: np.ndarray) -> None:
    pixels = np.where(mask, 255, 0).astype(np.uint8)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        Image.fromarray(pixels).save(path)


def labels_of(folder: Path, **data: object) -> SheetLabels:
    return labels_beside(folder, "a", np.ones(SHAPE, bool), DataSettings.model_validate(data))


# files


def test_the_mask_is_read_under_the_names_and_numbers_of_the_other_masks(tmp_path):
    save(tmp_path / "inklabels.png", INK)
    assert labels_of(tmp_path).training.proposed is None
    save(tmp_path / "a_proposed_mask.png", ~LEFT)
    save(tmp_path / "proposed_mask_v2.tif", LEFT)
    found = labels_of(tmp_path)
    assert np.array_equal(found.training.proposed, LEFT) and not found.training.ignore.any()
    assert found.files[-1] == tmp_path / "proposed_mask_v2.tif"
    assert found.training.proposed_share == LEFT.mean()
    older = labels_of(tmp_path, label_versions={"proposed_mask": 0})
    assert np.array_equal(older.training.proposed, ~LEFT)
    with pytest.raises(MissingInputError, match=r"proposed_mask: .* version 5, there is version 0, version 2"):
        labels_of(tmp_path, label_versions={"proposed_mask": 5})


def test_it_marks_what_is_known_alone_and_nothing_marked_is_as_no_file(tmp_path):
    save(tmp_path / "inklabels.png", INK)
    save(tmp_path / "supervision_mask.png", ~LEFT)
    plain = labels_of(tmp_path).training
    save(tmp_path / "proposed_mask.png", LEFT)
    found = labels_of(tmp_path).training
    assert found.proposed is None and np.array_equal(found.ignore, plain.ignore)


def test_a_rim_that_it_is_too_small_for_is_nobodys(tmp_path):
    save(tmp_path / "inklabels.png", INK)
    save(tmp_path / "validation_mask.png", np.zeros(SHAPE, bool))
    save(tmp_path / "proposed_mask.png", LEFT[:-1])
    with pytest.warns(UserWarning, match="filled up with unknown"):
        found = labels_of(tmp_path)
    assert found.training.ignore[-1].all() and not found.training.ignore[:-1].any()
    save(tmp_path / "proposed_mask.png", LEFT[:-2])
    with pytest.raises(InputError, match=r"proposed_mask\.png"):
        labels_of(tmp_path)


def test_nothing_proposed_is_held_out_nor_scored(tmp_path):
    save(tmp_path / "inklabels.png", INK)
    save(tmp_path / "proposed_mask.png", LEFT)
    found = labels_of(tmp_path)
    assert np.array_equal(found.scored.ignore, LEFT) and not (found.scored.ink & LEFT).any()
    validated = np.zeros(SHAPE, bool)
    validated[20:] = True
    save(tmp_path / "validation_mask.png", validated)
    found = labels_of(tmp_path)
    assert np.array_equal(~found.held_out.ignore, validated & ~LEFT) and found.held_out.proposed is None
    assert np.array_equal(found.training.ignore, validated) and np.array_equal(
        found.training.proposed, LEFT & ~validated
    )
    coarse = found.binned(4)
    assert not (~coarse.training.ignore & ~coarse.held_out.ignore).any()


def test_asking_for_a_version_of_it_is_in_the_key_and_not_asking_is_not():
    other = LabelVersions(inklabels=2)
    assert set(other.model_dump()) == {"inklabels", "supervision_mask", "validation_mask"}
    asked = [
        key_of(DataSettings(label_versions=v).model_dump(mode="json"))
        for v in (other, other.model_copy(update={"proposed_mask": 1}))
    ]
    assert asked[0] != asked[1]


def test_a_mask_of_another_shape_than_its_label_is_refused():
    with pytest.raises(InputError, match="proposed mask"):
        Label(INK, INK, INK[1:])


# blocks and bands


def drawn_label(seed: int, is_soft: bool) -> Label:
    rng = np.random.default_rng(seed)
    target = rng.random((13, 17))
    target = target.astype(np.float32) if is_soft else target < 0.4
    return Label(target, rng.random((13, 17)) < 0.3, rng.random((13, 17)) < rng.random())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.integers(2, 5))
def test_blocks_of_people_are_those_without_any_proposal_bit_for_bit(seed, is_soft, edge):
    label = drawn_label(seed, is_soft)
    coarse, alone = binned_label(label, edge), binned_label(label.human, edge)
    assert np.array_equal(coarse.human.ignore, alone.ignore)
    assert np.array_equal(coarse.human.target[~alone.ignore], alone.target[~alone.ignore])
    assert np.array_equal(coarse.ignore, binned_label(Label(label.target, label.ignore), edge).ignore)


def test_a_block_is_proposed_where_people_alone_would_not_make_it_known():
    proposed = np.array([[0, 0, 1, 1, 1, 1], [0, 1, 1, 0, 1, 1]], bool)
    ignore = np.array([[0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 1]], bool)
    target = np.array([[1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 0]], bool)
    coarse = binned_label(Label(target, ignore, proposed), 2)
    assert coarse.ignore.tolist() == [[False, False, True]]
    assert coarse.proposed.tolist() == [[False, True, False]]
    assert coarse.target.tolist()[0][:2] == [True, True]


def test_a_band_is_proposed_at_every_layer_where_it_says_something():
    label = Label(INK, np.zeros(SHAPE, bool), LEFT)
    band = ink_band(label, 6, 3, (-1, 2))
    for layer in range(6):
        known = np.ones(SHAPE, bool) if 2 <= layer < 5 else ~INK
        assert np.array_equal(~band.ignore[layer], known) and np.array_equal(band.proposed[layer], LEFT & known)


def test_people_said_all_where_nothing_is_proposed():
    label = Label(INK, LEFT)
    assert label.human is label and not label.is_only_proposed and label.proposed_share == 0
    assert Label(INK, LEFT, ~LEFT).is_only_proposed and not Label(INK, np.ones(SHAPE, bool), LEFT).is_only_proposed
    assert not replace(label, proposed=LEFT).human.ink[LEFT].any()


# changes of a patch

EVERYTHING = AugmentSettings(
    turn_degrees=25, zoom=0.2, elastic_vox=1, mixup=0.5, cutmix=0.5, depth_cut_paste=0.5, across_sheets=False
)


def marked_by_target(rng: np.random.Generator, augment: AugmentSettings) -> Sample:
    """What is proposed is where the target is, so that both must move alike."""
    target = np.kron(rng.random((4, 4)) < 0.5, np.ones((6, 6), bool))
    target = np.broadcast_to(target, (8, 24, 24)).copy()
    return Sample(
        rng.standard_normal((8, 24, 24)).astype(np.float32), target, np.zeros(target.shape, bool), target.copy()
    )


@pytest.mark.parametrize("space", [Space.SHEET, Space.SCROLL])
def test_it_moves_as_the_target_does_under_every_change_together(space):
    augment = EVERYTHING if space is Space.SHEET else EVERYTHING.model_copy(update={"depth_cut_paste": 0})
    for seed in range(40):
        sample = augmented(np.random.default_rng(seed), marked_by_target, augment, space)
        # mixup: the target is a share, and anything above 0 is proposed
        assert np.array_equal(sample.proposed & ~sample.ignore, (sample.target > 0) & ~sample.ignore)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_a_warp_takes_the_nearest_pixel_and_nothing_from_beyond(seed, is_grey):
    rng = np.random.default_rng(seed)
    sample = marked_by_target(rng, AugmentSettings())
    target = (0.1 + 0.8 * sample.target).astype(np.float32) if is_grey else sample.target
    moved = warped(replace(sample, target=target), Warp(30.0, 0.8), Space.SHEET)
    as_ignored = warped(replace(sample, ignore=sample.proposed, proposed=None), Warp(30.0, 0.8), Space.SHEET)
    assert (
        np.array_equal(moved.proposed | moved.ignore, as_ignored.ignore) and not (moved.proposed & moved.ignore).any()
    )


def test_of_two_patches_either_is_proposed_in_a_mixture_and_the_pasted_one_in_its_box():
    rng = np.random.default_rng(0)
    first, second = marked_by_target(rng, EVERYTHING), marked_by_target(rng, EVERYTHING)
    assert np.array_equal(mixed(first, second, 0.3).proposed, first.proposed | second.proposed)
    box = draw_box(np.random.default_rng(3), first.image.shape[1:])
    whole = pasted(first, second, box)
    assert np.array_equal(whole.proposed, whole.target) and not np.array_equal(whole.target, first.target)
    human = replace(second, proposed=None)
    assert np.array_equal(mixed(first, human, 0.3).proposed, first.proposed)
    part = pasted(first, human, box).proposed
    assert np.array_equal(part, first.proposed & ~(whole.image != first.image))
    assert mixed(human, human, 0.3).proposed is None and pasted(human, human, box).proposed is None


def test_a_move_through_depth_leaves_nothing_proposed_in_the_blank_layers():
    sample = replace(marked_by_target(np.random.default_rng(1), EVERYTHING), proposed=np.ones((8, 24, 24), bool))
    moved = depth_moved(sample, draw_depth_move(np.random.default_rng(2), layers=8))
    assert np.array_equal(moved.proposed, ~moved.ignore) and moved.ignore.any()


def test_an_item_says_what_is_proposed_only_where_the_sample_does():
    sample = marked_by_target(np.random.default_rng(0), EVERYTHING)
    assert np.array_equal(as_item(sample, Space.SHEET, LossSettings())["proposed"].numpy(), sample.proposed)
    assert set(as_item(replace(sample, proposed=None), Space.SHEET, LossSettings())) == {"ct", "target", "ignore"}


# patches

SHEET = (64, 48)
FOLD = Fold(0, {"2": (0, 64)}, {"2": (0, 64)})


def fragments_of(root: Path, **marks: np.ndarray) -> list[Fragment]:
    """Sheets 1 and 2 with letters; `marks` are the proposals of sheets, by name."""
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        layers = rng.integers(0, 60_000, (8, *SHEET), dtype=np.uint16)
        ink = np.kron(rng.random((8, 6)) < 0.3, np.ones((8, 8), bool))
        number = {"one": "1", "two": "2"}[name]
        folder = write_fragment(root / "train" / number, layers, np.ones(SHEET, bool), ink)
        if name in marks:
            save(folder / "proposed_mask.png", marks[name])
    data = DataSettings(root=root, cache_dir=root / "cache", depth=(-2, 2))
    return find_fragments(root / "train", data, margin=1)


def datasets(fragments: list[Fragment], is_training: bool, **loss: float) -> list:
    """Stage one by depth pooling and in a band, stage two, and both end to end."""
    member = {"network": "cnn3d", "patch_size": (4, 16, 16), "loss": loss}
    end_to_end = {"member": "a", "patch_size_yx": (16, 16)}
    run = Settings.model_validate(
        {
            "run_dir": "none", "data": fragments[0].data, "stage1": {"members": {"a": member}},
            "stage2": {"patch_size": (32, 32), "loss": loss}, "end_to_end": end_to_end,
        }
    )  # fmt: skip
    band = MemberSettings.model_validate(member | {"supervision": "band", "ink_depth": (-1, 1)})
    stacks = [np.zeros((2, *SHEET), np.float32) for _ in fragments]
    return [
        InkPatches(fragments, FOLD, run.stage1.members["a"], 1, is_training),
        InkPatches(fragments, FOLD, band, 1, is_training),
        StackPatches(fragments, stacks, FOLD, run.stage2, 1, is_training),
        EndToEndPatches(run, fragments, stacks, FOLD, is_training),
    ]


HALF = np.zeros(SHEET, bool)
HALF[:, :24] = True
EVERY = np.ones(SHEET, bool)


def test_patches_without_a_proposal_hold_no_new_key(tmp_path):
    for patches in datasets(fragments_of(tmp_path), is_training=True):
        assert not {"proposed"} & set(patches[0])


def test_patches_say_what_is_proposed_where_they_were_cut_also_of_sheets_without_any(tmp_path):
    fragments = fragments_of(tmp_path, one=HALF)
    for patches in datasets(fragments, is_training=True):
        seen = {n: patches[n] for n in range(12)}
        assert all(item["proposed"].shape == item["target"].shape for item in seen.values())
        share = np.mean([float(item["proposed"].float().mean()) for item in seen.values()])
        assert 0.1 < share < 0.9
    both = InkPatches(fragments, Fold(0, {}, {}), MemberSettings(network="cnn3d", patch_size=(4, 16, 16)), 1, True)
    (batch,) = DataLoader(both, batch_sampler=[list(range(16))])
    assert batch["proposed"].shape == batch["target"].shape


def test_at_weight_0_patches_are_drawn_of_all_that_is_known_and_know_nothing_of_what_is_proposed(tmp_path):
    marked, unmarked = fragments_of(tmp_path / "a", one=HALF), fragments_of(tmp_path / "b")
    for patches, plain in zip(datasets(marked, True, proposed_weight=0), datasets(unmarked, True), strict=True):
        for n in range(6):
            item, whole = patches[n], plain[n]
            assert "proposed" not in item
            known = ~item["ignore"]
            assert np.array_equal(item["target"][known], whole["target"][known])
            assert not (~item["ignore"] & whole["ignore"]).any()
        assert any(patches[n]["ignore"].float().mean() > plain[n]["ignore"].float().mean() for n in range(6))


def test_a_fold_is_validated_on_what_people_said_where_anybody_said_anything_else_on_all(tmp_path):
    for patches in datasets(fragments_of(tmp_path / "a", two=HALF), is_training=False):
        items = [patches[n] for n in range(16)]
        assert all("proposed" not in item for item in items)
        assert any(item["ignore"].any() for item in items) and all((~item["ignore"]).any() for item in items)
    for patches in datasets(fragments_of(tmp_path / "b", two=EVERY), is_training=False):
        items = [patches[n] for n in range(16)]
        assert all((item["proposed"] | item["ignore"]).all() and item["proposed"].any() for item in items)


def test_proposals_change_no_validation_patch_where_people_labelled_anything(tmp_path):
    found = []
    for name, turned in (("a", False), ("b", True)):
        fragments = fragments_of(tmp_path / name, two=HALF)
        if turned:
            path = fragments[1].folder / "inklabels.png"
            ink = np.asarray(Image.open(path)) > 0
            save(path, ink ^ HALF)
        found.append(datasets(fragments, is_training=False))
    for one, other in zip(*found, strict=True):
        for n in range(8):
            known = ~one[n]["ignore"]
            assert np.array_equal(one[n]["ignore"], other[n]["ignore"])
            assert np.array_equal(one[n]["target"][known], other[n]["target"][known])


def test_a_data_set_for_others_knows_what_people_said_alone_for_it_has_no_weights(tmp_path):
    fragment = fragments_of(tmp_path, one=HALF)[0]
    run = Settings.model_validate(
        {"run_dir": "none", "data": fragment.data, "stage1": {"members": {"a": {"network": "cnn3d"}}}}
    )
    _, _, label = pages_of(fragment, run, (-1, 1))
    for page in label():
        assert (page[HALF] == 2).all() and set(np.unique(page[~HALF])) <= {0, 1}
