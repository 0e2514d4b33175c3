"""Settings under the names that they once had: they are read, noted once, and the keys of what was made with them stay."""

import re
from pathlib import Path

import pytest
import yaml

from ensemble.end_to_end.train import end_to_end_key
from ensemble.surface.fit import fit_key
from scroll.config import former_names
from scroll.config.reader import load_settings, save_run_settings
from scroll.config.schema import Settings
from scroll.data.folds import Fold
from scroll.errors import InputError
from scroll.training.successor import changed_since
from stage1_3d.train import member_key
from stage2_2d.fold_training import stage2_key

FORMER = """run_dir: runs/x
seed: 3
stage1:
  defaults: {ink_share: 0.3}
  members:
    a: {network: unet3d}
    b: {network: cnn3d, ink_share: 0.25, options: {joint: 1, chain: 1, dust: 2, ink_share: 3}}
stage2: {ink_share: 0.4, damage: {dust: 0.2, holes: 0.1}}
joint: {member: a, patch_size_yx: [64, 64], training: {steps: 7}}
ensemble:
  chain: {cubes: 6, dust_vox: [7], plug_radius_vox: [4], octant_dust_vox: [9], remains_vox: [5]}
"""
NEW = """run_dir: runs/x
seed: 3
stage1:
  defaults: {foreground_share: 0.3}
  members:
    a: {network: unet3d}
    b: {network: cnn3d, foreground_share: 0.25, options: {joint: 1, chain: 1, dust: 2, ink_share: 3}}
stage2: {foreground_share: 0.4, corruption: {specks: 0.2, holes: 0.1}}
end_to_end: {member: a, patch_size_yx: [64, 64], training: {steps: 7}}
ensemble:
  post_processing:
    {cubes: 6, small_components_vox: [7], fill_holes_radius_vox: [4], octant_small_components_vox: [9], remains_vox: [5]}
"""
FOLD = Fold(number=1, held_out={"1": (0, 8)}, closed={"1": (0, 10)})


def settings_in(folder: Path, text: str, *overrides: str) -> Settings:
    (folder / "run.yaml").write_text(text)
    return load_settings(folder / "run.yaml", overrides)


@pytest.fixture(autouse=True)
def nothing_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a command that has just begun."""
    monkeypatch.setattr(former_names, "_met", {})
    monkeypatch.setattr(former_names, "_noted", set())


def test_former_names_are_read_as_the_new_ones_and_an_option_of_a_network_is_no_setting(tmp_path):
    settings = settings_in(tmp_path, FORMER)
    assert settings == settings_in(tmp_path, NEW) and settings.end_to_end is not None
    assert settings.stage1.members["b"].options == {"joint": 1, "chain": 1, "dust": 2, "ink_share": 3}


def test_they_are_noted_in_one_line_once_in_a_command_and_new_names_are_not(tmp_path, capsys):
    settings_in(tmp_path, NEW)
    assert capsys.readouterr().err == ""
    for _ in range(2):
        settings_in(tmp_path, FORMER, "joint.training.steps=8")
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "'joint' is 'end_to_end' now" in message


def test_parents_overrides_and_plans_may_use_either_name_and_the_later_one_wins(tmp_path):
    (tmp_path / "parent.yaml").write_text(FORMER)
    (tmp_path / "over.plan.yaml").write_text("joint: {training: {warmup_steps: 3}}\n")
    text = "extends: parent.yaml\nend_to_end: {training: {steps: 9}}\n"
    settings = settings_in(tmp_path, text, "joint.patch_size_yx=[96, 96]", f"@{tmp_path / 'over.plan.yaml'}")
    assert settings.end_to_end is not None and settings.end_to_end.patch_size_yx == (96, 96)
    assert (settings.end_to_end.training.steps, settings.end_to_end.training.warmup_steps) == (9, 3)


def test_one_setting_by_both_of_its_names_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"run\.yaml: 'joint' is 'end_to_end' now, and both are there; remove 'joint'"):
        settings_in(tmp_path, NEW + "joint: {member: b}\n")


def test_what_a_plan_changed_in_a_run_of_before_is_read_by_its_new_name(tmp_path):
    plan = yaml.safe_dump({"plan": {"joint.training.train_batch_size": [2, 4]}, "run_dir": str(tmp_path / "run")})
    settings = settings_in(tmp_path, FORMER.replace("run_dir: runs/x\n", plan))
    assert settings.plan == {"end_to_end.training.train_batch_size": (2, 4)}
    save_run_settings(settings)
    for name in ("settings", "wish", "plan"):
        assert "joint:" not in (tmp_path / "run" / f"{name}.yaml").read_text().replace("joint: 1", "")
    wish = yaml.safe_load((tmp_path / "run" / "wish.yaml").read_text())
    assert wish["end_to_end"]["training"]["train_batch_size"] == 2


def test_an_unknown_key_in_a_group_that_may_be_left_out_names_what_was_meant(tmp_path):
    with pytest.raises(InputError, match=r"unknown key 'end_to_end\.memer'; did you mean 'member'\?"):
        settings_in(tmp_path, NEW.replace("member: a", "memer: a"))


def test_keys_are_those_of_runs_made_under_the_former_names(tmp_path):
    """The keys were computed before the settings got their new names."""
    settings, data = settings_in(tmp_path, FORMER), {"1": ["k"]}
    assert end_to_end_key(settings, FOLD, {"stage1": "w"}, data) == "9c1530b9ac4066a9"
    assert stage2_key(settings, 7, data, FOLD) == "9e3ab5a9a370af50"
    assert fit_key(settings, data) == "6cfaadae4a605eea"
    assert [member_key(settings, member, ["d"], FOLD) for member in settings.stage1.members.values()] == [
        "640e2468595fa66d",
        "d9d59e44348da9f1",
    ]


def test_what_changed_since_a_training_is_named_by_new_names_alone(tmp_path):
    settings = settings_in(tmp_path, FORMER)
    assert settings.end_to_end is not None
    now = {"settings": settings.end_to_end.model_dump(mode="json")}
    then = {"settings": settings.end_to_end.model_dump(mode="json", by_alias=True) | {"seed": 5}}
    assert changed_since(then, now, settings.end_to_end.training) == ["settings.seed was 5, is 0"]


def test_no_former_name_stands_in_what_is_shipped():
    root = Path(__file__).resolve().parents[2]
    names = "|".join(sorted(former_names.former_names()))
    files = [*root.glob("configs/**/*.yaml"), root / ".ci" / "run"]
    assert len(files) > 10
    for file in files:
        assert not re.search(rf"\b({names})(:|\.\w+=|=)", file.read_text()), file
