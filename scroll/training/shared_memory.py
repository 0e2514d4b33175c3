"""The memory through which loading processes hand their batches over: 64 MiB in most containers, and then too small."""

import re
import shutil
from pathlib import Path

from scroll.config.training import LoaderSettings
from scroll.errors import InputError

SHARED = Path("/dev/shm")
SHARED_FULL = re.compile(
    r"shared memory|shm|Bus error|unable to (write to|open|mmap|allocate)[^\n]*torch_", re.IGNORECASE
)
BYTES_A_VOXEL = 12  # of a patch: CT and label in float32, and what is not counted


def shared_memory_is_small(loading: LoaderSettings) -> str:
    """One line that names the memory that processes share, its size, and the ways out."""
    size = f" ({shutil.disk_usage(SHARED).total / 2**20:.0f} MiB in all)" if SHARED.is_dir() else ""
    return (
        f"{SHARED}: the memory that loading processes share is too small for their batches{size}; give the container more "
        "(docker run --shm-size=8g, or --ipc=host), or let the training load its patches itself: --set "
        f"stage1.defaults.training.loader.workers=0 (of stage two: stage2.training.loader.workers=0; now {loading.workers}); "
        "the same command goes on from the last checkpoint"
    )


def check_shared_memory(loading: LoaderSettings, batch_voxels: int) -> None:
    """Refuse workers whose batches do not fit into the memory that they share; `batch_voxels` is of one batch.

    Raises:
        InputError: it is too small.
    """
    if not loading.workers or not SHARED.is_dir():
        return
    if shutil.disk_usage(SHARED).free < loading.workers * loading.prefetch_factor * batch_voxels * BYTES_A_VOXEL:
        raise InputError(shared_memory_is_small(loading))
