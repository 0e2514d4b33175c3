"""The stack of stage two: channels in the order of the settings, made from what is there now, or a word on what to run."""

from pathlib import Path

import numpy as np
import pytest

from scroll.config.schema import DataSettings, Stage1Settings
from scroll.data.fragments import Fragment
from scroll.errors import InputError, MissingInputError
from scroll.inference.prediction_store import RowWriter
from scroll.runtime.receipt import write_receipt
from stage2_2d.stack import LOG_ODDS_UNIT, read_stack

HINT = "run 'make stage1 CONFIG=...' first"
LEVELS = {"zebra": 0.25, "ape": 0.75, "ct": 3.0}


@pytest.fixture
def fragment(tmp_path: Path) -> Fragment:
    (tmp_path / "train" / "1").mkdir(parents=True)
    (tmp_path / "train" / "1" / "mask.png").write_text("a file")
    return Fragment("1", tmp_path / "train" / "1", DataSettings())


def stage1(ct: str = "mean") -> Stage1Settings:
    members = {name: {"network": "cnn3d"} for name in ("zebra", "ape")}
    return Stage1Settings.model_validate({"members": members, "flatten": {"ct": ct}})


@pytest.fixture
def folders(tmp_path: Path, fragment: Fragment) -> dict[str, Path]:
    for name, level in LEVELS.items():
        layers = 2 if name == "ape" else 1
        writer = RowWriter(tmp_path / name / "flat.zarr", name, (layers, 4, 5), 8.0, "cyx")
        writer.write(0, np.full((layers, 4, 5), level))
        writer.finish()
        write_receipt(tmp_path / name, name, data=fragment.key, weights={})
    return {name: tmp_path / name for name in LEVELS}


def test_channels_come_in_the_order_of_the_settings_in_log_odds_the_ct_last_and_as_it_is(
    folders: dict[str, Path], fragment: Fragment
) -> None:
    stack = read_stack(stage1(), fragment, dict(reversed(folders.items())), HINT)
    assert stack.channels.shape == (4, 4, 5) and stack.channels.dtype == np.float32
    scaled = np.log(3) / LOG_ODDS_UNIT  # of the probability 3/4, and its negative of 1/4
    assert stack.channels[:, 0, 0] == pytest.approx([-scaled, scaled, scaled, 3.0])
    without = read_stack(stage1(ct="none"), fragment, folders, HINT)
    assert without.channels[:, 0, 0] == pytest.approx([-scaled, scaled, scaled])
    assert without.key != stack.key


def test_the_key_changes_with_any_prediction(folders: dict[str, Path], fragment: Fragment) -> None:
    first = read_stack(stage1(), fragment, folders, HINT).key
    assert read_stack(stage1(), fragment, folders, HINT).key == first
    write_receipt(folders["ct"], "another", data=fragment.key, weights={})
    assert read_stack(stage1(), fragment, folders, HINT).key != first


def test_a_missing_prediction_names_the_command(folders: dict[str, Path], fragment: Fragment) -> None:
    (folders["ape"] / "receipt.json").unlink()
    with pytest.raises(MissingInputError, match=r"ape/receipt\.json: not there; run 'make stage1"):
        read_stack(stage1(), fragment, folders, HINT)


def test_predictions_of_other_data_or_weights_are_refused(
    folders: dict[str, Path], fragment: Fragment, tmp_path: Path
) -> None:
    binned = Fragment("1", fragment.folder, DataSettings(bin_yx=2))
    with pytest.raises(InputError, match=r"predicted from other files or data settings .*make stage1"):
        read_stack(stage1(), binned, folders, HINT)
    weights = tmp_path / "weights.safetensors"
    weights.write_text("trained again")
    write_receipt(folders["zebra"], "zebra", data=fragment.key, weights={str(weights): "0" * 16})
    with pytest.raises(InputError, match=r"zebra: predicted by other weights .*make stage1"):
        read_stack(stage1(), fragment, folders, HINT)
