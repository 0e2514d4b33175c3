"""A network of flattened papyrus that learns on wraps traced in a scroll, and comes back into scroll space as a member."""

import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import yaml
from pipeline_run import REPOSITORY, tiny_scroll_settings

from scroll.config.reader import load_settings
from scroll.data.folds import make_folds
from scroll.data.fragments import training_fragments
from scroll.data.kinds import training_items
from scroll.data.segments import Segment
from scroll.inference.prediction_store import open_map
from scroll.phantom.scroll_dataset import make_scrolls
from scroll.phantom.settings import scroll_settings
from scroll.runtime.receipt import read_receipt
from stage1_3d.external.raw_dataset import sheet_layers
from tests.steps import step


@pytest.fixture(scope="module")
def scroll(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two volumes with a few wraps each, and a configuration."""
    root = tmp_path_factory.mktemp("flat-fragments")
    make_scrolls(root / "data", scroll_settings("easy", 112, 56.0), seed=7, train=2, test=1, jobs=1)
    (root / "tiny.yaml").write_text(yaml.safe_dump(tiny_scroll_settings(root, root / "run")))
    return root / "tiny.yaml"


@pytest.fixture(scope="module")
def flat(scroll: Path) -> Path:
    """The same wraps as fragments."""
    output = scroll.parent / "flat"
    done = step("scripts/export_dataset.py", scroll, "--output", output, "--layout", "fragments", cwd=REPOSITORY)
    assert done.returncode == 0 and f"{output}: " in done.stdout, done.stderr
    return output


def flat_config(flat: Path, **member: object) -> Path:
    """As the shipped configuration, smaller."""
    content = {
        "extends": str(REPOSITORY / "configs" / "demo_flat.yaml"), "run_dir": str(flat.parent / "flat-run"),
        "data": {"root": str(flat), "cache_dir": str(flat.parent / "cache")}, "stage1": {"members": {"stem3d_unet2d": member}},
    }  # fmt: skip
    (flat.parent / "flat.yaml").write_text(yaml.safe_dump(content))
    return flat.parent / "flat.yaml"


def test_every_wrap_is_a_fragment_of_its_volume_with_its_sheet_in_the_middle(scroll: Path, flat: Path) -> None:
    segments: dict[str, Segment] = {one.id: one for one in training_items(load_settings(scroll).data)}
    data = load_settings(flat_config(flat)).data
    fragments = training_fragments(data)
    assert [one.id for one in fragments] == sorted(segments)
    for one in fragments:
        segment = segments[one.id]
        assert one.scroll == f"volume-{segment.volume_name}" and one.shape_yx == segment.shape_yx
        assert np.array_equal(one.full_mask, segment.full_mask)
        assert np.array_equal(one.full_label.ink, segment.full_label.ink)
        layers = sorted((flat / "train" / one.id / "surface_volume").iterdir())
        assert len(layers) == 20 and one.middle_layer == 10  # data.depth reaches 10 layers behind the sheet
        (sheet,) = sheet_layers(segment, (0, 1))
        stored = iio.imread(layers[10])
        assert stored.dtype == np.uint8 and np.abs(stored - sheet)[segment.full_mask].max() <= 0.5
    held_out = [
        {one.id for one in fragments if one.id in fold.held_out}
        for fold in make_folds(fragments, load_settings(flat_config(flat)).folds)
    ]
    assert sorted(map(sorted, held_out)) == [sorted(n for n in segments if n.startswith(volume)) for volume in "12"]


@pytest.mark.slow
def test_what_learnt_on_them_is_a_member_of_the_scroll_out_of_fold(scroll: Path, flat: Path) -> None:
    root = flat.parent
    training = {"steps": 4, "validation_patches": 2, "validate_every": 2, "checkpoint_every": 2}
    config = flat_config(flat, patch_size=[18, 32, 32], training=training)
    content = tiny_scroll_settings(root, root / "with")
    content["stage1"] |= {"members": {**content["stage1"]["members"], "flat": {"member": str(root / "member")}}}  # type: ignore[index, operator, call-overload]
    (root / "with.yaml").write_text(yaml.safe_dump(content))
    for arguments in (
        ("-m", "stage1_3d.train", config),
        ("scripts/export_member.py", config, "--member", "stem3d_unet2d", "--output", root / "member"),
        ("-m", "stage1_3d.train", root / "with.yaml", "--only", "flat"),
    ):
        done = step(*arguments, cwd=REPOSITORY)
        assert done.returncode == 0, done.stderr
    card = json.loads((root / "member" / "card.json").read_text())
    assert card["returns"] == "map" and card["layers"] == [-9, 9]
    for fold in card["folds"]:
        volumes = {name[0] for name in fold["trained_on"]}
        assert len(volumes) == 1
        for segment in training_items(load_settings(scroll).data):
            folder = root / "with" / "stage1" / "flat" / "oof" / segment.id
            if segment.volume_name not in volumes:
                looked = {Path(name).name for name in read_receipt(folder, "")["weights"]}
                assert looked == {"card.json", fold["weights"]}
            message = open_map(folder / "flat.zarr", "")[0]
            assert message.shape == segment.mask.shape and 0 <= message.min() < message.max() <= 1


def test_cubes_and_a_folder_of_something_else_are_refused(scroll: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    surface = REPOSITORY / "configs" / "demo_surface.yaml"
    for config, output, expected in (
        (scroll, tmp_path, "holds something else; expected a new folder"),
        (surface, tmp_path / "new", "--layout fragments: cubes have no traced sheet to lie along"),
    ):
        done = step("scripts/export_dataset.py", config, "--output", output, "--layout", "fragments", cwd=REPOSITORY)
        assert done.returncode == 2 and expected in done.stderr and done.stderr.count("\n") == 1
