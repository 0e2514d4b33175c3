"""One writer in a folder: a second one is told who the first is, a dead one's place is free, shares of one work go together."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from scroll.errors import InputError
from scroll.inference.prediction_store import RowWriter, open_map
from scroll.runtime import run_lock
from scroll.runtime.output_folder import BUNDLE, MARK, PREDICTION, RUN, check_folder, read_mark
from scroll.runtime.run_lock import FileLock, writing

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from pathlib import Path
from scroll.runtime.output_folder import RUN
from scroll.runtime.run_lock import writing
with writing(Path(sys.argv[1]), RUN):
    print("ours", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder `run`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run"), "s3://bucket?signature=secret"]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ours\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_writer_hears_who_holds_the_folder_and_gets_it_once_that_one_is_killed(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(run_lock, "PATIENCE_S", 0.0)
    with (
        pytest.raises(InputError, match=rf"run: process {holder.pid} on .* since 20.*writes here; wait") as caught,
        writing(tmp_path / "run", RUN),
    ):
        pass
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)
    assert "secret" not in (tmp_path / "run" / MARK).read_text()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with writing(tmp_path / "run", RUN):
        assert json.loads((tmp_path / "run" / MARK).read_text())["process"] == str(os.getpid())


def test_the_other_processes_of_one_training_are_not_locked_out_and_a_prediction_is(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "PATIENCE_S", 0.0)
    with writing(tmp_path, RUN, is_training=True):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", "1")
        with writing(tmp_path, RUN, is_training=True):
            pass
        with pytest.raises(InputError, match="writes here"), writing(tmp_path, RUN):
            pass
        with writing(tmp_path / "predict", PREDICTION):  # another folder, in which another lock is
            pass


def test_shares_of_one_work_go_together_and_neither_the_same_nor_those_of_another(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "PATIENCE_S", 0.0)
    with writing(tmp_path, PREDICTION, part="1-of-2"):
        with writing(tmp_path, PREDICTION, part="2-of-2"):
            pass
        for part in ("1-of-2", "2-of-3", ""):
            with pytest.raises(InputError, match="writes"), writing(tmp_path, PREDICTION, part=part):
                pass
    with (
        writing(tmp_path, PREDICTION),
        pytest.raises(InputError, match="writes here"),
        writing(tmp_path, PREDICTION, part="1-of-2"),
    ):
        pass
    with writing(tmp_path, PREDICTION, part="2-of-3"):
        pass
    assert {p.name for p in tmp_path.iterdir()} <= {MARK}


def test_what_is_replaced_as_a_whole_has_its_lock_beside_it_and_keeps_none(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "PATIENCE_S", 0.0)
    with writing(tmp_path / "bundle", BUNDLE):
        assert not (tmp_path / "bundle").exists()
        with pytest.raises(InputError, match="writes here"), writing(tmp_path / "bundle", BUNDLE):
            pass
    assert not list(tmp_path.iterdir())


def of_elsewhere(folder: Path, age_s: float) -> None:
    folder.mkdir()
    message = {
        "kind": "run",
        "host": "elsewhere",
        "process": "7",
        "started": "1",
        "since": "yesterday",
        "command": "train.py",
    }
    (folder / MARK).write_text(json.dumps(message))
    then = time.time() - age_s
    os.utime(folder / MARK, (then, then))


def test_a_lock_of_another_machine_is_taken_over_once_nobody_touches_it(tmp_path, monkeypatch):
    """Where the disk locks files for one machine alone, only the touching tells."""
    monkeypatch.setattr(run_lock, "WATCH_S", 0.3)
    monkeypatch.setattr(run_lock, "PULSE_S", 0.1)
    of_elsewhere(tmp_path / "silent", age_s=1)
    with writing(tmp_path / "silent", RUN):
        pass
    of_elsewhere(tmp_path / "alive", age_s=1)
    with (
        run_lock._pulse(touching(tmp_path / "alive" / MARK)),
        pytest.raises(InputError, match="process 7 on elsewhere since yesterday"),
        writing(tmp_path / "alive", RUN),
    ):
        pass


def touching(path: Path) -> FileLock:
    """A lock that is touched and not held, as the disk of another machine would show it."""
    lock = FileLock(path)
    lock._file = path.open("a")
    return lock


@pytest.mark.parametrize(
    ("process", "started", "is_alive"),
    [(os.getpid(), None, True), (os.getpid(), "1", False), (2**22 - 1, "1", False)],
    ids=[
        "this process",
        "its number, started at another time",
        "a number of nobody",
    ],  # the same in every process of the tests
)
def test_where_the_disk_locks_no_files_a_living_holder_is_known_by_its_number_and_start(
    tmp_path, monkeypatch, process, started, is_alive
):
    def refuses(*_: object) -> None:
        raise OSError(run_lock.errno.ENOLCK, "no locks available")

    monkeypatch.setattr(run_lock.fcntl, "flock", refuses)
    message = run_lock.who_we_are() | {"process": str(process)} | ({"started": started} if started else {})
    (tmp_path / MARK).write_text(json.dumps(message))
    lock = FileLock(tmp_path / MARK)
    assert lock.take() is not is_alive
    lock.release()


def test_two_writers_of_one_map_leave_it_whole(tmp_path):
    path, values = tmp_path / "prob.zarr", np.random.default_rng(0).random((1, 256, 256), dtype=np.float32)
    one, two = (RowWriter(path, "key", values.shape, 7.91, "cyx") for _ in range(2))
    made = set()
    for writer in (one, two):
        writer.write(0, values[:, :128])
        writer.write(128, values[:, 128:])
        writer.finish()
        made.add(path.stat().st_ino)
    assert len(made) == 1  # the second one left it alone
    np.testing.assert_array_equal(np.asarray(open_map(path, "")[:]), values.astype(np.float16))
    assert [p.name for p in tmp_path.iterdir()] == ["prob.zarr"]


def test_a_map_that_another_process_writes_is_left_to_it(tmp_path):
    path, values = tmp_path / "prob.zarr", np.ones((1, 256, 128), np.float32)
    other = FileLock(tmp_path / ".prob.zarr.lock")
    assert other.take()
    writer = RowWriter(path, "key", values.shape, 7.91, "cyx")
    with pytest.raises(InputError, match=r"prob\.zarr: .*writes this map; wait for it"):
        writer.write(0, values)
    assert not path.exists() and not path.with_name(".prob.zarr.part").exists()


def test_a_writer_goes_on_after_one_that_died_since_it_looked(tmp_path):
    path, values = tmp_path / "prob.zarr", np.random.default_rng(0).random((1, 300, 128), dtype=np.float32)
    dead, late = (RowWriter(path, "key", values.shape, 7.91, "cyx") for _ in range(2))
    dead.write(0, values[:, :200])
    for row in range(0, 300, 50):
        late.write(row, values[:, row : row + 50])
    late.finish()
    np.testing.assert_array_equal(np.asarray(open_map(path, "")[:]), values.astype(np.float16))


@pytest.mark.parametrize(
    "message", [{"process": "12"}, {"process": "x", "host": "elsewhere"}, {"process": "12", "host": ""}]
)
def test_a_damaged_mark_names_no_living_holder_and_is_not_waited_for(tmp_path, message, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waited"))
    (tmp_path / MARK).write_text(json.dumps({"kind": RUN.name, **message}))
    with writing(tmp_path, RUN):
        pass


def test_a_folder_that_another_of_ours_has_just_taken_and_not_yet_marked_is_no_strangers(tmp_path):
    for name in (MARK, f"{MARK}.1-of-2"):
        (tmp_path / name).touch()
    check_folder(tmp_path, PREDICTION)
    (tmp_path / "thesis.pdf").touch()
    with pytest.raises(InputError, match=r"holds thesis\.pdf, and was not made"):
        check_folder(tmp_path, PREDICTION)


def test_a_mark_that_is_written_again_and_again_is_never_read_empty(tmp_path):
    lock = FileLock(tmp_path / MARK)
    assert lock.take()
    lock.write({"kind": "run"})
    is_over, seen = threading.Event(), []

    def read() -> None:
        while not is_over.is_set():
            seen.append(read_mark(tmp_path / MARK).get("kind"))

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(3000):
        lock.write({"kind": "run"} | ({"command": "x" * (n % 700)} if n % 2 else {}))
    is_over.set()
    reader.join()
    lock.release()
    assert seen and set(seen) == {"run"} and json.loads((tmp_path / MARK).read_text())["kind"] == "run"
