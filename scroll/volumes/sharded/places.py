"""Where files of an output are put: a folder on this machine or below an s3:// address; each is there whole, or not at all."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from scroll.errors import InputError
from scroll.runtime.bounded import plain_file
from scroll.runtime.files import written_aside
from scroll.volumes.url import Url


class Place(Protocol):
    """What a writer of files needs of a place; names are relative, with "/" between folders."""

    def put(self, name: str, content: bytes) -> None:
        """Store a file; whoever reads meanwhile finds the old one or the new one."""

    def delete(self, name: str) -> None:
        """Remove a file; no error where there is none."""

    def get(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        """The names, from `folder` on, of all files below it, and their bytes."""


@dataclass(frozen=True)
class LocalPlace:
    """A folder; files are written aside, brought to the disk, and renamed."""

    folder: Path

    def put(self, name: str, content: bytes) -> None:
        """Store a file.

        Raises:
            InputError: the disk is full.
        """
        with written_aside(self.folder / name) as aside, aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # or a machine without power leaves a renamed file without content

    def delete(self, name: str) -> None:
        """Remove a file; no error where there is none."""
        (self.folder / name).unlink(missing_ok=True)

    def get(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        try:
            return plain_file(self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        """The names, from `folder` on, of all files below it, as "c/0/0/1", and their bytes."""
        root = self.folder / folder
        for path, _, files in os.walk(root):
            below = Path(path).relative_to(root)
            for name in files:
                try:
                    size = (Path(path) / name).stat().st_size
                except OSError as error:
                    if error.errno not in (
                        errno.ENOENT,
                        errno.ELOOP,
                    ):  # written aside, and renamed meanwhile; a link to itself
                        raise
                    continue
                yield (below / name).as_posix(), size


@dataclass(frozen=True)
class S3Place:
    """What is below an s3:// address; each request is made again as `scroll.volumes.remote` says, more patient with a slow line.

    Large files go up in parts and appear when the last one is there. What a killed writer had sent of one is never
    seen, but kept by the server until a lifecycle rule of the bucket aborts incomplete uploads.

    Raises:
        InputError: the address is none of S3, or obstore is not installed.
    """

    url: Url

    def __post_init__(self) -> None:
        if not self.url.startswith("s3://"):
            raise InputError(
                f"{self.url}: a web server takes no files; expected a folder or s3://bucket/folder/name.zarr"
            )

    @cached_property
    def _client(self) -> Any:
        from scroll.volumes.remote import WRITING, connection

        return connection(self.url, WRITING)

    def put(self, name: str, content: bytes) -> None:
        """Store a file.

        Raises:
            InputError: the server cannot be reached, refuses, or keeps failing.
        """
        self._send(name, content, "overwrite")

    def put_new(self, name: str, content: bytes) -> bool:
        """Store a file where there is none of this name; false where there is one, which stays as it is.

        Raises:
            InputError: the server cannot be reached, refuses, or keeps failing.
        """
        from obstore.exceptions import AlreadyExistsError

        try:
            self._send(name, content, "create")
        except AlreadyExistsError:
            return False
        return True

    def delete(self, name: str) -> None:
        """Remove a file; no error where there is none.

        Raises:
            InputError: the server cannot be reached, refuses, or keeps failing.
        """
        import obstore
        from obstore.exceptions import BaseError

        from scroll.volumes.remote import check_process, complaint

        check_process(self.url)
        try:
            obstore.delete(self._client, name)
        except FileNotFoundError:
            return
        except BaseError as error:
            raise InputError(complaint(self.url / name, error, "it to be deleted")) from None

    def get(self, name: str) -> bytes | None:
        """The content of a file; None where there is none.

        Raises:
            InputError: the server cannot be reached, refuses, or keeps failing.
        """
        import obstore
        from obstore.exceptions import BaseError

        from scroll.volumes.remote import check_process, complaint

        check_process(self.url)
        try:
            return bytes(obstore.get(self._client, name).bytes())
        except FileNotFoundError:
            return None
        except BaseError as error:
            raise InputError(complaint(self.url / name, error)) from None

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        """The names, from `folder` on, of all files below it, and their bytes; a request for each thousand.

        Raises:
            InputError: the server cannot be reached, refuses, or keeps failing.
        """
        import obstore
        from obstore.exceptions import BaseError

        from scroll.volumes.remote import check_process, complaint

        check_process(self.url)
        try:
            for found in obstore.list(self._client, prefix=folder):
                yield from ((str(one["path"]).removeprefix(f"{folder}/"), int(one["size"])) for one in found)
        except BaseError as error:
            raise InputError(complaint(self.url / folder, error, "a list of what is stored")) from None

    def _send(self, name: str, content: bytes, mode: Any) -> None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError

        from scroll.volumes.remote import check_process, complaint

        check_process(self.url)
        try:
            obstore.put(self._client, name, content, mode=mode)
        except AlreadyExistsError:
            raise
        except (BaseError, FileNotFoundError) as error:
            raise InputError(complaint(self.url / name, error, "it to be stored")) from None


def place_at(path: Path | Url) -> LocalPlace | S3Place:
    """The place that a path or an address names.

    Raises:
        InputError: an address that takes no files.
    """
    return S3Place(path) if isinstance(path, Url) else LocalPlace(path)
