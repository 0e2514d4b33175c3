"""Reading a catalogue: the open-data JSON, the classic YAML, or a file with the same keys; packed with gzip or not."""

import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scroll.catalogue.classic import read_classic
from scroll.catalogue.entries import Catalogue
from scroll.catalogue.files import folder_at, parent_and_name
from scroll.catalogue.open_data import is_open_data, read_open_data
from scroll.errors import InputError, MissingInputError
from scroll.runtime.bounded import MOST_JSON_BYTES
from scroll.volumes.url import Url, path_or_url

if TYPE_CHECKING:
    from scroll.volumes.remote import RemoteSettings

MOST_LIST_BYTES = 2**20  # of a YAML, which is read much slower than JSON
GZIP = b"\x1f\x8b"
REMEDY = "fetch it again, or give another --source"


class _TwiceError(ValueError):
    """A key that stands twice in one mapping of a JSON."""


def read_catalogue(source: str, settings: "RemoteSettings | None" = None) -> Catalogue:
    """The catalogue at a path or an address; the only request that is made is the one for it.

    Raises:
        MissingInputError: nothing there.
        InputError: damaged, too long, or no catalogue; parts that are wrong are noted in `faults` instead.
    """
    place = path_or_url(source)
    parent, name = parent_and_name(source)
    body = folder_at(parent, settings).read(name, MOST_JSON_BYTES)
    if body is None:
        raise MissingInputError(f"{source}: not there; expected a catalogue, such as metadata.json: check the spelling")
    content = _parsed(_unpacked(body, source), source)
    base = None if isinstance(place, Url) else Path(parent).resolve()
    if is_open_data(content):
        return read_open_data(content, str(place), base)
    return read_classic(content, str(place), base)


def _unpacked(body: bytes, source: str) -> str:
    if body.startswith(GZIP):
        unpack = zlib.decompressobj(31)
        try:
            body = unpack.decompress(body, MOST_JSON_BYTES)
        except zlib.error as error:
            raise InputError(f"{source}: damaged gzip ({error}); expected a catalogue: {REMEDY}") from None
        if not unpack.eof:
            fault = "is cut off" if len(body) < MOST_JSON_BYTES else f"unpacks to more than {MOST_JSON_BYTES} bytes"
            raise InputError(f"{source}: {fault}; expected a whole catalogue: {REMEDY}")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: no text in UTF-8 ({error.reason} at byte {error.start}); {REMEDY}") from None


def _parsed(body: str, source: str) -> Any:
    if body.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(body, object_pairs_hook=_without_doubles)
        except _TwiceError as error:
            raise InputError(f"{source}: {error}; expected each key once: mend it") from None
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise InputError(f"{source}: not readable as JSON ({error.msg} at {where}); {REMEDY}") from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{source}: not readable as JSON ({type(error).__name__}); {REMEDY}") from None
    if len(body) > MOST_LIST_BYTES:
        raise InputError(f"{source}: a YAML of more than {MOST_LIST_BYTES} bytes; expected a list of scrolls: {REMEDY}")
    import yaml

    from scroll.config.yaml_text import DoubleKeyError, read_yaml

    try:
        return read_yaml(body)
    except DoubleKeyError as error:
        raise InputError(f"{source}: {error}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{source}: not readable as YAML ({' '.join(str(error).split())}); {REMEDY}") from None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _TwiceError(f"key '{twice:.60}' stands twice in one mapping")
    return found
