"""The commands themselves: quick to tell what they take, usable from anywhere, light until there is work."""

import re
import shutil
import subprocess
import sys
import time
from math import inf
from pathlib import Path

import numpy as np
import pytest
from pipeline_run import REPOSITORY, Call, Run, changed, copied, predict_arguments, states

import ensemble.predict
from ensemble.commands import COMMANDS
from ensemble.request import input_sheets
from scroll.config.reader import load_settings
from scroll.volumes.ome_zarr import open_array
from tests.steps import ENVIRONMENT, started

SCRIPTS = sorted(path for path in (REPOSITORY / "scripts").glob("*.py") if path.stem != "command")
ENTRY_POINTS = {
    **{
        name: ["-m", module]
        for commands in COMMANDS.values()
        for name, (module, _) in commands.items()
        if "commands" not in module
    },
    **{path.stem: [str(path)] for path in SCRIPTS},
    "predict.py": [str(REPOSITORY / "ensemble" / "predict.py")],
    "scroll-ensemble": ["-m", "ensemble.commands"],
    "scroll-ensemble tune": ["-m", "ensemble.commands", "tune"],
}
HEAVY = ("torch", "monai", "matplotlib", "sklearn", "numba", "zarr", "transformers", "accelerate", "scipy")


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_help_comes_in_under_a_second_and_loads_nothing_heavy(name: str) -> None:
    done = asked_for_help("-X", "importtime", *ENTRY_POINTS[name])
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "scroll.runtime.command_line" in loaded and not loaded & set(HEAVY)
    quickest = inf
    for _ in range(8):  # the machine may be busy: the quickest counts
        began = time.monotonic()
        asked_for_help(*ENTRY_POINTS[name])
        quickest = min(quickest, time.monotonic() - began)
        if quickest < 1:
            return
    raise AssertionError(f"{name} --help took {quickest:.2f} s at its quickest")


def test_every_command_of_the_package_is_also_a_script_of_the_clone() -> None:
    modules = {module for commands in COMMANDS.values() for module, _ in commands.values()}
    run = {path.stem: re.search(r'run\("(.+)"\)', path.read_text()) for path in SCRIPTS}
    ours = {module for module in modules if module.startswith("ensemble.commands.")}
    assert {found[1] for found in run.values() if found and "commands" in found[1]} == ours
    assert all(found[1].endswith(f".{name}") for name, found in run.items() if found and "commands" in found[1])


def asked_for_help(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments, "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "usage:" in done.stdout
    return done


def test_the_doctor_and_refusals_load_no_torch(run: Run) -> None:
    program = (
        "import os, sys, runpy; sys.argv = sys.argv[1:]; sys.path[0] = os.path.dirname(sys.argv[0])\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as left: print('left with', left.code)\n"
        "print(sorted({'torch', 'monai', 'transformers'} & set(sys.modules)))"
    )
    done = started("-c", program, REPOSITORY / "scripts" / "doctor.py", run.config)
    assert done.stdout.splitlines()[-2:] == ["left with 0", "[]"], done.stdout + done.stderr


def test_a_bare_clone_predicts_from_any_directory(run: Run, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.py", "*.j2", "*.yaml"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, tracked.split("\0")):
        if (REPOSITORY / name).exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, clone / name)
    before = states(run)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    # -S and the packages' folder alone: no editable installation can lend its modules
    site = next(path for path in sys.path if path.endswith("site-packages"))
    program = f"import sys, runpy; sys.path.append({site!r}); sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    done = started("-S", "-c", program, clone / "ensemble" / "predict.py", *predict_arguments(run), cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert "read back and valid" in done.stdout and states(run) == before
    assert not list(elsewhere.iterdir())


def test_a_fragment_smaller_than_a_patch_and_a_bare_volume_are_predicted(run: Run, call: Call, tmp_path: Path) -> None:
    source = tmp_path / "cube.npy"
    np.save(source, np.random.default_rng(0).integers(0, 60_000, (20, 100, 260), dtype=np.uint16))
    copy = copied(run, tmp_path)
    before = states(copy)
    code, _, error = call(ensemble.predict.main, copy.config, "--input", source, "--output", tmp_path / "out")
    assert code == 0, error
    for path in ("cnn3d/prob.zarr", "unet3d/prob.zarr"):
        prob = open_array(tmp_path / "out" / "cube" / path)[:]
        assert prob.shape == (8, 25, 65) and (prob > 0).all()  # 25 rows, patches of 32
    assert not changed(before, copy)


def test_a_fragment_is_the_same_however_it_is_pointed_at(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, folder = load_settings(run.config), run.data / "test" / "a"
    monkeypatch.chdir(folder)
    for source in (folder.parent, folder, folder / "surface_volume", Path()):
        (fragment,) = input_sheets(settings, source)
        assert fragment.id == "a" and not fragment.full_mask.all()


def test_the_shared_micro_ct_is_predicted_window_by_window(run: Run, call: Call, tmp_path: Path) -> None:
    source = REPOSITORY.parent / "shared" / "data" / "microct_fibers" / "fibers_150x150x150.npz"
    if not source.exists():
        pytest.skip(f"the shared micro-CT sample is not there: {source}")
    before = states(run)
    code, _, error = call(ensemble.predict.main, run.config, "--input", source, "--output", tmp_path / "out")
    assert code == 0, error
    prob = open_array(tmp_path / "out" / source.stem / "cnn3d" / "prob.zarr")[:]
    assert (
        prob.shape == (8, 38, 38) and (prob > 0).all() and (prob < 1).all()
    )  # the 8 central layers of 150, binned by 4
    assert states(run) == before
