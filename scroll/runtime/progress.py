"""Progress with rate and time left: a bar on a terminal, a line every few seconds in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOG_EVERY_S = 10.0


@contextmanager
def progress(
    label: str, total: int, unit: str = "it", start: int = 0, is_shown: bool = True
) -> Iterator[Callable[..., None]]:
    """Yield `advance(n=1, note="")`; shows done/total, rate and time left on standard error.

    `start` is how many of `total` were done by an earlier run, so that the rate counts only this one.
    """
    if not is_shown:  # of several processes that do the same only one speaks
        yield lambda n=1, note="": None
    elif sys.stderr.isatty():
        with _bar(label, total, unit, start) as advance:
            yield advance
    else:
        yield _log_lines(label, total, unit, start)


@contextmanager
def _bar(label: str, total: int, unit: str, start: int) -> Iterator[Callable[..., None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:<26}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    began = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total, completed=start, pace="", note="")
        done = start

        def advance(n: int = 1, note: str = "") -> None:
            nonlocal done
            done += n
            bar.update(
                task, completed=done, pace=pace(done - start, total - done, time.monotonic() - began, unit), note=note
            )

        yield advance


def _log_lines(label: str, total: int, unit: str, start: int) -> Callable[..., None]:
    began = last = time.monotonic()
    done = start

    def advance(n: int = 1, note: str = "") -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if now - last >= LOG_EVERY_S or (done >= total and now - began >= LOG_EVERY_S):
            last = now
            print(
                f"{label}: {done}/{total}  {pace(done - start, total - done, now - began, unit)}  {note}".rstrip(),
                file=sys.stderr,
            )

    return advance


def pace(done: int, left: int, elapsed_s: float, unit: str) -> str:
    """Rate and time left in words.

    >>> pace(done=50, left=100, elapsed_s=10.0, unit="step")
    '5.0 step/s, 0:20 left'
    >>> pace(done=5, left=1, elapsed_s=60.0, unit="volume")
    '12.0 s a volume, 0:12 left'
    """
    if not done or elapsed_s <= 0:
        return ""
    rate = done / elapsed_s
    minutes, seconds = divmod(round(left / rate), 60)
    speed = f"{rate:.1f} {unit}/s" if rate >= 1 else f"{1 / rate:.1f} s a {unit}"
    return f"{speed}, {minutes}:{seconds:02d} left"
