"""The preview shows every augmentation that is switched on, each at the full strength of its setting."""

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from ensemble.commands import preview
from scroll.config.schema import AugmentSettings
from scroll.data.augment.augment import NOTHING
from scroll.data.patch_sampler import draw
from scroll.data.sample import Sample, Space
from scroll.phantom.dataset import make_fragments
from scroll.phantom.settings import fragment_settings
from scroll.runtime.command_line import run_command

EVERYTHING = AugmentSettings(
    blur=1.5,
    turn_degrees=20,
    zoom=0.2,
    elastic_vox=2,
    mixup=0.2,
    cutmix=0.2,
    depth_cut_paste=0.2,
    noise=0.4,
    depth_jitter=1,
)


class Ramps:
    """Patches whose grey rises along every axis, so that whatever moves or changes them shows."""

    seed = 0

    def __init__(self, space: Space) -> None:
        self.space = space

    def cut(self, rng: np.random.Generator, augment: AugmentSettings) -> Sample:
        z, y, x = np.indices((8, 16, 16)) + rng.random()
        shift = int(rng.integers(-augment.depth_jitter, augment.depth_jitter + 1))
        image = (np.sin(z + shift) + np.sin(y / 2) + np.cos(x / 3)).astype(np.float32)
        return Sample(image, image > 1, np.zeros(image.shape, bool))


@pytest.mark.parametrize(
    ("space", "across", "idle"),
    [
        (Space.SHEET, False, {"across_sheets"}),
        (Space.STACK, False, {"across_sheets", "depth_jitter"}),
        (Space.SCROLL, False, {"across_sheets", "depth_jitter", "quarter_turns"}),
        (Space.SCROLL, True, {"across_sheets", "depth_jitter"}),
    ],
)
def test_every_augmentation_that_can_change_something_is_shown_and_does(space, across, idle):
    augment = EVERYTHING.model_copy(update={"across_sheets": across})
    shown = preview.switched_on(augment, space)
    assert shown == [name for name in AugmentSettings.model_fields if name not in idle and not name.endswith("_chance")]
    patches = Ramps(space)
    plain = [patches.cut(draw(0, n), NOTHING) for n in range(6)]
    for setting in shown:
        changed = [preview.looks(patches, n, augment, setting).image for n in range(6)]
        differ = sum((c != p.image).any() for c, p in zip(changed, plain, strict=True))
        assert differ == 6 or (setting == "depth_jitter" and differ >= 2)


def test_what_is_switched_off_is_not_shown():
    assert preview.switched_on(NOTHING, Space.SHEET) == []
    assert preview.switched_on(NOTHING.model_copy(update={"noise": 0.1}), Space.SHEET) == ["noise"]


def test_strengths_are_the_largest_that_the_settings_allow():
    patches = Ramps(Space.SHEET)
    for n in range(4):
        plain = patches.cut(draw(0, n), NOTHING).image
        noisy = preview.looks(patches, n, EVERYTHING, "noise").image - plain
        assert noisy.std() == pytest.approx(0.4, rel=0.05)
        brighter = preview.looks(patches, n, EVERYTHING, "brightness").image - plain
        assert np.abs(brighter) == pytest.approx(EVERYTHING.brightness, abs=1e-5)
        steeper = preview.looks(patches, n, EVERYTHING, "contrast").image / plain
        assert np.abs(steeper - 1) == pytest.approx(EVERYTHING.contrast, abs=1e-3)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("preview")
    make_fragments(
        root / "data", fragment_settings("easy", (24, 192, 192), letter_height_px=60.0), 3, train=2, test=0, jobs=1
    )
    settings = {
        "run_dir": str(root / "run"),
        "data": {"root": str(root / "data"), "cache_dir": str(root / "cache"), "depth": [-4, 4], "bin_yx": 2},
        "stage1": {
            "members": {
                "cnn3d": {"network": "cnn3d", "patch_size": [8, 32, 32]},
                "banded": {
                    "network": "cnn3d",
                    "patch_size": [8, 32, 32],
                    "supervision": "band",
                    "augment": {"blur": 1},
                },
            }
        },
    }
    (root / "tiny.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return root / "tiny.yaml"


def go(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["preview", *(str(part) for part in arguments)])
    with pytest.raises(SystemExit) as left:
        run_command(preview.main)
    return int(left.value.code or 0)


def test_the_command_draws_a_member_and_leaves_stage_two_out_until_there_are_stacks(
    config, tmp_path, monkeypatch, capsys
):
    assert go(monkeypatch, config, "--out", tmp_path / "a.png", "--count", 2) == 0
    message = capsys.readouterr().out.splitlines()
    assert message[0] == f"preview: {tmp_path / 'a.png'}"
    assert message[1].startswith("stage two: left out: ") and "run 'make stage1'" in message[1]
    width, height = Image.open(tmp_path / "a.png").size
    columns = 2 + len(preview.switched_on(AugmentSettings(), Space.SHEET))
    assert width == pytest.approx((1.55 * columns + 0.5) * 110, abs=2)
    assert go(monkeypatch, config, "--member", "banded", "--out", tmp_path / "b.png", "--count", 1) == 0
    assert Image.open(tmp_path / "b.png").size[0] > width > height


def test_an_unknown_member_and_missing_stacks_are_reported_in_one_line(config, monkeypatch, capsys):
    assert go(monkeypatch, config, "--member", "unet") == 2
    assert capsys.readouterr().err == "error: --member unet: no such member; there are cnn3d, banded and stage2\n"
    assert go(monkeypatch, config, "--member", "stage2") == 2
    assert "run 'make stage1'" in capsys.readouterr().err
    assert go(monkeypatch, config, "--count", 0) == 2
