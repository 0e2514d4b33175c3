"""What a later step would refuse is refused by every command at once, in one line and before any data is looked for."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ensemble.calibrate
import ensemble.check
import ensemble.end_to_end.train
import ensemble.predict
import stage1_3d.train
import stage2_2d.train
from ensemble.commands import compare, demo, doctor
from scroll.config.reader import load_settings
from scroll.errors import InputError
from scroll.training.loggers import check_trackers
from stage1_3d.network import load_checked_settings

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO, SURFACE = REPOSITORY / "configs" / "demo_ink.yaml", REPOSITORY / "configs" / "surface.yaml"
PREDICT = ("--input", "nowhere", "--output", "nowhere")
WHOLE_RUN = {
    "check": (ensemble.check.main,),
    "demo": (demo.main,),
    "compare": (compare.main,),
    "calibrate": (ensemble.calibrate.main,),
    "end_to_end": (ensemble.end_to_end.train.main,),
    "predict": (ensemble.predict.main, *PREDICT),
}
LATER = {
    "stage2.network=smp.unnet": r"demo_ink\.yaml: stage2\.network 'smp\.unnet' is unknown; did you mean 'smp\.unet'",
    "stage2.options.depth=[1, 1, 1, 1]": r"demo_ink\.yaml: stage2\.options\.depth: .* there are .*depths",
    "stage2.augment.across_sheets=true": r"demo_ink\.yaml: stage2\.augment\.across_sheets is true",
    "end_to_end.member=unet": r"demo_ink\.yaml: end_to_end\.member 'unet' is no member of stage one; did you mean 'unet3d'",
}


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., object]:
    """Go through a command in an empty folder."""

    def through(main: Callable[[], object], *arguments: object) -> object:
        monkeypatch.setattr("sys.argv", ["command", *map(str, arguments)])
        monkeypatch.chdir(tmp_path)
        try:
            return main()
        finally:
            assert not list(tmp_path.iterdir()), "something was made before the settings were looked at"

    return through


@pytest.mark.parametrize("override", LATER)
@pytest.mark.parametrize("command", WHOLE_RUN)
def test_stage_two_and_end_to_end_are_looked_at_by_every_command_of_the_whole_run(
    command: str, override: str, go: Callable[..., object]
) -> None:
    main, *arguments = WHOLE_RUN[command]
    with pytest.raises(InputError, match=LATER[override]):
        go(main, DEMO, *arguments, "--set", override)


def test_a_sound_configuration_is_passed_in_silence_and_loads_nothing_heavy() -> None:
    looked = "import sys; from ensemble.check import main; main(); print({'torch', 'monai', 'transformers'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", looked, str(DEMO)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert (done.stdout.strip(), done.stderr) == ("set()", "")


@pytest.mark.parametrize(
    "main", [stage1_3d.train.main, stage2_2d.train.main, ensemble.check.main, demo.main, compare.main]
)
def test_a_tracker_that_is_not_there_is_reported_before_the_training(
    main: Callable[[], object], go: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InputError, match="trackers: 'mlflow' is not installed; run pip install"):
        go(main, DEMO, "--set", "trackers=[mlflow]")
    assert any("'mlflow' is not installed" in message for message in doctor.examine(DEMO, ["trackers=[mlflow]"]))


def test_a_folder_that_a_tracker_left_behind_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(DEMO, ["trackers=[wandb]"])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *(p for p in sys.path if "site-packages" not in p)])
    (tmp_path / "wandb" / "offline-run").mkdir(parents=True)
    importlib.invalidate_caches()
    with pytest.raises(InputError, match="trackers: 'wandb' is not installed"):
        check_trackers(settings)
    (tmp_path / "wandb" / "__init__.py").touch()
    importlib.invalidate_caches()
    check_trackers(settings)


@pytest.mark.parametrize(
    ("config", "override", "words"),
    [
        (DEMO, "end_to_end.member=unet3d", r"^end_to_end: the comparison is of .*--set end_to_end=null"),
        (SURFACE, "seed=1", "data.kind is cubes"),
    ],
)
def test_what_cannot_be_compared_in_the_end_is_refused_at_the_start(
    config: Path, override: str, words: str, go: Callable[..., object]
) -> None:
    with pytest.raises(InputError, match=words):
        go(compare.main, config, "--set", override)


@pytest.mark.parametrize("config", ["demo", "surface", "baseline"])
def test_in_scroll_space_test_time_mirrors_need_a_training_with_mirrors(config: str) -> None:
    path, mirrored = REPOSITORY / "configs" / f"{config}.yaml", ["stage1.window.tta=flips"]
    members = load_settings(path).stage1.members
    across = [f"stage1.members.{name}.augment.across_sheets=true" for name in members]
    not_across = [override.replace("true", "false") for override in across]
    assert load_checked_settings(path, [*mirrored, *across]).stage1.window.tta == "flips"
    load_checked_settings(path, ["stage1.window.tta=none", *not_across])
    with pytest.raises(
        InputError, match=r"stage1\.window\.tta is flips: in scroll space .* it shows versos where member"
    ):
        load_checked_settings(path, [*mirrored, *across[1:], not_across[0]])
