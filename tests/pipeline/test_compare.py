"""The comparison over seeds, from a phantom to the table, so small that it learns next to nothing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from pipeline_run import PHANTOM, tiny_settings

from ensemble.commands.compare import ON_BEST
from tests.steps import step

MEMBERS = ["cnn3d", "unet3d"]
BLENDS = ["stage2", "mean of members", "equal mean", "ensemble"]


def written(root: Path) -> dict[str, int]:
    """When the weights, probabilities and scores of all runs were written."""
    names = ("weights.safetensors", "prob.zarr", "flat.zarr", "ink.zarr", "score.json", "blocks.npz", "fit.json")
    files = [path for name in names for path in (root / "run").rglob(name)]
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in files}


@pytest.mark.slow
def test_seeds_are_compared_and_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(tiny_settings(tmp_path, tmp_path / "run")))
    phantom = ("fragments", "--out", tmp_path / "data", *PHANTOM, "--train", "2", "--test", "1")
    assert step("scripts/make_phantom.py", *phantom).returncode == 0
    compare = ("scripts/compare.py", config, "--seeds")
    done = step(*compare, "1")
    assert done.returncode == 0, done.stdout + done.stderr
    one_seed, before = json.loads((tmp_path / "run" / "compare.json").read_text()), written(tmp_path)
    done = step(*compare, "1", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    after = written(tmp_path)
    assert {name: after[name] for name in before} == before, "seed 1 was trained, predicted or scored again"

    found = json.loads((tmp_path / "run" / "compare.json").read_text())
    assert [row["name"] for row in found["rows"]] == ["best member", *MEMBERS, ON_BEST, *BLENDS]
    assert [seed["seed"] for seed in found["seeds"]] == [1, 2]
    assert found["seeds"][0] == one_seed["seeds"][0], "the time of what was done before is kept as it was"
    assert all(step["wall_s"] > 0 and step["cpu_s"] >= 0 for seed in found["seeds"] for step in seed["steps"].values())
    for row, alone in zip(found["rows"], one_seed["rows"], strict=True):
        assert row["f05"][0] == alone["f05"][0] and row["mean"] == pytest.approx(np.mean(row["f05"]))
        assert row["low"] <= row["mean"] <= row["high"]
    table = (tmp_path / "run" / "compare.md").read_text()
    assert table.strip() in done.stdout and "seed 2" in table and "no evidence about real scrolls" in table
    check_agreement(tmp_path / "run", found)


def check_agreement(run: Path, found: dict) -> None:
    """The table says what the runs' own files say."""
    for number, seed in enumerate(found["seeds"]):
        folder, best = run / f"seed{seed['seed']}", seed["best_member"]
        fit = json.loads((folder / "ensemble" / "fit.json").read_text())
        assert best == max(MEMBERS, key=lambda name: fit["oof_f05"][name])
        alone = folder / f"on_{best}"
        scores = {
            row["name"]: row["f05"] for row in json.loads((folder / "predict" / "score.json").read_text())["rows"]
        }
        scores["best member"] = scores[best]
        rows = json.loads((alone / "predict" / "score.json").read_text())["rows"]
        scores[ON_BEST] = next(row["f05"] for row in rows if row["name"] == "stage2")
        assert {row["name"]: row["f05"][number] for row in found["rows"]} == scores
        assert (alone / "stage1").resolve() == (folder / "stage1").resolve(), "stage one is shared, not trained again"
        receipt = json.loads((alone / "stage2" / "fold0" / "receipt.json").read_text())
        assert receipt["channels"] == [best]
        shutil.rmtree(alone)  # only the link goes, not what it leads to
        assert (folder / "stage1" / best / "fold0" / "weights.safetensors").exists()
