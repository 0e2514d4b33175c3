"""Writing so that nothing is ever half there: aside first, then renamed into place."""

import errno
import glob
import json
import os
import platform
import re
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from scroll.errors import InputError, MissingInputError
from scroll.runtime.bounded import MOST_JSON_BYTES, read_text
from scroll.runtime.json_fields import AGAIN, Shape, Stored, check_fields, stored
from scroll.runtime.reading import reading, reason

T = TypeVar("T")
SEAL = "checksum"  # the line of a JSON that holds the checksum of the others
NODE = re.sub(r"\W", "-", platform.node()) or "here"  # part files of other machines on a shared disk are left alone


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` to write a file or a folder to; rename it to `path` only if the block succeeds.

    What stood at `path` before stays whole until the rename; after an error the unfinished part is removed.

    Raises:
        InputError: the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{NODE}.{os.getpid()}.part")
    _clear_up_after_the_killed(path)
    remove(aside)
    try:
        yield aside
        _replace(aside, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free_gib = shutil.disk_usage(path.parent).free / 2**30
            raise InputError(
                f"{path}: no space left to write it ({free_gib:.2f} GiB free); earlier results are untouched: "
                "free some space or point run_dir and data.cache_dir at another disk, then run the same command again"
            ) from error
        raise
    finally:
        remove(aside)


def final_name(aside: Path) -> str:
    """The name that something written aside will have; the same for the same name everywhere, whoever writes it.

    >>> final_name(Path(f"out/.scan.zarr.{NODE}.123.part")), final_name(Path("out/.flat.zarr.part")), final_name(Path("a.zarr"))
    ('scan.zarr', 'flat.zarr', 'a.zarr')
    """
    if not (aside.name.startswith(".") and aside.name.endswith(".part")):
        return aside.name
    name = aside.name.removeprefix(".").removesuffix(".part")
    return re.sub(rf"\.{re.escape(NODE)}\.\d+$", "", name)


def _clear_up_after_the_killed(path: Path) -> None:
    """Remove parts left by processes of this machine that are no more; they may be as large as the result."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.{NODE}.*.part"):
        number = part.name.split(".")[-2]
        if not number.isdecimal() or _is_running(int(number)):
            continue
        if ".old." in part.name and not path.exists():  # killed between the two renames of a folder
            part.rename(path)
        remove(part)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _replace(aside: Path, path: Path) -> None:
    if aside.is_dir() and path.is_dir():  # a folder cannot be renamed over a full one: move the old one out of the way
        old = path.with_name(f".{path.name}.{NODE}.old.{os.getpid()}.part")
        path.rename(old)
        aside.rename(path)
        remove(old)
    elif path.is_dir() and not path.is_symlink():
        raise InputError(f"{path}: is a folder, and a file is to be written there; move it away, or give another name")
    else:
        aside.replace(path)


def remove(path: Path) -> None:
    """Delete a file or a folder; no error where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file aside and rename it into place."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON, indented for a human, aside and renamed into place."""
    write_text(path, json.dumps(content, indent=2, sort_keys=False) + "\n")


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """The same with a checksum of the content in it, which `read_json` checks and takes out again."""
    write_json(path, {**content, SEAL: _checksum(json.loads(json.dumps(content)))})


def read_sealed(path: Path, hint: str = "", **fields: Shape) -> Stored:
    """What `read_mapping` reads, of a file that is written with a checksum today; says so once where it has none.

    Raises:
        MissingInputError: no such file; `hint` says how to make it.
        InputError: it is something else, or was changed since it was written.
    """
    content = read_mapping(path, hint, **fields)
    if f'"{SEAL}": "' not in path.read_text(encoding="utf-8"):
        say_unverifiable(path)
    return content


@cache
def _say(text: str) -> None:
    print(text)


def say_unverifiable(path: Path) -> None:
    """Say, once in a process, that something was made before checksums were kept."""
    if not _say.cache_info().currsize:
        _say(f"{path}: made before checksums were kept; it and others like it are read, but cannot be verified")


def kept(path: Path, step: str, read: Callable[[], T]) -> T | None:
    """What `read` makes of a file that is easily made again; None where there is none, and, with a line that says so, where it is
    damaged. `step` names what is done again.
    """
    try:
        return read() if path.exists() else None
    except InputError as error:
        print(f"{str(error).partition(';')[0]}; {step} again")
        return None


def kept_json(path: Path, step: str, **fields: Shape) -> Stored:
    """What such a JSON holds; empty also where it does not hold these fields."""
    return kept(path, step, lambda: read_mapping(path, **fields)) or Stored(path, {})


def _checksum(content: Any) -> str:
    """Of what JSON says, however it is spaced."""
    return f"{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"


def read_json(path: Path, hint: str = "") -> Any:
    """Read JSON, without its checksum where it carries one.

    Raises:
        MissingInputError: no such file; `hint` says how to make it.
        InputError: the file is not JSON, or was changed since it was written with a checksum.
    """
    with reading(path, "JSON", "delete it and run the step that made it"):
        try:
            content = json.loads(read_text(path, MOST_JSON_BYTES))
        except FileNotFoundError:
            raise MissingInputError(f"{path}: not there; {hint}" if hint else f"{path}: not there") from None
        except ValueError as error:
            raise InputError(
                f"{path}: not readable as JSON ({reason(error)}); delete it and run the step that made it"
            ) from None
        if isinstance(content, dict) and SEAL in content and content.pop(SEAL) != _checksum(content):
            cure = f"put it back as it was, or delete it and run the step that made it{hint and f' ({hint})'}"
            raise InputError(f"{path}: was changed since it was written (its checksum does not fit); {cure}")
        return content


def read_mapping(path: Path, hint: str = "", **fields: Shape) -> Stored:
    """Read JSON that is a mapping and holds these fields of these shapes (`json_fields`), such as `key=str, views={str: int}`.

    Raises:
        MissingInputError: no such file; `hint` says how to make it.
        InputError: it is something else.
    """
    content = read_json(path, hint)
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}; expected a mapping: {AGAIN}")
    check_fields(path, content, fields)
    return stored(path, content)
