"""The storage measurement: every store is checked and has its line; asking for help costs nothing."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts.bench import storage

ENTRY_POINT = Path(__file__).resolve().parents[2] / "scripts" / "bench.py"


def bench(tmp_path, *words: str) -> subprocess.CompletedProcess:
    """Run the command from another directory, as on a bare clone."""
    return subprocess.run(
        [sys.executable, ENTRY_POINT, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )


def test_the_table_has_a_line_for_every_store_and_leaves_nothing_behind(tmp_path):
    (tmp_path / "stores").mkdir()
    small = ("--shape", "9", "70", "80", "--patch", "4", "16", "16", "--seconds", "0.01", "--folder", "stores")
    done = bench(tmp_path, "storage", *small)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[3:]
    assert lines[0].startswith(storage.YARDSTICK)
    assert lines[0].split()[-3:-1] == ["1.0", "1.0"]
    for store in (
        "zarr 64^3 raw",
        "zarr 64^3 zstd",
        "zstd sharded",
        "layers raw",
        "layers LZW",
        "cube LZW",
        "working copy",
    ):
        assert any(store in line for line in lines), store
    assert list((tmp_path / "stores").iterdir()) == []


def test_a_store_that_gives_other_voxels_stops_the_measurement():
    truth = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)
    boxes = [(slice(0, 2), slice(0, 2), slice(start, start + 2)) for start in range(3)]
    with pytest.raises(RuntimeError, match="not what was written"):
        storage.time_reads("wrong", lambda box: truth[box] + 1, boxes, truth, seconds=0.1)


def test_a_patch_larger_than_the_volume_is_one_line(tmp_path):
    done = bench(tmp_path, "storage", "--shape", "4", "8", "8", "--patch", "5", "8", "8")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "patch" in done.stderr
