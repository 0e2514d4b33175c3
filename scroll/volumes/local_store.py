"""The folder of a zarr on this machine, where a file that lost its content is damage and no chunk of zeros."""

from typing import Any

from zarr.storage import LocalStore

from scroll.errors import UnreadableError
from scroll.volumes.chunk_files import check_unfinished


class LocalFiles(LocalStore):  # type: ignore[misc, unused-ignore]
    """As zarr's own, which writes files aside and renames them; but zarr takes an empty shard for one that is not there.

    Empty files are what a machine leaves that loses its power, or a copy onto a full disk.
    """

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """The bytes under `key`, or the part of them asked for; None where there is no file.

        Raises:
            UnreadableError: the file is empty, or is not there while half a download of it is.
        """
        content = await super().get(key, prototype, byte_range)
        if content is None:
            check_unfinished(self.root, key)
        if content is not None and len(content) == 0:
            raise UnreadableError(f"{self.root / key}: empty; expected a stored chunk or shard: copy or write it again")
        return content
