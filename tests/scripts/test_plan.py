"""The planning command: quick to help, needs neither GPU nor data, and what it writes trains."""

import sys
from pathlib import Path

import pytest
import yaml

from ensemble.commands import plan
from ensemble.commands.plan_document import FOLDER, HEAD, rows
from scroll.config.reader import load_settings
from scroll.phantom.dataset import make_fragments
from scroll.phantom.settings import fragment_settings
from scroll.runtime.command_line import run_command
from scroll.runtime.files import read_json
from stage1_3d.train import train_stage1

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plan")
    training = {"steps": 2, "train_batch_size": 3, "validation_patches": 1, "warmup_steps": 0, "precision": "fp32"}
    settings = {
        "run_dir": str(root / "run"),
        "data": {"root": str(root / "data"), "cache_dir": str(root / "cache"), "depth": [-4, 4], "bin_yx": 2},
        "stage1": {
            "defaults": {"patch_size": [8, 30, 30], "training": training},
            "members": {
                "cnn3d": {"network": "cnn3d", "options": {"channels": [4, 4], "dilations": [1, 1]}},
                "unet3d": {
                    "network": "unet3d",
                    "options": {"channels": [4, 8, 8], "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]]},
                },
            },
        },
    }
    (root / "tiny.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return root / "tiny.yaml"


def go(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["plan", *(str(part) for part in arguments)])
    with pytest.raises(SystemExit) as left:
        run_command(plan.main)
    return int(left.value.code or 0)


def test_without_data_a_plan_for_each_size_of_card_is_written(config, monkeypatch, capsys):
    assert go(monkeypatch, config, "--cpus", 4, "--gigavoxels", 1) == 0
    message = capsys.readouterr().out
    assert "loading not measured" in message and "GiB at the peak" in message and "projected: " in message
    for card in ("t4", "rtx-4090", "a100"):
        path = config.parent / f"run.plan-{card}.yaml"
        settings = load_settings(config, [f"@{path}"])
        assert settings.stage1.members["unet3d"].patch_size == (8, 32, 32)  # 30 is no multiple of 4


def test_a_shifted_depth_window_counts_as_a_prediction_more(config, monkeypatch, capsys):
    least = {}
    for offsets in ("[]", "[-1,1]"):
        assert go(monkeypatch, config, "--gpu", "t4", "--set", f"stage1.window.depth_offsets={offsets}") == 0
        line = next(line for line in capsys.readouterr().out.splitlines() if " h hold " in line)
        least[offsets] = float(line.split(" h hold ")[1].split("-")[0])
        assert ("x 3 depth windows" in line) == (offsets != "[]")
    assert least["[]"] / least["[-1,1]"] == pytest.approx(3, rel=0.1)


def test_what_is_planned_trains_and_is_written_on_the_receipt(config, monkeypatch, capsys):
    root, planned = config.parent, config.parent / "chosen.yaml"
    make_fragments(
        root / "data", fragment_settings("easy", (24, 192, 192), letter_height_px=60.0), 3, train=2, test=0, jobs=1
    )
    assert go(monkeypatch, config, "--gpu", "toy:1.2", "--cpus", 1, "--output", planned) == 0
    message = capsys.readouterr().out
    assert "loading: one process cuts a patch in cnn3d 0." in message and "for all of the data" in message
    assert "fails at it" not in message  # the card that is planned for need not be here to be timed beside
    settings = load_settings(config, [f"@{planned}"])
    monkeypatch.chdir(root)
    train_stage1(settings, ["unet3d"])
    receipt = read_json(settings.run_dir / "stage1" / "unet3d" / "fold0" / "receipt.json")
    assert receipt["plan"]["stage1.members.unet3d.patch_size"] == [[8, 30, 30], [8, 32, 32]]
    assert load_settings(settings.run_dir / "wish.yaml") == load_settings(config)
    again = load_settings(settings.run_dir / "wish.yaml", [f"@{settings.run_dir / 'plan.yaml'}"])
    assert again == settings == load_settings(settings.run_dir / "settings.yaml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no configuration"),
        (("configs/baseline.yaml", "--gpu", "abacus"), "--gpu abacus"),
        (("configs/baseline.yaml", "--cpus", "0"), "at least one core"),
        (("configs/nowhere.yaml",), "no such configuration"),
    ],
)
def test_what_cannot_be_planned_is_reported_in_one_line(arguments, message, monkeypatch, capsys):
    assert go(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error


@pytest.mark.parametrize(("name", "member"), [("baseline", "unet3d"), ("winner", "unet3d_512")])
def test_the_page_says_what_is_planned(name, member):
    page = (REPOSITORY / plan.DOCUMENT).read_text(encoding="utf-8")
    assert page.startswith(HEAD)
    made = rows(load_settings(FOLDER / f"{name}.yaml"), member)
    assert len(made) == 3 and all(row in page.split(f"## {name}\n")[1].split("\n## ")[0].splitlines() for row in made)
