"""The folder of a zarr on this machine: a file that lost its content, or is not what a manifest says, is damage and no chunk of zeros."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from zarr.storage import LocalStore

from scroll.errors import InputError, UnreadableError
from scroll.runtime import manifest
from scroll.runtime.bounded import plain_file
from scroll.volumes.chunk_files import METADATA, check_absent, check_metadata_size


class LocalFiles(LocalStore):  # type: ignore[misc, unused-ignore]
    """As zarr's own, which writes files aside and renames them; but zarr takes an empty shard for one that is not there.

    Empty files are what a machine leaves that loses its power, or a copy onto a full disk. Where the zarr has a manifest
    (`scroll.runtime.manifest`), whole files are checked against it as they are read.
    """

    @cached_property
    def _noted(self) -> Mapping[str, manifest.FileSum] | None:
        return manifest.noted(self.root)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """The bytes under `key`, or the part of them asked for; None where there is no file.

        Raises:
            InputError: metadata of more bytes than any have.
            UnreadableError: the file is empty, no plain file, not there while half a download of it or a dead link is, or not what
                the manifest says.
        """
        try:
            plain_file(self.root / key)  # zarr takes a folder for emptiness, and waits for a pipe
        except InputError as error:
            raise UnreadableError(str(error)) from None
        if key.endswith(METADATA) and (self.root / key).is_file():
            check_metadata_size(self.root / key, key, (self.root / key).stat().st_size)
        content = await super().get(key, prototype, byte_range)
        if content is None:
            check_absent(self.root, key)
        if content is not None and len(content) == 0:
            raise UnreadableError(f"{self.root / key}: empty; expected a stored chunk or shard: copy or write it again")
        if self._noted is not None and byte_range is None:
            manifest.check(self.root, key, None if content is None else content.as_numpy_array(), self._noted)
        return content


class NotedFiles(LocalFiles):
    """One that is being written: every file is noted for the manifest that `manifest.seal` makes; nothing is checked yet."""

    _noted = None

    async def set(self, key: str, value: Any) -> None:
        """Store a file, and note it."""
        await super().set(key, value)
        manifest.note(self.root, key, manifest.sum_of(value.to_bytes()))

    async def delete(self, key: str) -> None:
        """Remove a file, and note that."""
        await super().delete(key)
        manifest.note(self.root, key, None)
