"""The prepared script for a card, tried without one: every way has its row, and what the time does not reach says so."""

import json
from pathlib import Path

import pytest

from tests.steps import step

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def rows_of(tmp_path: Path, *words: str) -> list[dict[str, object]]:
    entry_point, out = REPOSITORY / "scripts" / "bench_gpu.py", tmp_path / "times.json"
    config, few = (
        REPOSITORY / "configs" / "demo.yaml",
        ("--cpu", "--member", "cnn3d", "--steps", "40", "--out", str(out)),
    )
    loading = ("--set", "stage1.defaults.training.loader.workers=0")
    command = [entry_point, config, *few, *loading, *words]
    done = step(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return list(json.loads(out.read_text(encoding="utf-8"))["rows"])


def test_each_way_is_measured_and_the_network_that_was_trained_predicts(tmp_path: Path) -> None:
    plain, device, predicted = rows_of(tmp_path, "--ways", "plain", "device", "prediction")
    for row in (plain, device):
        assert row["step_s"] > 0 and row["planned_gib"] > 0 and row["batch"] == 3  # type: ignore[operator]
    assert "augment_s" in device and "augment_s" not in plain
    assert predicted["megavoxel_a_s"] > 0  # type: ignore[operator]


def test_what_comes_after_the_time_is_not_begun(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, "--minutes", "0", "--ways", "plain", "compiled")
    assert [(row["way"], row["message"]) for row in rows] == [
        (way, "not begun: no time left") for way in ("plain", "compiled")
    ]
