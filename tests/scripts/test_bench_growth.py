"""The table of growth: a row for everything that grows, and an exponent that is that of the figures."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.bench.growth import PREPARED, exponent

ENTRY_POINT = Path(__file__).resolve().parents[2] / "scripts" / "bench.py"


@pytest.mark.parametrize("power", [0.0, 1.0, 1.5, 2.0])
def test_an_exponent_is_that_of_the_power_law(power: float) -> None:
    sizes = [1, 2, 4, 8]
    assert exponent(sizes, [3.0 * size**power for size in sizes]) == pytest.approx(power, abs=1e-9)


@pytest.mark.slow
def test_every_row_is_measured_at_every_size(tmp_path: Path) -> None:
    few = ("blend, members", "weights, members (2, 3, 5, 9)")
    assert set(few) < set(PREPARED)
    command = [sys.executable, ENTRY_POINT, "growth", "--growth-times", "1", "2", "--growth-rows", *few]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("  ")]
    assert len(rows) == 2
    for name, row in zip(few, rows, strict=True):
        assert row.strip().startswith(name) and len(re.findall(r"\d s +\d+ MiB", row)) == 2
    assert list(tmp_path.iterdir()) == []
