"""Processes that share the cores out instead of each taking all of them."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from scroll.errors import WorkerDiedError
from scroll.runtime.children import family
from scroll.runtime.environment import environment

Item = TypeVar("Item")
Result = TypeVar("Result")
Jobs = int | Executor  # a number of processes to start, or those that are there
SILENT = (
    "ignore:resource_tracker"  # Python's tracker of what killed processes leave clears it away, and need not say so
)
THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


_sharers = 1


def share_memory_with(processes: int) -> None:
    """This process is one of so many that load the same data, and keeps only its share of what is kept in memory."""
    global _sharers
    _sharers = max(1, processes)


def sharers() -> int:
    """How many processes load the same data together; 1 where this one does so alone."""
    return _sharers


def usable_cores() -> int:
    """Cores that this process may use, where the system says so; else all of the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def processes_of(count: int) -> Iterator[ProcessPoolExecutor]:
    """`count` fresh processes that end with this one; an error in the block ends them at once.

    Raises:
        WorkerDiedError: one of them died.
    """
    with environment(PYTHONWARNINGS=",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), SILENT)))):
        pool = ProcessPoolExecutor(count, mp_context=family())
    try:
        yield pool
    except BaseException as error:
        for process in list((pool._processes or {}).values()):  # shutdown would wait for what they are at
            process.kill()
        if isinstance(error, BrokenProcessPool):
            raise WorkerDiedError(
                f"one of {count} processes died, most often for want of memory: ask for fewer (--jobs, where the command has it) "
                "or free some; the same command goes on"
            ) from None
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def single_threaded_processes(count: int, **more: str) -> Iterator[ProcessPoolExecutor]:
    """As `processes_of`, with one thread each, and the environment variables `more` on top of this process's own.

    They are spawned, for libraries read these variables when they are imported.

    Raises:
        WorkerDiedError: one of them died.
    """
    with environment(**dict.fromkeys(THREADS, "1") | more), processes_of(count) as pool:
        yield pool


@contextmanager
def jobs_of(count: int) -> Iterator[Jobs]:
    """For `in_order`: so many processes of one thread each; this process alone where that is 1, for to start one takes seconds.

    Raises:
        WorkerDiedError: one of them died.
    """
    if count <= 1:
        yield 1
        return
    with single_threaded_processes(count) as pool:
        yield pool


def in_order(job: Callable[[Item], Result], items: Sequence[Item], processes: Jobs) -> Iterator[Result]:
    """What `job` makes of each item, in their order; in so many processes of one thread each, or here where that is 1 or fewer.

    Processes that are there already may be given instead of their number: to start them takes seconds each time.
    """
    if isinstance(processes, Executor):
        yield from processes.map(job, items)
        return
    with jobs_of(min(processes, len(items))) as jobs:
        yield from map(job, items) if isinstance(jobs, int) else jobs.map(job, items)
