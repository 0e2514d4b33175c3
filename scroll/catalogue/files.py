"""Files of a published folder, on this machine or over the network: read, listed where that is possible, and copied whole."""

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from scroll.errors import InputError
from scroll.runtime.bounded import plain_file
from scroll.volumes.url import Url, path_or_url

if TYPE_CHECKING:
    from scroll.volumes.remote import RemoteSettings

MOST_PAGE_BYTES = 2**24  # of a web server's list of a folder
PIECE_BYTES = 2**22
BEGIN_BYTES = 32  # that tell a file from a web page
LINK = re.compile(rb"""href\s*=\s*["']([^"'?#]+)["']""", re.IGNORECASE)


class Folder(Protocol):
    """A folder somewhere; names are relative, with "/" between folders."""

    def read(self, name: str, most_bytes: int) -> bytes | None:
        """The content of a file; None where there is none.

        Raises:
            InputError: it is longer, or the server fails.
        """

    def copy(self, name: str, to: Path) -> bool:
        """Write a file's content to `to`; false where there is no such file.

        Raises:
            InputError: the server fails.
        """

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""

    def names(self) -> list[str] | None:
        """The names of files and folders right in it; None where that cannot be asked."""

    def files_below(self, name: str) -> list[str] | None:
        """The names, from the folder `name` on, of all files below it; None where that cannot be asked."""


@dataclass(frozen=True)
class LocalFolder:
    """A folder on this machine."""

    path: Path

    def read(self, name: str, most_bytes: int) -> bytes | None:
        """The content of a file; None where there is none."""
        try:
            with plain_file(self.path / name).open("rb") as file:
                content = file.read(most_bytes + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return _checked(content, f"{self.path / name}", most_bytes)

    def copy(self, name: str, to: Path) -> bool:
        """Write a file's content to `to`."""
        try:
            with plain_file(self.path / name).open("rb") as file, to.open("wb") as copy:
                while piece := file.read(PIECE_BYTES):
                    copy.write(piece)
        except (FileNotFoundError, NotADirectoryError):
            if (self.path / name).is_file():  # it is `to` that cannot be written
                raise
            return False
        return True

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return (self.path / name).is_file()

    def names(self) -> list[str]:
        """The names of files and folders right in it."""
        return sorted(path.name for path in self.path.iterdir()) if self.path.is_dir() else []

    def files_below(self, name: str) -> list[str]:
        """The names of all files below a folder."""
        root = self.path / name
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@dataclass(frozen=True)
class RemoteFolder:
    """What is below an address; each request is made again as `scroll.volumes.remote` says."""

    url: Url
    settings: "RemoteSettings"

    @property
    def _client(self) -> Any:
        from scroll.volumes.remote import check_process

        check_process(self.url)
        return _connection(self.url, self.settings, os.environ.get("AWS_ENDPOINT_URL"))

    def read(self, name: str, most_bytes: int) -> bytes | None:
        """The content of a file, unpacked where the server packed it for the way; None where there is none."""
        from scroll.volumes.http_answers import body_of

        for answer in self._answers(name):
            if answer is None:
                return None
            _checked_size(answer.meta["size"], str(self.url / name), most_bytes)
            with _Attempt(self.url / name) as attempt:
                body = bytes(answer.bytes())
            if attempt.is_whole:
                content = body_of(self.url / name, body, answer.attributes, False, most_bytes)
                return _checked(content, str(self.url / name), most_bytes)
        raise InputError(f"{self.url / name}: the answer broke off again and again; come back later")

    def copy(self, name: str, to: Path) -> bool:
        """Write a file's content to `to`, piece by piece; a body that breaks off is asked for again from its beginning."""
        from scroll.volumes.http_answers import body_of

        for answer in self._answers(name):
            if answer is None:
                return False
            is_packed = any(str(key).lower() == "content-encoding" for key in answer.attributes)
            with to.open("wb") as file, _Attempt(self.url / name) as attempt:
                if is_packed:
                    file.write(body_of(self.url / name, bytes(answer.bytes()), answer.attributes, False))
                else:
                    for number, piece in enumerate(answer.stream(PIECE_BYTES)):
                        content = bytes(piece)
                        if number == 0:  # a web page in the place of the file is known by how it begins
                            body_of(self.url / name, content, answer.attributes, False)
                        file.write(content)
            if attempt.is_whole and (is_packed or to.stat().st_size == answer.meta["size"]):
                return True
        raise InputError(f"{self.url / name}: the answer broke off again and again; come back later")

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        client = self._client
        import obstore
        from obstore.exceptions import BaseError

        from scroll.volumes.http_answers import PAGES
        from scroll.volumes.remote import complaint

        try:
            answer = obstore.get(client, name, options={"range": (0, BEGIN_BYTES)})
        except FileNotFoundError:
            return False
        except BaseError as error:
            if "RangeNotSupported" in str(error):
                return True
            if "code: 403" in str(error):  # some servers say so of what is not there
                return False
            raise InputError(complaint(self.url / name, error)) from None
        with _Attempt(self.url / name) as attempt:
            begin = bytes(answer.bytes())
        return not attempt.is_whole or not begin.lstrip().lower().startswith(
            PAGES
        )  # some servers answer with a page where nothing is

    def names(self) -> list[str] | None:
        """What S3 lists, or the links of a web server's page of the folder; None where neither is given."""
        if self.url.startswith("s3://"):
            listed = self._listed(None, is_deep=False)
            return None if listed is None else sorted(name.rstrip("/") for name in listed)
        try:
            for answer in self._answers(""):
                if answer is None or answer.meta["size"] > MOST_PAGE_BYTES:
                    return None
                with _Attempt(self.url) as attempt:
                    page = bytes(answer.bytes())
                if attempt.is_whole:
                    return _linked(page)
        except InputError:  # a server that shows no folders says so with any of several refusals
            return None
        return None

    def files_below(self, name: str) -> list[str] | None:
        """What S3 lists; a web server says nothing of what is deep."""
        if not self.url.startswith("s3://"):
            return None
        listed = self._listed(name, is_deep=True)
        return None if listed is None else sorted(path.removeprefix(f"{name}/") for path in listed)

    def _listed(self, prefix: str | None, is_deep: bool) -> list[str] | None:
        """None where the bucket may not be listed."""
        client = self._client
        import obstore
        from obstore.exceptions import BaseError

        from scroll.volumes.remote import complaint

        try:
            if is_deep:
                return [str(one["path"]) for found in obstore.list(client, prefix=prefix) for one in found]
            found = obstore.list_with_delimiter(client, prefix=prefix)
            return [*map(str, found["common_prefixes"]), *(str(one["path"]) for one in found["objects"])]
        except (BaseError, FileNotFoundError) as error:
            if "code: 403" in str(error) or "code: 404" in str(error) or isinstance(error, FileNotFoundError):
                return None
            raise InputError(complaint(self.url, error, "a list of what is stored")) from None

    def _answers(self, name: str) -> Iterator[Any]:
        """Answers that begin, one after the other as long as the caller asks; None where there is nothing of that name."""
        client = self._client  # says what to do where obstore is not installed
        import obstore
        from obstore.exceptions import BaseError

        from scroll.volumes.remote import complaint

        for retry in range(self.settings.retries + 1):
            if retry:
                time.sleep(min(self.settings.first_wait_s * 2**retry, self.settings.longest_wait_s))
            try:
                yield obstore.get(client, name)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise InputError(complaint(self.url / name, error)) from None
                yield None
            except BaseError as error:
                raise InputError(complaint(self.url / name, error)) from None


class _Attempt:
    """Whether a body arrived whole: what the network breaks off is no error here, but `is_whole` stays false."""

    def __init__(self, url: Url) -> None:
        self.url, self.is_whole = url, False

    def __enter__(self) -> "_Attempt":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        from obstore.exceptions import BaseError

        self.is_whole = error is None
        return isinstance(error, BaseError)


@lru_cache(maxsize=64)
def _connection(url: Url, settings: "RemoteSettings", endpoint: str | None) -> Any:
    """`endpoint` is what the connection reads from the environment: another server is another connection."""
    from scroll.volumes.remote import connection

    return connection(url, settings)


def folder_at(where: str | Path, settings: "RemoteSettings | None" = None) -> LocalFolder | RemoteFolder:
    """The folder that a path or an address names; nothing is sent yet.

    Raises:
        InputError: no sound address.
    """
    place = path_or_url(where)
    if isinstance(place, Path):
        return LocalFolder(place)
    from scroll.volumes.remote import RemoteSettings

    return RemoteFolder(place, settings or RemoteSettings())


def parent_and_name(where: str | Path) -> tuple[str, str]:
    """The folder that a path or an address is in, and its last part.

    >>> parent_and_name("https://host/a/b.zarr/"), parent_and_name("a/b.zarr")
    (('https://host/a', 'b.zarr'), ('a', 'b.zarr'))
    """
    place = path_or_url(where)
    if isinstance(place, Path):
        return str(place.parent), place.name
    parent, _, name = str(place).rpartition("/")
    return parent, name


def _linked(page: bytes) -> list[str] | None:
    """The names that a page links to right below itself; None of what is no page."""
    if b"<" not in page[:1024]:
        return None
    found = {unquote(link.decode("utf-8", "replace")).removeprefix("./").rstrip("/") for link in LINK.findall(page)}
    return sorted(name for name in found if name and "/" not in name and name != "..")


def _checked(content: bytes, where: str, most_bytes: int) -> bytes:
    _checked_size(len(content), where, most_bytes)
    return content


def _checked_size(size: int, where: str, most_bytes: int) -> None:
    if size > most_bytes:
        raise InputError(
            f"{where}: is longer than {most_bytes} bytes, more than such a file can be; check that it is the right one"
        )
