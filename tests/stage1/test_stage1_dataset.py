"""Stage one's patches: number n is always the same one, and the label moves with the papyrus."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from stored_patches import assert_left_to_the_device_they_are_the_same
from torch.utils.data import DataLoader

from scroll.config.schema import AugmentSettings, DataSettings, FoldSettings, MemberSettings, Stage2Settings
from scroll.data.folds import Fold, make_folds
from scroll.data.fragments import Fragment, find_fragments
from scroll.data.sample import skeleton_tube
from scroll.errors import InputError
from stage1_3d.fragments.dataset import InkPatches
from stage2_2d.ink.dataset import StackPatches

EVERYTHING = AugmentSettings(
    depth_jitter=2, blur=1, turn_degrees=20, zoom=0.2, elastic_vox=1, mixup=0.5, cutmix=0.5, depth_cut_paste=0.5
)
PLAIN = AugmentSettings(brightness=0, contrast=0, noise=0, layer_dropout=0, cutout=0, depth_jitter=2)
DARK, INK_STEP, LAYER_STEP = 20_000, 100, 1000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fragments, 20 x 96 x 80, whose voxels tell their layer (thousands) and whether their column is ink (100)."""
    root = tmp_path_factory.mktemp("talking")
    rng = np.random.default_rng(0)
    for name in ("1", "2"):
        ink = np.kron(rng.random((12, 10)) < 0.3, np.ones((8, 8))).astype(bool)
        mask = np.ones((96, 80), dtype=bool)
        mask[:, :16] = False
        folder = root / "train" / name
        (folder / "surface_volume").mkdir(parents=True)
        for layer in range(20):
            grey = np.where(ink, INK_STEP, 0) + LAYER_STEP * layer + DARK
            tifffile.imwrite(folder / "surface_volume" / f"{layer:02d}.tif", grey.astype(np.uint16))
        for file, pixels in (("mask", mask), ("inklabels", ink)):
            Image.fromarray(pixels.astype(np.uint8) * 255).save(folder / f"{file}.png")
    return root


def fragments_of(root: Path, margin: int = 2) -> list[Fragment]:
    data = DataSettings(root=root, depth=(-4, 5), cache_dir=root / "cache")
    return find_fragments(root / "train", data, margin=margin)


def patches_of(root: Path, is_training: bool = True, seed: int = 1, **member: object) -> tuple[InkPatches, Fold]:
    fragments = fragments_of(root)
    fold = make_folds(fragments, FoldSettings(by="region", count=3, buffer_px=16))[1]
    wanted = MemberSettings.model_validate({"network": "cnn3d", "patch_size": (5, 16, 16), "augment": PLAIN} | member)
    return InkPatches(fragments, fold, wanted, seed, is_training), fold


def grey_of(patch: dict[str, torch.Tensor], patches: InkPatches, source: int = 0) -> np.ndarray:
    """The patch in the file's grey values again; both fragments are alike in grey."""
    middle, spread = patches.fragments[source].grey_scale
    return np.rint(patch["ct"][0].numpy().astype(np.float64) * spread + middle)


def as_bytes(item: dict[str, torch.Tensor]) -> list[bytes]:
    return [item[key].numpy().tobytes() for key in ("ct", "target", "ignore")]


@pytest.mark.parametrize("supervision", ["depth_pool", "band"])
@pytest.mark.parametrize("noisy", [AugmentSettings(depth_jitter=2), EVERYTHING])
def test_patch_n_is_the_same_whatever_was_asked_before(root: Path, supervision: str, noisy: AugmentSettings) -> None:
    first, _ = patches_of(root, supervision=supervision, augment=noisy)
    again, _ = patches_of(root, supervision=supervision, augment=noisy)
    in_order = {n: as_bytes(first[n]) for n in range(8)}
    assert {n: as_bytes(again[n]) for n in (5, 0, 7, 3, 1, 6, 2, 4)} == in_order
    assert len({tuple(parts) for parts in in_order.values()}) == 8
    other, _ = patches_of(root, supervision=supervision, augment=noisy, seed=2)
    assert as_bytes(other[0]) != in_order[0]


@pytest.mark.slow
def test_patch_n_is_the_same_from_two_workers_as_from_none(root: Path) -> None:
    patches, _ = patches_of(root, supervision="band", augment=EVERYTHING)
    loader = DataLoader(patches, batch_size=None, sampler=range(6), num_workers=2, multiprocessing_context="spawn")
    assert [as_bytes(item) for item in loader] == [as_bytes(patches[n]) for n in range(6)]


def test_the_label_is_the_papyrus_own_through_every_symmetry(root: Path) -> None:
    patches, _ = patches_of(root)
    seen = set()
    for n in range(40):
        item = patches[n]
        column = grey_of(item, patches) % LAYER_STEP  # (Z, Y, X): 0 or INK_STEP, whichever layer
        assert item["ct"].shape == (1, 5, 16, 16) and item["target"].shape == (16, 16)
        assert (np.abs(column - INK_STEP * item["target"].numpy()) <= 3).all()
        outside = item["ignore"].numpy()
        if outside.any() and not outside.all():
            seen.add((bool(outside[0, :].all()), bool(outside[-1, :].all()), bool(outside[:, 0].all())))
    assert len(seen) > 2, "the ignore mask was never seen through different symmetries"


def test_a_band_moves_with_the_ct_when_the_window_is_jittered(root: Path) -> None:
    patches, _ = patches_of(root, supervision="band", ink_depth=(-1, 1))
    first_layers = set()
    for n in range(40):
        item = patches[n]
        layers = grey_of(item, patches)[:, 0, 0] // LAYER_STEP - DARK // LAYER_STEP
        first_layers.add(int(layers[0]))
        in_band = (layers >= 10 - 1) & (layers < 10 + 1)  # layer 10 of 20 is the sheet's centre
        target, ignore = item["target"].numpy(), item["ignore"].numpy()
        inked = target.any(axis=0)
        assert (target[:, inked] == in_band[:, None]).all()
        known = inked & ~ignore[in_band].any(axis=0)
        assert (ignore[:, known] == ~in_band[:, None]).all()
    assert first_layers == {6, 7, 8, 9, 10}  # 8 is the middle, jitter 2


def test_training_patches_never_see_a_closed_row_and_validation_ones_see_only_held_out_rows(root: Path) -> None:
    for is_training in (True, False):
        patches, fold = patches_of(root, is_training)
        rng = np.random.default_rng(0)
        for _ in range(300):
            place = patches.sampler.place(rng)
            name = patches.fragments[place.source].id
            rows = set(range(place.y, place.y + 16))
            if is_training:
                assert not rows & set(range(*fold.closed[name]))
            else:
                assert rows <= set(range(*fold.held_out[name]))


def test_validation_patches_are_plain(root: Path) -> None:
    patches, _ = patches_of(root, is_training=False)
    for n in range(10):
        greys = grey_of(patches[n], patches)
        assert (greys[:, 0, 0] // LAYER_STEP == np.arange(8, 13) + DARK // LAYER_STEP).all()  # the middle, unshifted
        assert (np.abs(greys % LAYER_STEP - INK_STEP * patches[n]["target"].numpy()) <= 3).all()


@pytest.mark.parametrize("supervision", ["depth_pool", "band"])
def test_the_skeleton_is_of_the_augmented_label_and_there_only_where_the_loss_asks_for_it(
    root: Path, supervision: str
) -> None:
    asked, _ = patches_of(root, supervision=supervision, loss={"skeleton_recall": 1})
    plain, _ = patches_of(root, supervision=supervision)
    found = 0
    for n in range(20):
        item = asked[n]
        skeleton = item.pop("skeleton").numpy()
        assert as_bytes(item) == as_bytes(plain[n]) and plain[n].keys() == item.keys()
        assert (skeleton == skeleton_tube(item["target"].numpy(), item["ignore"].numpy())).all()
        found += skeleton.sum()
    assert found


def digest(patches: InkPatches | StackPatches) -> str:
    """Of twelve patches."""
    found = hashlib.sha256()
    for n in range(12):
        for tensor in patches[n].values():
            found.update(tensor.numpy().tobytes())
    return found.hexdigest()[:16]


@pytest.mark.parametrize(
    ("supervision", "width", "is_training", "golden"),
    [
        ("depth_pool", 16, True, "c914be2b6c03dc9e"),
        ("depth_pool", 16, False, "93fa6d858108bc6c"),
        ("depth_pool", 24, True, "10b13c712585bdb5"),
        ("band", 16, True, "c799f5ca745a5823"),
        ("band", 24, True, "73e03ab53d1bcacc"),
        ("band", 24, False, "f9d46287baca7434"),
    ],
)
def test_default_patches_are_what_they_were_when_the_published_results_were_measured(
    root: Path, supervision: str, width: int, is_training: bool, golden: str
) -> None:
    """Digests of 2026-11-25, before turns, mixtures and the like were added; of training of 2026-11-30, when noise changed."""
    fragments = fragments_of(root, margin=1)
    fold = make_folds(fragments, FoldSettings(by="region", count=3, buffer_px=16))[1]
    member = MemberSettings(network="cnn3d", patch_size=(5, 16, width), supervision=supervision)
    assert digest(InkPatches(fragments, fold, member, 1, is_training)) == golden


@pytest.mark.parametrize(("is_training", "golden"), [(True, "f6cd5cc7570b1841"), (False, "db0087733f20330c")])
def test_default_patches_of_stage_two_are_what_they_were_too(root: Path, is_training: bool, golden: str) -> None:
    fragments = fragments_of(root)
    fold = make_folds(fragments, FoldSettings(by="region", count=3, buffer_px=16))[1]
    stacks = [np.random.default_rng(k).standard_normal((3, 96, 80), dtype=np.float32) for k in (0, 1)]
    patches = StackPatches(fragments, stacks, fold, Stage2Settings(patch_size=(16, 24)), 5, is_training)
    assert digest(patches) == golden


@pytest.mark.parametrize("skeleton_recall", [0, 0.5])
@pytest.mark.parametrize("supervision", ["depth_pool", "band"])
def test_patches_left_to_the_device_are_the_same_and_are_sent_as_they_are_stored(
    root: Path, supervision: str, skeleton_recall: float
) -> None:
    quiet = EVERYTHING.model_copy(update={"noise": 0.0})
    loss = {"skeleton_recall": skeleton_recall}
    patches, _ = patches_of(root, supervision=supervision, augment=quiet, loss=loss)
    sent = assert_left_to_the_device_they_are_the_same(patches, list(range(8)))
    assert sent["image"] == torch.uint16 and ("skeleton" in sent) == bool(skeleton_recall)


def test_patches_of_stage_two_left_to_the_device_are_the_same(root: Path) -> None:
    fragments = fragments_of(root)
    fold = make_folds(fragments, FoldSettings(by="region", count=3, buffer_px=16))[1]
    stacks = [np.random.default_rng(k).standard_normal((3, 96, 80), dtype=np.float32) * 20 for k in (0, 1)]
    quiet = EVERYTHING.model_copy(update={"noise": 0.0, "depth_cut_paste": 0.0})
    patches = StackPatches(fragments, stacks, fold, Stage2Settings(patch_size=(16, 24), augment=quiet), 5, True)
    sent = assert_left_to_the_device_they_are_the_same(patches, list(range(8)))
    assert sent == {"image": torch.float32, "codes": torch.uint8}


@pytest.mark.parametrize("supervision", ["depth_pool", "band"])
def test_all_augmentations_together_give_patches_of_one_shape_and_type(root: Path, supervision: str) -> None:
    patches, _ = patches_of(root, supervision=supervision, augment=EVERYTHING)
    items = [patches[n] for n in range(12)]
    for key, dtype in (("ct", torch.float32), ("target", torch.float32), ("ignore", torch.bool)):
        assert {(i[key].shape, i[key].dtype) for i in items} == {(items[0][key].shape, dtype)}
    assert all(torch.isfinite(i["ct"]).all() and i["target"].min() >= 0 and i["target"].max() <= 1 for i in items)


@pytest.mark.parametrize("mixture", ["mixup", "cutmix"])
def test_a_second_patch_that_sees_held_out_rows_is_refused_too(root: Path, mixture: str) -> None:
    """A fold that forgot to close the second fragment: patches of the first pass until they are mixed with one of the second."""
    fragments = fragments_of(root)
    fold = Fold(0, held_out={"2": (0, 96)}, closed={"2": (0, 96)})
    object.__setattr__(fold, "closed", {})  # no fold can be made so; the patches look for themselves all the same

    def leaks(augment: AugmentSettings) -> list[bool]:
        member = MemberSettings(network="cnn3d", patch_size=(5, 16, 16), augment=augment)
        patches, found = InkPatches(fragments, fold, member, 1, True), []
        for n in range(40):
            try:
                patches[n]
                found.append(False)
            except InputError as error:
                assert "sees held-out rows" in str(error)
                found.append(True)
        return found

    alone, with_a_second = leaks(PLAIN), leaks(PLAIN.model_copy(update={mixture: 1.0}))
    assert 8 < sum(alone) < 32
    assert all(second for first, second in zip(alone, with_a_second, strict=True) if first)
    assert 22 < sum(with_a_second) < 40  # three in four, where it was half
