"""Files that are not what they should be: whatever a library says of one comes out as one line that names it."""

import csv
import errno
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from tokenize import TokenError
from typing import ParamSpec, TypeVar
from zipfile import BadZipFile

from scroll.errors import InputError

P = ParamSpec("P")
Result = TypeVar("Result")
OF_THE_FILE = (
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENOENT,
    errno.EINVAL,
    errno.ENXIO,
    None,
)
DAMAGE: tuple[type[Exception], ...] = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, RuntimeError, EOFError, MemoryError,
    struct.error, zlib.error, csv.Error, BadZipFile, TokenError, SyntaxError, OSError,
)  # fmt: skip


@contextmanager
def reading(path: object, expected: str, remedy: str, also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """While a file is read: `expected` says what it should be, `remedy` what to do with it where it is something else.

    `also` are errors that a library made up of its own. What the machine lacks (file handles, rights, a sound disk) is not
    laid to the file, and passes through.

    Raises:
        InputError: it is something else.
    """
    try:
        yield
    except InputError:
        raise
    except DAMAGE + also as error:
        if isinstance(error, OSError) and error.errno not in OF_THE_FILE:
            raise
        message = f"{reason(error)}{_of_another_file(error, path)}"
        raise InputError(f"{shortened(str(path))}: {message}; expected {expected}: {remedy}") from error


def _of_another_file(error: Exception, path: object) -> str:
    """The name of the file that an error is of, where that is not the one that is read but one that it speaks of."""
    name = error.filename if isinstance(error, OSError) else None
    return "" if name is None or str(name) == str(path) else f" ({shortened(str(name))})"


def reads(
    expected: str, remedy: str = "copy or write it again"
) -> Callable[[Callable[P, Result]], Callable[P, Result]]:
    """For a function whose first argument is the `path` of what it reads: `reading` around all of it."""

    def around(read: Callable[P, Result]) -> Callable[P, Result]:
        @wraps(read)
        def guarded(*arguments: P.args, **options: P.kwargs) -> Result:
            with reading(arguments[0] if arguments else options["path"], expected, remedy):
                return read(*arguments, **options)

        return guarded

    return around


def reason(error: BaseException) -> str:
    """What a library said, in one line of at most 200 characters."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    message = " ".join(str(error).split())
    return f"{type(error).__name__} {message}"[:200].strip()


def shortened(text: str) -> str:
    """At most 300 characters of it.

    >>> len(shortened("a" * 5000))
    300
    """
    return text if len(text) <= 300 else f"{text[:140]} ... {text[-155:]}"
