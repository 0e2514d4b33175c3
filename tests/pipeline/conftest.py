"""One phantom goes through every door once; the tests beside this file look at what is left."""

import sys
from collections.abc import Callable, Iterator
from contextlib import chdir

import pytest
import torch
import yaml
from pipeline_run import PHANTOM, REPOSITORY, Door, Run, step, tiny_settings

from scroll.command_line import run_door


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Phantom, stage one, stage two, calibration and prediction, each a process of its own."""
    root = tmp_path_factory.mktemp("pipeline")
    config = root / "tiny.yaml"
    config.write_text(yaml.safe_dump(tiny_settings(root, root / "run")), encoding="utf-8")
    made = Run(root, config, {})
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    for name, cwd, *arguments in (
        ("phantom", elsewhere, REPOSITORY / "scripts" / "make_phantom.py", "fragments", "--out", made.data, *PHANTOM,
         "--train", "2", "--test", "1"),
        ("stage1", REPOSITORY, "-m", "stage1_3d.train", config),
        ("stage2", REPOSITORY, "-m", "stage2_2d.train", config),
        ("calibrate", REPOSITORY, "-m", "ensemble.calibrate", config),
        ("predict", elsewhere, REPOSITORY / "ensemble" / "predict.py", config, "--input", made.data / "test",
         "--output", made.output, "--submission", root / "submission.csv", "--truth", made.data / "heldout"),
    ):  # fmt: skip
        done, seconds = step(*arguments, cwd=cwd)
        assert done.returncode == 0, f"{name}: {done.stdout}\n{done.stderr}"
        made.seconds[name] = seconds
    return made


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes above: sums in another order would be other bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Door:
    """Go through a door in this process: (module's main, arguments) -> exit code, standard output, standard error."""

    def go(main: Callable[[], int | None], *arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["door", *(str(part) for part in arguments)])
        with chdir(REPOSITORY), pytest.raises(SystemExit) as left:
            run_door(main)
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return go
