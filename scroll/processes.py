"""Processes that share the cores out instead of each taking all of them."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def environment(**settings: str) -> Iterator[None]:
    """Environment variables for what is started meanwhile; afterwards this process has its own back."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def single_threaded_processes(count: int, **more: str) -> Iterator[ProcessPoolExecutor]:
    """`count` fresh processes of one thread each, with the environment variables `more` on top of this process's own.

    They are spawned, for libraries read these variables when they are imported.
    """
    with (
        environment(**dict.fromkeys(THREADS, "1") | more),
        ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool,
    ):
        yield pool


def in_order(job: Callable[[Item], Result], items: Sequence[Item], processes: int | Executor) -> Iterator[Result]:
    """What `job` makes of each item, in their order; in so many processes of one thread each, or here where that is 1 or fewer.

    Processes that are there already may be given instead of their number: to start them takes seconds each time.
    """
    if isinstance(processes, Executor):
        yield from processes.map(job, items)
        return
    if processes <= 1:
        yield from map(job, items)
        return
    with single_threaded_processes(min(processes, len(items))) as pool:
        yield from pool.map(job, items)
