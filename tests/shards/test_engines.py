"""Whoever does the shards, in however many parts, killed however often: the same bits, and nothing written in vain."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from shard_jobs import WINDOW, DiaryOutput, TinyJob, TinyRecipe, phantom_ct

from scroll.errors import InputError, WorkerDiedError
from scroll.shards.drive import Driver, run_part
from scroll.shards.grid import Index
from scroll.shards.ledger import Ledger
from scroll.shards.local_engine import LocalEngine
from scroll.shards.ray_engine import RayEngine
from scroll.shards.status import read_status
from scroll.shards.work import as_uint8
from scroll.volumes.binning import block_mean
from scroll.volumes.ome_zarr import open_array

SMALL = (96, 128, 128)
LARGE = (192, 256, 256)


def quiet(line: str) -> None:
    pass


@dataclass(frozen=True)
class DiesAt:
    """A predictor whose process dies of one shard, for want of memory say, as often as it gets it; or of every one."""

    fatal: Index | None
    marks: Path

    def __call__(self):
        def predictor(corner: Index, size: Index) -> np.ndarray:
            if self.fatal in (None, corner):
                (self.marks / f"{time.time_ns()}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return np.full((1, *size), 0.5, np.float32)

        return predictor


@pytest.mark.slow
def test_a_shard_that_kills_its_workers_is_given_up_and_the_rest_is_done(tmp_path):
    (tmp_path / "marks").mkdir()
    job = TinyJob(tmp_path, DiesAt((0, 32, 32), tmp_path / "marks"), (32, 64, 64))
    (failed,) = run_part(job.plan, job.job(), LocalEngine(2), Driver(), quiet)
    assert (
        failed.shard.corner == (0, 32, 32)
        and "its worker died 3 times (exit code -9), most often for want of memory" in failed.error
    )
    assert len(list((tmp_path / "marks").iterdir())) == 3
    (level,) = read_status(job.ledger).levels
    assert level.done == 3 and len(level.failed) == 1


@pytest.mark.slow
def test_workers_that_die_whatever_they_are_given_end_the_job(tmp_path):
    (tmp_path / "marks").mkdir()
    job = TinyJob(tmp_path, DiesAt(None, tmp_path / "marks"), (96, 96, 96), options={"tries": 2})
    with pytest.raises(
        WorkerDiedError, match=r"workers died one after the other .exit code -9., most often for want of memory"
    ):
        run_part(job.plan, job.job(), LocalEngine(2), Driver(), quiet)


@pytest.mark.slow
def test_one_part_four_parts_two_processes_and_ray_give_the_same_bits_and_those_of_one_pass(tmp_path):
    pytest.importorskip("ray")
    ct = tmp_path / "ct.npy"
    np.save(ct, phantom_ct(LARGE))
    for name in ("one", "four", "two", "ray", "kept"):
        (tmp_path / name).mkdir()
    recipe = TinyRecipe(ct, (64, 64, 64), window=WINDOW.model_copy(update={"tta": "none"}))

    def job(name: str) -> TinyJob:
        return TinyJob(tmp_path / name, recipe, LARGE, shard_vox=96, levels=2)

    one = replace(job("one"), recipe=replace(recipe, kept=tmp_path / "kept"))
    assert run_part(one.plan, one.job(), LocalEngine(), Driver(), quiet) == []
    for number in (2, 0, 3, 1):
        part = Driver(number, 4)
        assert run_part(job("four").plan, job("four").job(part), LocalEngine(), part, quiet) == []
    assert run_part(job("two").plan, job("two").job(), LocalEngine(2), Driver(), quiet) == []
    assert run_part(job("ray").plan, job("ray").job(), RayEngine(2), Driver(), quiet) == []
    whole = one.result()
    for name in ("four", "two", "ray"):
        np.testing.assert_array_equal(job(name).result(), whole, err_msg=name)
        assert Counter(map(str, job(name).writes())).most_common(1)[0][1] == 1
        np.testing.assert_array_equal(
            open_array(tmp_path / name / "out.zarr", 1)[:], block_mean(whole, (2, 2, 2)), err_msg=name
        )
    check_against_one_pass(one, tmp_path / "kept", whole)


def check_against_one_pass(job: TinyJob, kept: Path, whole: np.ndarray) -> None:
    """Before rounding, every shard is within 1e-5 of the whole volume predicted at once; empty shards are 0."""
    at_once, worst, empty = job.recipe.at_once(), 0.0, 0
    for shard in job.plan.shards:
        place = tuple(slice(c, c + s) for c, s in zip(shard.corner, shard.size, strict=True))
        file = kept / f"{shard.corner}.npy"
        if not file.exists():
            empty += 1
            assert not whole[place].any()
            continue
        prob = np.load(file)
        worst = max(worst, float(np.abs(prob - at_once[place]).max()))
        np.testing.assert_array_equal(whole[place], as_uint8(prob))
    print(f"largest difference from one pass {worst:.1e}; {empty} of {len(job.plan.shards)} shards are empty")
    assert worst < 1e-5 and 0 < empty < len(job.plan.shards) and np.ptp(at_once) > 0.3


class DriverProcess:
    """A driver in a process of its own, its workers its children; `folder` may be relative to where it is `started`."""

    def __init__(
        self, folder: Path, engine: str = "2", part: int = 0, parts: int = 1, started: Path | None = None
    ) -> None:
        script = Path(__file__).parent / "drive_tiny.py"
        arguments = [str(folder), "x".join(map(str, SMALL)), engine, str(part), str(parts)]
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            cwd=started, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def writes(self) -> list[str]:
        diary = self.folder / "diary.jsonl"
        return diary.read_text().splitlines() if diary.exists() else []

    def wait_for_writes(self, count: int) -> None:
        """Until so many more shards were begun to be written, or everything is over."""
        goal = len(self.writes()) + count
        while len(self.writes()) < goal and self.process.poll() is None:
            time.sleep(0.002)

    def end(self) -> str:
        _, error = self.process.communicate(timeout=200)
        assert self.process.returncode == 0, error
        return error


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ct.npy and the undisturbed result of it in calm/."""
    root = tmp_path_factory.mktemp("small")
    np.save(root / "ct.npy", phantom_ct(SMALL))
    (root / "calm").mkdir()
    job = TinyJob(root / "calm", TinyRecipe(root / "ct.npy"), SMALL, levels=2)
    assert run_part(job.plan, job.job(), LocalEngine(), Driver(), quiet) == []
    return root


@pytest.mark.slow
def test_workers_and_drivers_killed_at_random_moments_lose_nothing_and_repeat_only_what_was_not_noted(small):
    rng, kills = random.Random(20261126), 0
    (small / "killed").mkdir()
    for _ in range(5):
        driver = DriverProcess(small / "killed")
        driver.wait_for_writes(rng.randint(1, 3))
        time.sleep(rng.uniform(0, 0.2))
        children = Path(f"/proc/{driver.process.pid}/task/{driver.process.pid}/children").read_text().split()
        writers = {line.split('"pid": ')[1].rstrip("}") for line in driver.writes()} & set(children)
        os.kill(int(rng.choice(sorted(writers))), signal.SIGKILL)
        driver.wait_for_writes(rng.randint(1, 3))
        time.sleep(rng.uniform(0, 0.2))
        assert driver.process.poll() is None  # it has not noticed the death of a worker, or mended it
        driver.process.kill()
        driver.process.communicate()
        kills += 1
    killed = TinyJob(small / "killed", TinyRecipe(small / "ct.npy"), SMALL, levels=2)
    before = sum(level.done for level in read_status(killed.ledger).levels)
    DriverProcess(small / "killed").end()
    check_complete_and_equal(small, killed)
    writes = killed.writes()
    print(f"{kills} workers and {kills} drivers killed, {before} shards done by then; {len(writes)} writes")
    assert len(writes) <= len({str(w["level"]) + str(w["index"]) for w in writes}) + kills * (1 + 2)


def check_complete_and_equal(small: Path, job: TinyJob) -> None:
    """No shard lost, none written again that the ledger knew of, and every bit as in an undisturbed run."""
    calm = TinyJob(small / "calm", job.recipe, SMALL, levels=2)
    assert read_status(job.ledger).is_complete
    assert not any(write["was_done"] for write in job.writes())
    done = {(level, index) for level in (0, 1) for index in Ledger(job.ledger, job.plan.key).done(level)}
    assert len(done) == 3 * 4 * 4 + 2 * 2 * 2
    np.testing.assert_array_equal(job.result(), calm.result())
    for level in (0, 1):
        mine, other = (open_array(one.folder / "out.zarr", level)[:] for one in (job, calm))
        np.testing.assert_array_equal(mine, other)


@pytest.mark.slow
def test_a_ray_actor_that_is_killed_is_replaced(small):
    pytest.importorskip("ray")
    (small / "actors").mkdir()
    driver = DriverProcess(small / "actors", engine="ray")
    driver.wait_for_writes(3)
    os.kill(int(driver.writes()[-1].split('"pid": ')[1].rstrip("}")), signal.SIGKILL)
    driver.end()
    job = TinyJob(small / "actors", TinyRecipe(small / "ct.npy"), SMALL, levels=2)
    check_complete_and_equal(small, job)
    assert len({write["pid"] for write in job.writes()}) >= 3


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a Ray cluster of two cores that was there before."""
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
    command += ["--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats"]
    head = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.2)
    yield f"127.0.0.1:{port}"
    head.terminate()
    head.wait(60)


@pytest.mark.slow
def test_a_cluster_that_is_there_is_joined_by_its_address_and_not_asked_for_more_cores_than_it_has(small, cluster):
    (small / "cluster").mkdir()
    job = TinyJob(small / "cluster", TinyRecipe(small / "ct.npy"), SMALL, levels=2)
    DriverProcess(Path("cluster"), engine=f"ray {cluster}", started=small).end()  # the cluster was started elsewhere
    check_complete_and_equal(small, job)
    assert len({write["pid"] for write in job.writes() if not write["level"]}) == 2


def test_where_no_cluster_is_it_says_so_at_once(tmp_path):
    pytest.importorskip("ray")
    job = TinyJob(tmp_path, TinyRecipe(tmp_path / "ct.npy"), (32, 64, 64))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(InputError, match=r"no cluster answers there.*ray start --head"):
            run_part(job.plan, job.job(), RayEngine(2, nobody), Driver(), quiet)


@pytest.mark.slow
def test_parts_that_run_at_the_same_time_never_write_the_same_shard(small):
    (small / "parts").mkdir()
    drivers = [DriverProcess(small / "parts", "1", part, 2) for part in (0, 1)]
    for driver in drivers:
        driver.end()
    job = TinyJob(small / "parts", TinyRecipe(small / "ct.npy"), SMALL, levels=2)
    check_complete_and_equal(small, job)
    writes = Counter((write["level"], *write["index"]) for write in job.writes())
    assert set(writes.values()) == {1} and len({write["pid"] for write in job.writes()}) == 2


def test_a_second_driver_on_the_same_output_is_refused_and_so_is_another_number_of_parts(tmp_path):
    np.save(tmp_path / "ct.npy", phantom_ct((32, 64, 64)))
    job = TinyJob(tmp_path, TinyRecipe(tmp_path / "ct.npy"), (32, 64, 64))
    with Ledger(job.ledger, job.plan.key).driving("part-0-of-2"):
        with pytest.raises(InputError, match=r"process \d+ on .* is working on part-0-of-2"):
            run_part(job.plan, job.job(Driver(0, 2)), LocalEngine(), Driver(0, 2), quiet)
        with pytest.raises(InputError, match="parts of 3 would overlap with it: use its --num-parts"):
            run_part(job.plan, job.job(Driver(1, 3)), LocalEngine(), Driver(1, 3), quiet)
        assert run_part(job.plan, job.job(Driver(1, 2)), LocalEngine(), Driver(1, 2), quiet) == []
    other = replace(job.plan, key="other")
    with pytest.raises(InputError, match="was begun with another volume, other networks or settings"):
        run_part(other, job.job(), LocalEngine(), Driver(), quiet)


@dataclass(frozen=True)
class KillsAfterWriting:
    """An output whose process dies between a shard and its line in the ledger, once."""

    diary: DiaryOutput
    fatal: Index
    mark: Path

    def write(self, corner: Index, block: np.ndarray) -> int:
        files = self.diary.write(corner, block)
        if corner == self.fatal and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return files

    def files(self, level: int) -> Mapping[Index, int]:
        return self.diary.files(level)


@pytest.mark.slow
def test_a_shard_is_written_again_where_its_worker_died_before_noting_it(tmp_path):
    np.save(tmp_path / "ct.npy", phantom_ct((32, 64, 64)))
    tiny = TinyJob(tmp_path, TinyRecipe(tmp_path / "ct.npy"), (32, 64, 64))
    job = tiny.job()
    fatal = replace(job, output=KillsAfterWriting(job.output, (0, 32, 32), tmp_path / "mark"))
    assert run_part(tiny.plan, fatal, LocalEngine(2), Driver(), quiet) == []
    written = Counter(tuple(write["index"]) for write in tiny.writes())
    assert written == {(0, 0, 0): 1, (0, 0, 1): 1, (0, 1, 0): 1, (0, 1, 1): 2}
    assert read_status(tiny.ledger).is_complete and not any(write["was_done"] for write in tiny.writes())
