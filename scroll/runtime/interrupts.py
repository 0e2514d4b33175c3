"""Ctrl-C and SIGTERM as questions asked between two steps, in every process of a training."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

from scroll.runtime.children import STOPPING

SAME_S = 1.0  # what arrives sooner is the same request: a launcher passes on what the whole group was sent
SOON_S = 0.02  # until a request that could not be heeded is made again
GRACE_S = 5.0  # from the second request to the end, however this process is held up

_asked_soon: set[int] = set()  # signals that are sent again in a moment


class Terminated(KeyboardInterrupt):
    """SIGTERM: what Ctrl-C is from a terminal, from SLURM, docker or a launcher."""


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does: what is written aside or for a while is removed, and its processes end.

    A second SIGTERM ends it at once, and so does either signal after the block.
    """
    if current_thread() is not main_thread():
        yield
        return
    before = sys.unraisablehook
    _answer_with(_asked_to_end)
    sys.unraisablehook = partial(_dropped, before)
    try:
        yield
    finally:
        sys.unraisablehook = before
        end_at_once()


def _asked_to_end(number: int, frame: FrameType | None) -> None:
    """Raise it where the program stands, but not within an import: C code of libraries, torch's above all, aborts or drops it there."""
    if number in _asked_soon:  # the second one
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    elif _is_importing(frame):
        _ask_soon(number)
    elif number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
        raise Terminated
    else:
        raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _dropped(otherwise: Callable[[Any], object], lost: Any) -> None:
    """Python drops what is raised in a finaliser or in a callback from C, such as the compiler's: the request to end, too."""
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        otherwise(lost)
        return
    number = signal.SIGTERM if isinstance(lost.exc_value, Terminated) else signal.SIGINT
    if number == signal.SIGTERM:
        signal.signal(number, _asked_to_end)
    _ask_soon(number)


def _ask_soon(number: int) -> None:
    def ask() -> None:
        _asked_soon.discard(number)
        os.kill(os.getpid(), number)

    _asked_soon.add(number)
    soon = threading.Timer(SOON_S, ask)
    soon.daemon = True
    soon.start()


def end_at_once() -> None:
    """Let either signal end a command that is over: there is nothing left to put in order, and Python would complain of it."""
    if current_thread() is main_thread():
        _answer_with(signal.SIG_DFL)


def _answer_with(handler: Any) -> None:
    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as for what a shell script started in the background
            signal.signal(number, handler)


def hear_of_dead_workers_once() -> None:
    """Take torch's handler away: for as long as a loader is held, it would raise the same death again wherever the program stands.

    Loaders started later notice a death when they next ask for a patch.
    """
    while current_thread() is main_thread():
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return
        except RuntimeError:  # that handler's own, of an end that it hears of at this moment
            continue


@contextmanager
def stop_flag() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into a question asked between two steps, so that the saved state is never half a step.

    A second one ends the process within five seconds, whatever it waits for; its children end with it.
    """
    asked: list[int] = []
    try:
        before = {s: signal.signal(s, lambda number, _frame: asked.append(number)) for s in STOPPING}
    except ValueError:  # not the main thread: signals stay as they are
        yield lambda: False
        return
    try:
        with _ended_by_the_second():
            yield lambda: bool(asked)
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


@contextmanager
def _ended_by_the_second() -> Iterator[None]:
    """Python hears of a signal between two of its own instructions; a thread hears of it at once, through a pipe."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_end_at_the_second, args=(reader,), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)


def _end_at_the_second(reader: int) -> None:
    first = 0.0
    is_ending = False
    while numbers := os.read(reader, 1):
        now = time.monotonic()
        if numbers[0] not in STOPPING or is_ending:
            continue
        first = first or now
        if now - first > SAME_S:
            is_ending = True
            end = threading.Timer(GRACE_S, _end_now)
            end.daemon = True  # a process that ends by itself does not wait for it
            end.start()
    os.close(reader)


def _end_now() -> None:
    print(
        "stopped before the step was done; the same command goes on from the last checkpoint",
        file=sys.stderr,
        flush=True,
    )
    os._exit(130)
