"""Whatever the kind of folds, thousands of training patches of either stage, looked at one by one, hold no held-out pixel.

The fragments' grey values tell their rows, and so do the stacks': what a patch has seen is read off the patch itself.
"""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from scroll.config.reader import save_settings
from scroll.config.schema import AugmentSettings, DataSettings, FoldSettings, MemberSettings, Settings, Stage2Settings
from scroll.data.folds import Fold, check_buffer, make_folds, patch_rows
from scroll.data.fragments import Fragment
from scroll.data.patch_dataset import STAGE1
from scroll.data.patch_sampler import draw
from scroll.errors import InputError
from stage1_3d.fragments.dataset import InkPatches
from stage1_3d.network import load_checked_settings
from stage2_2d.ink.dataset import StackPatches
from stage2_2d.train import train_stage2

HEIGHT, WIDTH, LAYERS = 200, 64, 8
PATCH, BUFFER = 24, 30
PLAIN = AugmentSettings(brightness=0, contrast=0, noise=0, layer_dropout=0, cutout=0, depth_jitter=1)
KINDS = [
    FoldSettings(by="fragment", count=2),
    FoldSettings(by="fragment", count=4),
    FoldSettings(by="volume", count=2),
    FoldSettings(by="scroll", count=2),
    FoldSettings(by="region", count=2, buffer_px=BUFFER),
    FoldSettings(by="region", count=3, buffer_px=BUFFER),
]
SAID = [f"{kind.by}-{kind.count}" for kind in KINDS]


class OfScroll(Fragment):
    """A fragment that knows which scroll it comes from: its first letter."""

    @property
    def volume_name(self) -> str:
        """The scroll."""
        return self.id[0]


@pytest.fixture(scope="module")
def fragments(tmp_path_factory: pytest.TempPathFactory) -> list[OfScroll]:
    """Four fragments of two scrolls; every voxel's grey value is a hundred times its row."""
    root = tmp_path_factory.mktemp("rows")
    rng = np.random.default_rng(0)
    data = DataSettings(root=root, depth=(-2, 3), cache_dir=root / "cache")
    made = []
    for name in ("a1", "a2", "b1", "b2"):
        folder = root / "train" / name
        (folder / "surface_volume").mkdir(parents=True)
        grey = np.broadcast_to(np.arange(HEIGHT, dtype=np.uint16)[:, None] * 100, (HEIGHT, WIDTH))
        for layer in range(LAYERS):
            tifffile.imwrite(folder / "surface_volume" / f"{layer:02d}.tif", grey)
        ink = np.kron(rng.random((HEIGHT // 8, WIDTH // 8)) < 0.3, np.ones((8, 8)))
        mask = rng.random((HEIGHT, WIDTH)) < 0.95
        for file, pixels in (("mask", mask), ("inklabels", ink)):
            Image.fromarray(pixels.astype(np.uint8) * 255).save(folder / f"{file}.png")
        made.append(OfScroll(name, folder, data, margin=1))
    return made


def member(**changes: object) -> MemberSettings:
    wanted = {"network": "cnn3d", "patch_size": (4, PATCH, 16), "augment": PLAIN, "ink_depth": (-1, 2)}
    return MemberSettings.model_validate(wanted | changes)


def distances(rows: np.ndarray, held_out: tuple[int, int]) -> np.ndarray:
    """Rows between each of `rows` and the held-out ones; negative inside them."""
    first, end = held_out
    return np.maximum(first - rows, rows - end + 1) - 1


def check_seen(rows: np.ndarray, fragment: Fragment, fold: Fold, settings: FoldSettings) -> None:
    assert 1 < len(np.unique(rows)) <= PATCH
    if fragment.id in fold.held_out:
        least = distances(np.unique(rows), fold.held_out[fragment.id]).min()
        assert settings.by == "region" and least >= settings.buffer_px >= PATCH


@pytest.mark.parametrize("supervision", ["depth_pool", "band"])
@pytest.mark.parametrize("settings", KINDS, ids=SAID)
def test_no_training_patch_of_stage_one_sees_a_held_out_row(
    fragments: list[OfScroll], settings: FoldSettings, supervision: str
) -> None:
    for fold in make_folds(fragments, settings):
        patches = InkPatches(fragments, fold, member(supervision=supervision), seed=1, is_training=True)
        for n in range(600):
            fragment = fragments[patches.sampler.place(draw(1, n, STAGE1[0])).source]
            middle, spread = fragment.grey_scale
            rows = np.rint((patches[n]["ct"].numpy().astype(np.float64) * spread + middle) / 100).astype(int)
            check_seen(rows, fragment, fold, settings)


@pytest.mark.parametrize("settings", KINDS, ids=SAID)
def test_no_training_patch_of_stage_two_sees_a_held_out_row(fragments: list[OfScroll], settings: FoldSettings) -> None:
    rows = np.broadcast_to(np.arange(HEIGHT, dtype=np.float32)[:, None], (HEIGHT, WIDTH))
    stacks = [np.stack([rows, np.full_like(rows, number)]) for number in range(len(fragments))]
    stage2 = Stage2Settings(patch_size=(PATCH, 32), augment=PLAIN)
    for fold in make_folds(fragments, settings):
        patches = StackPatches(fragments, stacks, fold, stage2, seed=1, is_training=True)
        looked_at = set()
        for n in range(1000):
            seen, number = patches[n]["stack"].numpy()
            check_seen(seen.astype(int), fragments[int(number.flat[0])], fold, settings)
            looked_at.add(int(number.flat[0]))
        assert len(looked_at) == (len(fragments) if settings.by == "region" else len(fragments) - len(fold.held_out))


def test_scrolls_are_held_out_whole(fragments: list[OfScroll]) -> None:
    folds = make_folds(fragments, FoldSettings(by="scroll", count=2))
    assert [sorted(fold.held_out) for fold in folds] == [["a1", "a2"], ["b1", "b2"]]
    with pytest.raises(InputError, match=r"folds\.count is 3 but there are 2 training scrolls"):
        make_folds(fragments, FoldSettings(by="scroll", count=3))


def test_a_split_that_leaks_by_its_making_is_refused() -> None:
    for closed in ({}, {"a1": (10, 45)}, {"a1": (20, 50)}, {"a2": (0, 200)}):
        with pytest.raises(InputError, match=r"fold 3: rows 10-50 of 'a1' are held out, but only"):
            Fold(3, {"a1": (10, 50)}, closed)
    Fold(3, {"a1": (10, 50)}, {"a1": (10, 50)})
    Fold(3, {"a1": (0, 0)}, {})


def test_patches_of_one_fold_are_refused_by_another(fragments: list[OfScroll]) -> None:
    """As if the sampler had been made of the wrong rows: each training item is looked at once more before it leaves."""
    first, second = make_folds(fragments, FoldSettings(by="region", count=2, buffer_px=BUFFER))
    stage2 = Stage2Settings(patch_size=(PATCH, 32), augment=PLAIN)
    of_stage1 = InkPatches(fragments, first, member(), seed=1, is_training=True)
    of_stage2 = StackPatches(
        fragments, [np.zeros((1, HEIGHT, WIDTH), np.float32)] * 4, first, stage2, seed=1, is_training=True
    )
    for patches in (of_stage1, of_stage2):
        _ = patches[0]
        patches.fold = second
        with pytest.raises(InputError, match=r"sees held-out rows 100-200"):
            _ = patches[0]


def settings_of(**changes: object) -> Settings:
    wanted = {
        "run_dir": "runs/none",
        "folds": {"by": "region", "count": 2, "buffer_px": 95},
        "stage1": {"members": {"low": {"network": "cnn3d", "patch_size": (16, 32, 256)}, "high": {"network": "cnn3d"}}},
        "stage2": {"patch_size": (64, 256)},
    }
    return Settings.model_validate(wanted | changes)


def test_a_buffer_narrower_than_the_highest_patch_is_refused_and_the_right_one_named() -> None:
    with pytest.raises(InputError, match=r"buffer_px is 95, .* stage1\.members\.high .* 96 rows.* at least 96"):
        check_buffer(settings_of())
    check_buffer(settings_of(folds={"by": "region", "buffer_px": 96}))
    check_buffer(settings_of(folds={"by": "fragment", "buffer_px": 0}))
    with pytest.raises(InputError, match=r"patch of stage2 reaches over 128 rows"):
        check_buffer(settings_of(folds={"by": "region", "buffer_px": 96}, stage2={"patch_size": (128, 32)}))


@pytest.mark.parametrize(
    ("level", "bin_yx", "rows"),
    [(0, 1, 80), (0, 2, 40), (1, 2, 80), (2, 3, 107), (0, 16, 5)],
)
def test_in_scroll_space_voxels_of_the_level_become_working_rows(level: int, bin_yx: int, rows: int) -> None:
    """80 voxels of level n are 80 * 2**n of level 0."""
    boxes = {"members": {"box": {"network": "cnn3d", "patch_size": (80, 48, 64), "supervision": "band"}}}
    data = {"kind": "segments", "level": level, "bin_yx": bin_yx}
    wanted = patch_rows(settings_of(data=data, stage1=boxes))
    assert wanted == {"stage1.members.box": rows, "stage2": 64}


def test_the_end_to_end_patch_counts_too() -> None:
    end_to_end = {"member": "low", "patch_size_yx": (160, 32)}
    assert max(patch_rows(settings_of(end_to_end=end_to_end)).values()) == 160


def test_both_commands_refuse_in_one_line_before_anything_is_read(tmp_path: Path) -> None:
    settings = settings_of(run_dir=tmp_path / "run", data={"root": tmp_path / "nowhere"})
    config = tmp_path / "narrow.yaml"
    save_settings(settings, config)
    with pytest.raises(InputError, match=r"narrow\.yaml: folds\.buffer_px is 95") as refusal:
        load_checked_settings(config, [])
    assert "\n" not in str(refusal.value)
    load_checked_settings(config, ["folds.buffer_px=96"])
    with pytest.raises(InputError, match=r"^folds\.buffer_px is 95"):
        train_stage2(settings)
