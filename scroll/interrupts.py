"""Ctrl-C and SIGTERM as questions asked between two steps, in every process of a training."""

import atexit
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import active_children
from threading import current_thread, main_thread


def leave_signals_to_parent(_worker: int) -> None:
    """For loading processes: Ctrl-C reaches them too; were they to die of it, the last step would wait for them in vain."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@atexit.register  # before that of multiprocessing, which sends them the SIGTERM they ignore, and waits for ever
def end_loading_processes() -> None:
    """Kill what still loads: torch leaves its loading processes to Python's end where an exception still holds them."""
    loading = [process for process in active_children() if process.daemon]
    if loading:
        signal.signal(
            signal.SIGCHLD, signal.SIG_DFL
        )  # their end is no news; torch's handler would raise it as an error
    for process in loading:
        process.kill()
        process.join()


def hear_of_dead_workers_once() -> None:
    """Take torch's handler away: for as long as a loader is held, it would raise the same death again wherever the program stands.

    Loaders started later notice a death when they next ask for a patch.
    """
    if current_thread() is main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


@contextmanager
def stop_flag() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into a question asked between two steps, so that the saved state is never half a step."""
    asked: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    try:
        before = {s: signal.signal(s, lambda number, _frame: asked.append(number)) for s in signals}
    except ValueError:  # not the main thread: signals stay as they are
        yield lambda: False
        return
    try:
        yield lambda: bool(asked)
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
