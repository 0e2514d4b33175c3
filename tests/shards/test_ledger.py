"""The ledger: a line for each shard, whole or not there; one driver at a time, and none beside workers of a killed one."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from scroll.errors import InputError, MissingInputError
from scroll.shards.grid import shard_at
from scroll.shards.ledger import Ledger, Outcome
from scroll.shards.status import read_status

SHAPE = (40, 40, 40)
HOLD = """
import sys, time
from pathlib import Path
from scroll.shards.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), "key")
with getattr(ledger, sys.argv[2])("part-0-of-1"):
    print("held", flush=True)
    time.sleep(float(sys.argv[3]))
"""


def shard(*index: int):
    return shard_at(SHAPE, 10, index)


def holder(folder: Path, how: str, seconds: float) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder, how, str(seconds)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    return process


def test_what_is_recorded_is_done_and_a_failure_goes_once_it_is_mended(tmp_path):
    ledger = Ledger(tmp_path, "key")
    ledger.record(Outcome(shard(0, 1, 2), "me", error="no answer"))
    assert not ledger.is_done(shard(0, 1, 2)) and not ledger.done(0)
    assert [line["error"] for line in ledger.lines("failed", 0)] == ["no answer"]
    ledger.record(Outcome(shard(0, 1, 2), "me", {"predict": 1.5}, retries=1))
    assert ledger.is_done(shard(0, 1, 2)) and ledger.done(0) == {(0, 1, 2)} and not ledger.done(1)
    assert not list(ledger.lines("failed", 0))


def test_lines_of_another_key_and_damaged_ones_count_for_nothing(tmp_path):
    Ledger(tmp_path, "other").record(Outcome(shard(0, 0, 0), "me"))
    ledger = Ledger(tmp_path, "key")
    ledger.record(Outcome(shard(0, 0, 1), "me"))
    (line,) = (tmp_path / "done" / "0" / "0").glob("0-1.json")
    line.write_text(line.read_text()[:20])
    assert not ledger.is_done(shard(0, 0, 0)) and not ledger.is_done(shard(0, 0, 1)) and ledger.done(0) == set()


def test_a_second_driver_of_the_same_part_is_refused_and_of_another_part_not(tmp_path):
    first = holder(tmp_path, "driving", 30)
    ledger = Ledger(tmp_path, "key")
    assert ledger.driven() == ["part-0-of-1"]
    with (
        pytest.raises(InputError, match=rf"process {first.pid} on .* since .* is working on part-0-of-1"),
        ledger.driving("part-0-of-1"),
    ):
        pass
    with ledger.driving("part-1-of-2"):
        pass
    first.kill()
    first.wait()
    assert ledger.driven() == []
    with ledger.driving("part-0-of-1"):
        pass


def test_a_driver_waits_until_the_workers_of_a_killed_one_have_ended(tmp_path):
    orphan = holder(tmp_path, "working", 1.0)
    began = time.monotonic()
    with Ledger(tmp_path, "key").driving("part-0-of-1"):
        assert orphan.poll() is not None or time.monotonic() - began > 0.7
    orphan.wait()


def test_where_no_job_was_started_status_says_how_to(tmp_path):
    with pytest.raises(MissingInputError, match=r"plan\.json: not there; start the prediction first"):
        read_status(tmp_path)
