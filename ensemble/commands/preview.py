"""What training patches look like: plain, with each augmentation alone at full strength, and with all as they are trained on.

    python scripts/preview.py configs/demo.yaml [--member unet3d | --member stage2] [--out preview.png] [--count 8]

Without --member: the first member, and stage two (in <out>_stage2.png) where stage one's predictions are there.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from scroll.errors import InputError
from scroll.runtime.command_line import whole

if TYPE_CHECKING:
    from scroll.config.schema import AugmentSettings, Settings
    from scroll.data.sample import Sample, Space

STAGE2 = "stage2"
AXES = {"sheet": "depth and x", "stack": "channels and x", "scroll": "z and x"}
STRENGTHS = {
    "brightness": "± {:g} sd", "contrast": "± {:.0%}", "noise": "sd {:g}", "depth_jitter": "± {} layers, as drawn",
    "blur": "sigma {:g} voxels", "turn_degrees": "± {:g}°", "zoom": "± {:.0%}", "elastic_vox": "sd {:g} voxels",
}  # fmt: skip
CHANCES = ("layer_dropout", "cutout", "mixup", "cutmix", "depth_cut_paste")
SECOND = 100_000  # patches from here on are what is mixed in
ATTEMPTS = 40  # to find a draw that changes something: one mirror in four is none


class Patches(Protocol):
    """Training patches as this picture needs them: plain ones, and the space they lie in."""

    seed: int
    space: "Space"

    def cut(self, rng: np.random.Generator, augment: "AugmentSettings") -> "Sample":
        """A patch from the caller's random numbers, unchanged but for the depth jitter."""


class FullStrength(np.random.Generator):
    """Random numbers whose single draws from a range are one of its ends: as strong as a setting allows."""

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Just below 1; arrays as usual."""
        return float(np.nextafter(1, 0)) if size is None else super().random(size, dtype, out)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        """One of the two ends; arrays as usual."""
        return (low, high)[int(self.integers(2))] if size is None else super().uniform(low, high, size)


def main() -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML of the run")
    parser.add_argument("--out", type=Path, help="PNG to write; default <run_dir>/preview.png")
    parser.add_argument("--member", help="a member of stage one, or stage2; default the first member, and stage2")
    parser.add_argument("--count", type=whole(-1000, 1000), default=8, help="patches, one row each")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    if arguments.count < 1:
        raise InputError(f"--count {arguments.count}: expected at least 1 patch")
    from scroll.data.kinds import kind_of
    from scroll.runtime.output_folder import OWN_PLACE_PICTURE, PICTURE, check_file
    from stage1_3d.network import load_checked_settings

    settings = load_checked_settings(arguments.config, arguments.set)
    out = arguments.out or settings.run_dir / "preview.png"
    for path in (out, beside := out.with_stem(f"{out.stem}_{STAGE2}")):
        check_file(path, PICTURE if arguments.out else OWN_PLACE_PICTURE)
    members = list(settings.stage1.trained)
    if arguments.member not in (None, STAGE2, *members):
        raise InputError(f"--member {arguments.member}: no such member; there are {', '.join(members)} and {STAGE2}")
    if arguments.member != STAGE2 and (arguments.member or members):
        name = arguments.member or members[0]
        _picture(out, name, stage1_patches(settings, name), settings.stage1.members[name].augment, arguments.count)
    if arguments.member in (None, STAGE2) and kind_of(settings.data).has_sheets:
        try:
            patches = stage2_patches(settings)
        except InputError as error:
            if arguments.member == STAGE2:
                raise
            print(f"stage two: left out: {error}")
            return
        _picture(
            out if arguments.member == STAGE2 else beside, STAGE2, patches, settings.stage2.augment, arguments.count
        )


def stage1_patches(settings: "Settings", name: str) -> Any:
    """What a member is trained on in the first fold."""
    from scroll.data.folds import make_folds
    from stage1_3d.kinds import training_data

    data = training_data(settings)
    return data.patches(name, make_folds(data.items, settings.folds)[0], settings.seed, is_training=True)


def stage2_patches(settings: "Settings") -> Any:
    """What stage two is trained on in the first fold.

    Raises:
        InputError: a network that is none, or stage one's predictions are not there.
    """
    from scroll.data.folds import make_folds
    from scroll.data.sheets import training_sheets
    from stage2_2d.ink.dataset import StackPatches
    from stage2_2d.ink.train import oof_stacks
    from stage2_2d.network import check_stage2

    check_stage2(settings.stage2)
    sheets = training_sheets(settings.data)
    hint = "run 'make stage1' with the same settings first"
    stacks = [stack.channels for stack in oof_stacks(settings, sheets, hint)]
    fold = make_folds(sheets, settings.folds)[0]
    return StackPatches(sheets, stacks, fold, settings.stage2, settings.seed, is_training=True)


def _picture(out: Path, name: str, patches: Patches, augment: "AugmentSettings", count: int) -> None:
    from scroll.data.augment.augment import NOTHING, augmented
    from scroll.data.patch_sampler import draw
    from scroll.report.contact_sheet import contact_sheet, view

    alone = switched_on(augment, patches.space)
    rows = {}
    for n in range(count):
        plain = patches.cut(draw(patches.seed, n), NOTHING)
        together = augmented(draw(patches.seed, n), patches.cut, augment, patches.space)
        samples = [plain, *(looks(patches, n, augment, setting) for setting in alone), together]
        rows[f"patch {n}"] = [view(sample, patches.space) for sample in samples]
    titles = [
        "plain",
        *(_title(setting, getattr(augment, setting)) for setting in alone),
        "all together,\nas trained on",
    ]
    heading = (
        f"{name}: each augmentation alone at full strength, then all together\n"
        f"below each patch: its section along {AXES[patches.space.value]}, through the middle row"
    )
    print(f"preview: {contact_sheet(out, heading, titles, rows)}")


def switched_on(augment: "AugmentSettings", space: "Space") -> list[str]:
    """The augmentations that change something in this space, in the order of the settings."""
    from scroll.data.sample import Space

    idle = {"across_sheets"}  # only widens what others may do
    if space is not Space.SHEET:
        idle.add("depth_jitter")
    if space is Space.SCROLL and not augment.across_sheets:
        idle.add("quarter_turns")
    idle |= {
        name for name in type(augment).model_fields if name.endswith("_chance")
    }  # how often what others do happens
    return [name for name in type(augment).model_fields if name not in idle and getattr(augment, name)]


def looks(patches: Patches, n: int, augment: "AugmentSettings", setting: str) -> "Sample":
    """Patch n changed by one augmentation alone, as strongly as its setting allows; depth jitter as it is drawn."""
    from scroll.data.augment.augment import NOTHING, augmented
    from scroll.data.patch_sampler import draw

    strength = 1.0 if setting in CHANCES else getattr(augment, setting)
    alone = NOTHING.model_copy(update={"across_sheets": augment.across_sheets, setting: strength})
    if setting == "depth_jitter":
        return patches.cut(draw(patches.seed, n), alone)
    plain, second = (patches.cut(draw(patches.seed, number), NOTHING) for number in (n, SECOND + n))

    def changed(attempt: int) -> "Sample":
        pair = iter((plain, second))
        return augmented(FullStrength(np.random.PCG64((n, attempt))), lambda *_: next(pair), alone, patches.space)

    attempts = (changed(attempt) for attempt in range(ATTEMPTS))
    return next((sample for sample in attempts if (sample.image != plain.image).any()), plain)


def _title(setting: str, value: Any) -> str:
    how = f"chance {value:g}" if setting in CHANCES else STRENGTHS.get(setting, "").format(value)
    return f"{setting}\n{how}" if how else setting
