"""The doors themselves: quick to tell what they take, usable from anywhere, light until there is work."""

import shutil
import subprocess
import sys
import time
from math import inf
from pathlib import Path

import numpy as np
import pytest
from pipeline_run import ENVIRONMENT, REPOSITORY, Door, Run, changed, copied, predict_arguments, states, step

import ensemble.predict
from ensemble.ink.inputs import input_sheets
from scroll.config.reader import load_settings
from scroll.volumes.ome_zarr import open_array

DOORS = {
    "stage1": ["-m", "stage1_3d.train"],
    "stage2": ["-m", "stage2_2d.train"],
    "calibrate": ["-m", "ensemble.calibrate"],
    "predict": [str(REPOSITORY / "ensemble" / "predict.py")],
    "demo": [str(REPOSITORY / "scripts" / "demo.py")],
    "doctor": [str(REPOSITORY / "scripts" / "doctor.py")],
    "phantom": [str(REPOSITORY / "scripts" / "make_phantom.py")],
    "flatten": [str(REPOSITORY / "scripts" / "flatten.py")],
    "preflight": [str(REPOSITORY / "scripts" / "preflight.py")],
    "plan": [str(REPOSITORY / "scripts" / "plan.py")],
    "validate": [str(REPOSITORY / "scripts" / "validate.py")],
    "merged_sheets": [str(REPOSITORY / "scripts" / "merged_sheets.py")],
    "score_cubes": [str(REPOSITORY / "scripts" / "score_cubes.py")],
    "compare": [str(REPOSITORY / "scripts" / "compare.py")],
    "replay": [str(REPOSITORY / "scripts" / "replay.py")],
    "bench_gpu": [str(REPOSITORY / "scripts" / "bench_gpu.py")],
    "kaggle_bundle": [str(REPOSITORY / "scripts" / "kaggle_bundle.py")],
    "montage": [str(REPOSITORY / "scripts" / "montage.py")],
    "neuroglancer": [str(REPOSITORY / "scripts" / "neuroglancer.py")],
    "napari_view": [str(REPOSITORY / "scripts" / "napari_view.py")],
    "placebo": [str(REPOSITORY / "scripts" / "placebo.py")],
    "preview": [str(REPOSITORY / "scripts" / "preview.py")],
    "joint": ["-m", "ensemble.end_to_end.train"],
    "check": ["-m", "ensemble.check"],
    "bench": [str(REPOSITORY / "scripts" / "bench.py")],
    "tune": [str(REPOSITORY / "scripts" / "tune.py")],
    "score": [str(REPOSITORY / "scripts" / "score.py")],
    "settings_document": [str(REPOSITORY / "scripts" / "settings_document.py")],
    "predict_scroll": [str(REPOSITORY / "scripts" / "predict_scroll.py")],
    "status": [str(REPOSITORY / "scripts" / "status.py")],
    "scroll_status": [str(REPOSITORY / "scripts" / "scroll_status.py")],
}
HEAVY = ("torch", "monai", "matplotlib", "sklearn", "numba", "zarr", "transformers", "accelerate", "scipy")


@pytest.mark.parametrize("name", DOORS)
def test_help_comes_in_under_a_second_and_loads_nothing_heavy(name: str) -> None:
    done = asked_for_help("-X", "importtime", *DOORS[name])
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "argparse" in loaded and not loaded & set(HEAVY)
    quickest = inf
    for _ in range(8):  # the machine may be busy: the quickest counts
        began = time.monotonic()
        asked_for_help(*DOORS[name])
        quickest = min(quickest, time.monotonic() - began)
        if quickest < 1:
            return
    raise AssertionError(f"{name} --help took {quickest:.2f} s at its quickest")


def asked_for_help(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments, "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "usage:" in done.stdout
    return done


def test_the_doctor_and_refusals_load_no_torch(run: Run) -> None:
    program = (
        "import sys, runpy; sys.argv = ['doctor', sys.argv[1]]\n"
        "try: runpy.run_module('scripts.doctor', run_name='__main__')\n"
        "except SystemExit as left: print('left with', left.code)\n"
        "print(sorted({'torch', 'monai', 'transformers'} & set(sys.modules)))"
    )
    done = step("-c", program, run.config)
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
    done = step("-S", "-c", program, clone / "ensemble" / "predict.py", *predict_arguments(run), cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert "read back and valid" in done.stdout and states(run) == before
    assert not list(elsewhere.iterdir())


def test_a_fragment_smaller_than_a_patch_and_a_bare_volume_are_predicted(run: Run, door: Door, tmp_path: Path) -> None:
    source = tmp_path / "cube.npy"
    np.save(source, np.random.default_rng(0).integers(0, 60_000, (20, 100, 260), dtype=np.uint16))
    copy = copied(run, tmp_path)
    before = states(copy)
    code, _, error = door(ensemble.predict.main, copy.config, "--input", source, "--output", tmp_path / "out")
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


def test_the_shared_micro_ct_is_predicted_window_by_window(run: Run, door: Door, tmp_path: Path) -> None:
    source = REPOSITORY.parent / "shared" / "data" / "microct_fibers" / "fibers_150x150x150.npz"
    if not source.exists():
        pytest.skip(f"the shared micro-CT sample is not there: {source}")
    before = states(run)
    code, _, error = door(ensemble.predict.main, run.config, "--input", source, "--output", tmp_path / "out")
    assert code == 0, error
    prob = open_array(tmp_path / "out" / source.stem / "cnn3d" / "prob.zarr")[:]
    assert (
        prob.shape == (8, 38, 38) and (prob > 0).all() and (prob < 1).all()
    )  # the 8 central layers of 150, binned by 4
    assert states(run) == before
