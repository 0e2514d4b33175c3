"""Writing so that nothing is ever half there: aside first, then renamed into place."""

import errno
import glob
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scroll.bounded import MOST_JSON_BYTES, read_text
from scroll.damage import reading, reason, shortened
from scroll.errors import InputError, MissingInputError

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


def read_json(path: Path, hint: str = "") -> Any:
    """Read JSON.

    Raises:
        MissingInputError: no such file; `hint` says how to make it.
        InputError: the file is not JSON.
    """
    with reading(path, "JSON", "delete it and run the step that made it"):
        try:
            return json.loads(read_text(path, MOST_JSON_BYTES))
        except FileNotFoundError:
            raise MissingInputError(f"{path}: not there; {hint}" if hint else f"{path}: not there") from None
        except ValueError as error:
            raise InputError(
                f"{path}: not readable as JSON ({reason(error)}); delete it and run the step that made it"
            ) from None


def read_mapping(path: Path, hint: str = "", **fields: type) -> dict[str, Any]:
    """Read JSON that is a mapping and holds these fields of these types, such as `key=str`.

    Raises:
        MissingInputError: no such file; `hint` says how to make it.
        InputError: it is something else.
    """
    content = read_json(path, hint)
    if not isinstance(content, dict):
        raise InputError(
            f"{path}: holds a {type(content).__name__}; expected a mapping: delete it and run the step that made it"
        )
    for name, kind in fields.items():
        if not isinstance(content.get(name), kind):
            found = f"'{name}' is {shortened(repr(content[name]))}" if name in content else f"'{name}' is missing"
            raise InputError(f"{path}: {found}; expected a {kind.__name__}: delete it and run the step that made it")
    return content
