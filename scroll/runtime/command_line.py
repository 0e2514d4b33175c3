"""What every command shares: one-line errors, a clean stop on Ctrl-C, an end with whoever started it or stopped listening."""

import argparse
import errno
import math
import os
import re
import select
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from scroll.errors import InputError
from scroll.redacted import redacted
from scroll.runtime.children import end_with_command
from scroll.runtime.interrupts import Terminated, end_at_once, ended_in_order

PROGRAM = "scroll-ensemble"  # its commands have "scroll-ensemble NAME" as sys.argv[0]
OURS = ("scroll", "stage1_3d", "stage2_2d", "ensemble", "scripts")
FULL = (errno.ENOSPC, errno.EDQUOT)
AGAIN = "then run the same command again: it goes on"
ADVICE = dict.fromkeys(FULL, "free some space, " + AGAIN) | {
    errno.EMFILE: f"raise the limit of open files (ulimit -n 4096) or ask for fewer processes, {AGAIN}",
    errno.ENFILE: f"close other programs or ask for fewer processes, {AGAIN}",
    errno.EIO: f"the disk or the network below it fails: copy what is there to another one, {AGAIN}",
    errno.ELOOP: "it is a link that leads back to itself: link it to what is meant",
    errno.ENAMETOOLONG: "give a shorter one",
    errno.EISDIR: "that is a folder, and a file was expected",
    errno.ESTALE: f"mount the network disk again, {AGAIN}",
    errno.ENOMEM: f"free some memory or ask for fewer processes, {AGAIN}",
    errno.EAGAIN: f"raise the limit of processes (ulimit -u) or ask for fewer, {AGAIN}",
}
OF_THE_MACHINE = (errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM)
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
ADVICE |= dict.fromkeys(CLOSED, f"name a place that you may read and write, or have it opened to you, {AGAIN}")
NO_MEMORY = re.compile(r"out of memory|(can't|cannot|unable to) allocate|can't start new thread", re.IGNORECASE)
MEMORY_ADVICE = (
    "too little memory; free some or raise the limit (ulimit -v, the container's), or lower patch_size, train_batch_size, "
    "loader.workers or --jobs ('make plan' says what fits), " + AGAIN
)
STOPPED, TERMINATED = 130, 143  # by Ctrl-C and by SIGTERM, as a shell counts
CLOSED_PIPE = 141  # as a shell counts a program that was ended by SIGPIPE


def run_command(main: Callable[[], int | None]) -> None:
    """Run `main` and exit: with 0 or what it returns, 2 after an error that can be mended, in one line, or a missing package.

    130 after Ctrl-C, 143 after SIGTERM; 141, silently, where nobody reads what it prints any more, as with `| head`.
    """
    end_with_command()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no error
    status: object = CLOSED_PIPE
    with ended_in_order():
        try:
            status = _status(main)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python's own flush at the end complains
            status = CLOSED_PIPE
    sys.exit(status)  # type: ignore[arg-type]


def _status(main: Callable[[], int | None]) -> object:
    """What to exit with.

    Raises:
        BrokenPipeError: nobody reads any more.
    """
    try:
        return main() or 0
    except SystemExit as stop:
        return stop.code
    except KeyboardInterrupt as stop:
        end_at_once()
        print("stopped; nothing is lost: the same command goes on where this one stopped", file=sys.stderr)
        return TERMINATED if isinstance(stop, Terminated) else STOPPED
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            raise
        message = explained(error)
        if message is None:
            raise
        print(f"error: {' '.join(redacted(message).split())}", file=sys.stderr)
        return 2


def run_parser(about: str | None, example: str) -> argparse.ArgumentParser:
    """What every command on a run takes: its configuration, and settings laid over it; `example` is one of those."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML of the run, such as configs/demo.yaml")
    help_text = f"override a setting, such as {example}"
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=help_text)
    return parser


def as_typed(command: Sequence[str]) -> list[str]:
    """The words of a command line, from what `sys.argv` was.

    >>> as_typed(["scripts/score.py", "a"]), as_typed(["scroll-ensemble score", "a"])
    (['python', 'scripts/score.py', 'a'], ['scroll-ensemble', 'score', 'a'])
    """
    program, *words = command
    return [*(program.split() if program.startswith(f"{PROGRAM} ") else ["python", program]), *words]


def explained(error: Exception) -> str | None:
    """What to print of an error that can be mended; None of one that is ours."""
    if isinstance(error, InputError):
        lacking = _lacking(error)
        return f"{error}" if lacking is None else f"{error}; the cause: {ADVICE[lacking]}"
    if isinstance(error, ModuleNotFoundError):
        if (error.name or "").partition(".")[0] in OURS:
            return None
        return (
            f"{sys.executable} has no package '{error.name}'; make the environment with 'make setup', then use its Python: "
            "'. .venv/bin/activate', or .venv/bin/python in the place of python"
        )
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and NO_MEMORY.search(str(error))):
        return f"{' '.join(str(error).split())[:200] or 'MemoryError'}: {MEMORY_ADVICE}"
    if isinstance(error, OSError) and error.errno in ADVICE:
        return f"{error}; {ADVICE[error.errno]}"
    return None


def _lacking(error: BaseException | None) -> int | None:
    """What the machine lacks, where an error of a file came of that: then the file is sound."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
            return error.errno
        error = error.__cause__ or error.__context__
    return None


def _nobody_reads() -> bool:
    """Whether the other end of standard output is closed: a pipe may break elsewhere, too."""
    try:
        asked = select.poll()
        asked.register(sys.stdout.fileno(), 0)
        return bool(asked.poll(0))
    except (OSError, ValueError, AttributeError):  # no file of the system's
        return False


def number(low: float, high: float) -> Callable[[str], float]:
    """For argparse's `type`: a number from `low` to `high`.

    >>> number(0, 1)("0.5")
    0.5
    """

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text}: expected a number from {low:g} to {high:g}")
        return value

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """For argparse's `type`: a whole number from `low` to `high`.

    >>> whole(1, 8)("3")
    3
    """

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text}: expected a whole number from {low} to {high}")
        return value

    return read
