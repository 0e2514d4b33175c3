"""One shard: tried again, given up and told, written once; a full disk ends everything, and garbage is named."""

import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shard_jobs import TinyJob

from scroll.errors import InputError, WorkerDiedError
from scroll.shards.drive import Driver, run_part
from scroll.shards.grid import Index
from scroll.shards.ledger import Ledger
from scroll.shards.local_engine import LocalEngine
from scroll.shards.ray_engine import RayEngine
from scroll.shards.status import read_status
from scroll.shards.work import Worker, as_uint8
from scroll.volumes import open_volume
from scroll.volumes.ome_zarr import create_ome_zarr, open_array

SHAPE = (64, 64, 64)


@dataclass(frozen=True)
class FromZarr:
    """A predictor that reads a volume and gives what it read, over 255; its reads fail as often as a test wants."""

    path: Path
    fails_at: Index = (-1, -1, -1)
    times: int = 0

    def __call__(self):
        volume, asked = open_volume(self.path, 7.91), []

        def predictor(corner: Index, size: Index) -> np.ndarray:
            asked.append(corner)
            if corner == self.fails_at and asked.count(corner) <= self.times:
                raise ConnectionError(f"no answer at {corner}")
            return volume[tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))][None] / np.float32(255)

        return predictor


class LostCard:
    """As `torch.cuda` is after an illegal access: it is there, and refuses everything."""

    is_available = is_initialized = staticmethod(lambda: True)

    @staticmethod
    def synchronize() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


@dataclass(frozen=True)
class LosesItsCard:
    """A predictor whose process loses its graphics card at one shard, as often as it gets it or only the first time."""

    fatal: Index
    mark: Path
    always: bool = False

    def __call__(self):
        def predictor(corner: Index, size: Index) -> np.ndarray:
            if corner == self.fatal and (self.always or not self.mark.exists()):
                self.mark.touch()
                torch.cuda = LostCard  # for the rest of this process
            if torch.cuda is LostCard:
                torch.cuda.synchronize()
            return np.full((1, *size), 0.5, np.float32)

        return predictor


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "ct.zarr"
    array = create_ome_zarr(path, SHAPE, "uint8", (32, 32, 32), 7.91)
    array[:] = np.random.default_rng(0).integers(1, 255, SHAPE, dtype=np.uint8)
    return path


def run(job: TinyJob, engine: LocalEngine | RayEngine = LocalEngine()) -> list:  # noqa: B008
    return run_part(job.plan, job.job(), engine, Driver(), tell=lambda line: None)


def test_a_read_that_fails_twice_and_then_succeeds_is_done_and_counted(tmp_path, volume):
    job = TinyJob(tmp_path, FromZarr(volume, (0, 32, 0), times=2), SHAPE)
    assert run(job) == []
    np.testing.assert_array_equal(job.result(), open_volume(volume)[:])
    retries = {
        tuple(line["shard"]["corner"]): line["retries"] for line in Ledger(job.ledger, job.plan.key).lines("done", 0)
    }
    assert retries.pop((0, 32, 0)) == 2 and set(retries.values()) == {0} and len(retries) == 7
    assert len(job.writes()) == 8


def test_a_shard_that_always_fails_is_reported_the_rest_is_done_and_it_is_tried_again_later(tmp_path, volume):
    job = TinyJob(tmp_path, FromZarr(volume, (0, 32, 0), times=100), SHAPE, levels=2)
    (failed,) = run(job)
    assert failed.shard.corner == (0, 32, 0) and failed.error == "ConnectionError: no answer at (0, 32, 0)"
    message = list(read_status(job.ledger).lines())
    assert message[0] == "nobody is working on it" and message[1].startswith("level 0: 7 of 8 shards (88%), 1 failed")
    assert message[2] == "  failed 0-1-0: ConnectionError: no answer at (0, 32, 0)"
    assert message[3].startswith("level 1: 0 of 1 shards")  # not of a level with a hole in it
    assert run(replace(job, recipe=FromZarr(volume))) == []
    status = read_status(job.ledger)
    assert status.is_complete and not any(level.failed for level in status.levels)
    assert len(job.writes()) == 9 and not any(write["was_done"] for write in job.writes())
    np.testing.assert_array_equal(job.result(), open_volume(volume)[:])


def test_a_second_run_writes_nothing(tmp_path, volume):
    job = TinyJob(tmp_path, FromZarr(volume), SHAPE, levels=3)
    assert run(job) == [] and run(job) == []
    assert len(job.writes()) == 8 + 1 + 1


@pytest.mark.parametrize(("version", "kept"), [("0.5", None), ("0.4", None), ("0.5", 0), ("0.4", 0), ("0.5", 50)])
def test_a_shard_whose_file_is_gone_emptied_or_cut_off_is_made_again_and_no_other(tmp_path, volume, version, kept):
    array = open_array(volume, mode="r+")
    array[32:, :32, :32] = 0  # an empty shard has no file, and lacks none
    array[:32, :32, :32] = 0
    array[5, 5, 5] = 1  # a probability of 1 / 255, kept in one chunk of eight
    job = TinyJob(tmp_path, FromZarr(volume), SHAPE, levels=2, version=version)
    assert run(job) == [] and len(job.writes()) == 8 + 1
    result, message = job.result(), []
    files = sorted(path for path in (tmp_path / "out.zarr").rglob("*") if path.is_file() and path.name[0].isdecimal())
    for lost in (files[0], files[-1]):  # one of level 0, one of level 1
        if kept is None:
            lost.unlink()
        else:
            lost.write_bytes(lost.read_bytes()[:kept])
    assert run_part(job.plan, job.job(), LocalEngine(), Driver(), message.append) == []
    assert [(write["level"], write["index"]) for write in job.writes()[9:]] == [(0, [0, 0, 0]), (1, [0, 0, 0])]
    assert message == ["1 shards are noted as done, but files of them are gone or cut off: made again"] * 2
    assert all(path.exists() for path in files) and read_status(job.ledger).is_complete
    np.testing.assert_array_equal(job.result(), result)
    assert run(job) == [] and len(job.writes()) == 11


def test_a_chunk_of_garbage_is_named_and_spoils_only_its_shard(tmp_path, volume):
    (volume / "0" / "1" / "0" / "1").write_bytes(b"what the server really sent")
    job = TinyJob(tmp_path, FromZarr(volume), SHAPE)
    (failed,) = run(job)
    assert failed.shard.corner == (32, 0, 32)
    assert "UnreadableError" in failed.error and str(volume) in failed.error
    assert "z 32-64, y 0-32, x 32-64 cannot be read" in failed.error and "copy that part again" in failed.error


def test_a_flipped_bit_in_a_sharded_volume_is_a_checksum_error_with_its_place(tmp_path):
    path = tmp_path / "sharded.zarr"
    array = create_ome_zarr(path, SHAPE, "uint8", (32, 32, 32), 7.91, version="0.5", shards=(64, 64, 64))
    array[:] = np.random.default_rng(0).integers(1, 255, SHAPE, dtype=np.uint8)
    (file,) = [one for one in (path / "0" / "c").rglob("*") if one.is_file()]
    content = bytearray(file.read_bytes())
    content[-20] ^= 1  # the index of the shard ends in its checksum
    file.write_bytes(content)
    failed = run(TinyJob(tmp_path, FromZarr(path), SHAPE))
    assert len(failed) == 8
    assert all("checksum" in one.error and "cannot be read" in one.error for one in failed)


def test_networks_that_cannot_be_loaded_end_the_job_at_once(tmp_path):
    job = TinyJob(tmp_path, FromZarr(tmp_path / "nowhere.zarr"), SHAPE)
    with pytest.raises(InputError, match=r"nowhere\.zarr: not there.*run the same command again"):
        run(job)
    assert not list(job.ledger.glob("failed/*/*/*.json"))


def test_a_predictor_of_another_shape_is_an_error_not_a_broken_shard(tmp_path, volume):
    class TwoChannels(FromZarr):
        def __call__(self):
            return lambda corner, size: np.zeros((2, *size), np.float32)

    failed = run(TinyJob(tmp_path, TwoChannels(volume), SHAPE))
    assert len(failed) == 8 and all("expected probabilities (1, *(32, 32, 32))" in one.error for one in failed)


ON_A_TINY_DISK = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from shard_jobs import TinyJob
from test_work import SHAPE, FromZarr, run
from scroll.errors import InputError
from scroll.shards.ledger import Ledger

disk, volume = Path(sys.argv[1]), Path(sys.argv[2])
job = TinyJob(disk / "small", FromZarr(volume), SHAPE)
(disk / "small").mkdir()
try:
    run(job)
except InputError as error:
    print(error)
print(len(Ledger(job.ledger, job.plan.key).done(0)))
parts = [str(path) for path in disk.rglob("*.part")]
print(parts)
(disk / "ballast").unlink()
assert run(job) == []
import numpy as np
from scroll.volumes import open_volume
np.testing.assert_array_equal(job.result(), open_volume(volume)[:])
print(len(job.writes()), any(write["was_done"] for write in job.writes()))
"""


def test_a_full_disk_ends_the_job_in_one_line_and_with_space_it_goes_on(tmp_path, volume):
    """The disk of 800 KiB, of which 600 are taken, is seen by this one process only, and goes with it."""
    own_mounts = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=800k tmpfs "$0"'
    if not shutil.which("unshare") or subprocess.run([*own_mounts, mount, disk], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    full = f'{mount} && head -c 614400 /dev/zero > "$0/ballast" && exec "$1" -c "$2" "$0" "$3" "$4" "$5"'
    here = Path(__file__).parent
    command = [*own_mounts, full, disk, sys.executable, ON_A_TINY_DISK, volume, here, here.parents[1]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    error, count, parts, again = done.stdout.splitlines()
    assert "o space left" in error and error.endswith("run the same command again") and error.startswith("shard ")
    assert 1 <= int(count) < 8 and parts == "[]"
    assert again.endswith("False")


@given(st.lists(st.floats(0, 1, width=32), min_size=1))
def test_a_probability_is_kept_to_half_a_255th(probs):
    values = np.array(probs, np.float32)
    assert np.abs(as_uint8(values) / 255 - values).max() <= 0.5 / 255 + 1e-6


def test_a_worker_says_how_busy_it_was(tmp_path, volume):
    job = TinyJob(tmp_path, FromZarr(volume, (0, 0, 0), times=1), SHAPE, options={"wait_s": 0.2})
    worker = Worker(job.job(), "here")
    for shard in job.plan.shards[:2]:
        worker.do(shard)
    (about,) = Ledger(job.ledger, job.plan.key).workers()
    assert about["shards"] == 2 and about["retries"] == 1
    assert 0.2 <= about["busy_s"] <= about["at"] - about["began"]


def test_a_worker_whose_card_is_lost_ends_instead_of_failing_every_shard_that_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "cuda", torch.cuda)  # put back afterwards
    job = TinyJob(tmp_path, LosesItsCard((0, 0, 32), tmp_path / "mark"), SHAPE)
    with pytest.raises(
        WorkerDiedError, match=r"shard 0-0-1: the graphics card answers no more .*illegal memory access"
    ):
        run(job)
    (level,) = read_status(job.ledger).levels
    assert level.done == 1 and not level.failed


@pytest.mark.slow
@pytest.mark.parametrize("engine", [LocalEngine(2), RayEngine(2)], ids=["local", "ray"])
@pytest.mark.parametrize("always", [False, True])
def test_a_shard_that_loses_a_card_goes_to_a_process_of_its_own_and_the_rest_is_done(tmp_path, always, engine):
    if isinstance(engine, RayEngine):
        pytest.importorskip("ray")
    job = TinyJob(tmp_path, LosesItsCard((0, 0, 32), tmp_path / "mark", always), SHAPE)
    failed = run(job, engine)
    (level,) = read_status(job.ledger).levels
    assert level.done == 8 - always and len(failed) == always
    assert all("the graphics card answers no more" in one.error for one in failed)


def test_no_worker_at_all_is_an_error_and_no_silence(tmp_path):
    with pytest.raises(ValueError, match="1 worker or more"):
        run(TinyJob(tmp_path, LosesItsCard((9, 9, 9), tmp_path / "mark"), SHAPE), LocalEngine(0))
