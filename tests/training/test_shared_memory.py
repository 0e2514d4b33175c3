"""Memory that loading processes share: where it is too small, it is named, with its size and ways out, before and while it fails."""

import shutil

import pytest

from scroll.config.training import LoaderSettings
from scroll.errors import InputError, WorkerDiedError
from scroll.training.dataloader import naming_dead_workers
from scroll.training.shared_memory import SHARED, check_shared_memory

WORKERS = LoaderSettings(workers=2)
TOO_MANY_VOXELS = 2**50


@pytest.mark.parametrize(
    "message",
    [
        "DataLoader worker (pid 5) is killed by signal: Bus error. It is possible that dataloader's workers are out of shared memory.",
        "unable to write to file </torch_5_1_0>: No space left on device (28)",
        "unable to allocate shared memory(shm) for file </torch_5>: Cannot allocate memory (12)",
    ],
)
def test_its_cause_is_named_with_the_ways_out(message):
    with pytest.raises(WorkerDiedError) as found, naming_dead_workers(WORKERS):
        raise RuntimeError(message)
    line = str(found.value)
    assert "\n" not in line and all(
        part in line for part in (str(SHARED), "MiB in all", "--shm-size", "--ipc=host", "workers=0")
    )


def test_a_worker_that_died_of_something_else_is_not_blamed_on_it():
    with pytest.raises(WorkerDiedError, match="a loading process died") as found, naming_dead_workers(WORKERS):
        raise RuntimeError("DataLoader worker (pid 5) is killed by signal: Killed.")
    assert str(SHARED) not in str(found.value)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no such place on this system")
def test_it_is_seen_before():
    assert shutil.disk_usage(SHARED).total < TOO_MANY_VOXELS
    with pytest.raises(InputError, match="too small"):
        check_shared_memory(WORKERS, TOO_MANY_VOXELS)
    check_shared_memory(WORKERS, 1)
    check_shared_memory(LoaderSettings(workers=0), TOO_MANY_VOXELS)
