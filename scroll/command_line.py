"""What every command-line door shares: one-line errors, a clean stop on Ctrl-C."""

import errno
import sys
from collections.abc import Callable

from scroll.errors import InputError

OURS = ("scroll", "stage1_3d", "stage2_2d", "ensemble", "scripts")
FULL = (errno.ENOSPC, errno.EDQUOT)
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


def run_door(main: Callable[[], int | None]) -> None:
    """Run `main` and exit: 0 or what it returns, 2 after a mendable error (or a missing package) told in one line, 130 after Ctrl-C."""
    try:
        sys.exit(main() or 0)
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OURS:
            raise
        print(
            f"error: {sys.executable} has no package '{error.name}'; make the environment with 'make setup', then use its Python: "
            "'. .venv/bin/activate', or .venv/bin/python in the place of python",
            file=sys.stderr,
        )
        sys.exit(2)
    except OSError as error:
        if error.errno not in FULL + CLOSED:
            raise
        advice = (
            "free some space"
            if error.errno in FULL
            else "name a place that you may read and write, or have it opened to you"
        )
        print(f"error: {error}; {advice}, then run the same command again: it goes on", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped; nothing is lost: the same command goes on where this one stopped", file=sys.stderr)
        sys.exit(130)
