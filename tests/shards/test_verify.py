"""An output that is not as it was written: found by sizes at once, by contents when asked, and made again alone in the same bits."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest
from shard_jobs import TinyJob

from ensemble.commands import scroll_status
from scroll.runtime.files import read_json, write_json
from scroll.shards.drive import Driver, run_part
from scroll.shards.engines import in_this_process
from scroll.shards.ledger import Ledger, Outcome
from scroll.shards.plan import write_plan
from scroll.shards.verify import damaged_in_content, damaged_in_size, strike_out

SHAPE = (32, 64, 64)
CT = np.random.default_rng(0).integers(1, 256, SHAPE, dtype=np.uint8)


class Engine:
    """In this process."""

    run = staticmethod(in_this_process)


def recipe():
    """Gives the CT itself as probabilities."""

    def predictor(corner, size):
        return CT[tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))][None].astype(np.float32) / 255

    return predictor


@pytest.fixture(params=["0.5", "0.4"])
def job(request, tmp_path: Path) -> TinyJob:
    tiny = TinyJob(tmp_path, recipe, SHAPE, levels=2, version=request.param)
    assert run_part(tiny.plan, tiny.job(), Engine(), Driver(), print) == []
    return tiny


def stored(job: TinyJob) -> dict[Path, bytes]:
    files = (path for path in (job.folder / "out.zarr").rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if path.name.isdecimal()}


def status(job: TinyJob, monkeypatch, *options: str) -> int:
    monkeypatch.setattr(sys, "argv", ["scroll_status.py", str(job.folder / "out.zarr"), *options])
    return scroll_status.main()


def test_an_emptied_shard_is_not_complete_and_a_flipped_bit_is_found_by_verify_and_mended_by_the_same_command(
    job, monkeypatch, capsys
):
    before = stored(job)
    assert status(job, monkeypatch) == 0 and status(job, monkeypatch, "--verify") == 0
    file = next(path for path in sorted(before) if "/out.zarr/0/" in path.as_posix())
    file.write_bytes(b"")
    assert status(job, monkeypatch) == 1
    message = capsys.readouterr().out
    assert (
        "damaged: level 0, shard 0-0-0: files of it are gone or cut off" in message
        and "not complete: 1 damaged" in message
    )
    content = before[file]
    file.write_bytes(content[:40] + bytes([content[40] ^ 8]) + content[41:])
    assert status(job, monkeypatch) == 0, "reads nothing"
    assert status(job, monkeypatch, "--verify") == 1
    assert "is damaged" in capsys.readouterr().out
    count = len(job.writes())
    assert run_part(job.plan, job.job(), Engine(), Driver(), print) == []
    made = [(write["level"], write["index"]) for write in job.writes()[count:]]
    assert made == [(0, [0, 0, 0]), (1, [0, 0, 0])] and stored(job) == before
    assert status(job, monkeypatch, "--verify") == 0


def test_no_flipped_bit_of_an_output_or_its_ledger_is_counted_as_whole(job):
    draw, ledger, output = random.Random(0), Ledger(job.ledger, job.plan.key), job.job().output.output
    files = [*sorted(stored(job)), *sorted((job.ledger / "done").rglob("*.json"))]
    for number in range(60):
        file = files[number % len(files)]
        content = file.read_bytes()
        bad = bytearray(content)
        bad[draw.randrange(len(bad))] ^= 1 << draw.randrange(8)
        file.write_bytes(bad)
        is_found = bool([*damaged_in_size(ledger, output, 2), *damaged_in_content(ledger, output, 2)])
        lines = sum(len(ledger.done(level)) for level in (0, 1))
        intact = file.suffix == ".json" and lines == 5 and {**read_json(file), "checksum": 0}.keys() >= {"key", "files"}
        assert is_found or lines < 5 or intact, file
        file.write_bytes(content)


def test_a_ledger_of_before_sizes_were_noted_still_counts_files(job, monkeypatch, capsys):
    for line in (job.ledger / "done").rglob("*.json"):
        content = read_json(line)
        write_json(line, content | {"files": len(content["files"])})
    assert status(job, monkeypatch, "--verify") == 0
    assert "5 shards were written before checksums were kept; they cannot be verified" in capsys.readouterr().out
    next(iter(stored(job))).unlink()
    assert status(job, monkeypatch) == 1


def test_a_plan_that_was_changed_is_refused(job, monkeypatch):
    write_plan(job.ledger / "plan.json", job.plan)
    text = (job.ledger / "plan.json").read_text()
    (job.ledger / "plan.json").write_text(text.replace('"0-1-1"', '"0-1-0"'))
    with pytest.raises(ValueError, match=r"plan\.json: was changed since it was written"):
        status(job, monkeypatch)


def test_what_is_struck_out_takes_the_coarser_shards_made_from_it_along(tmp_path):
    from scroll.shards.grid import shard_at
    from scroll.shards.verify import Damage

    ledger = Ledger(tmp_path, "key")
    shards = [
        shard_at((64, 64, 64), 16, (0, 0, 1)),
        shard_at((64, 64, 64), 16, (3, 3, 3)),
        shard_at((32,) * 3, 16, (0, 0, 0), 1),
    ]
    for shard in shards:
        ledger.record(Outcome(shard, "me"))
    strike_out(ledger, [Damage(0, (0, 0, 1), "")], 2)
    assert [ledger.is_done(shard) for shard in shards] == [False, True, False]
