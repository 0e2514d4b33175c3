"""What is written down about the size of a voxel: in JSON beside the data, or in the name."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from scroll.files import read_json
from scroll.volumes.url import Url

# "20230210143520-2.400um-0.2m-78keV.zarr", "54keV_7.91um_Scroll1A.zarr"
IN_NAME = re.compile(r"(?:^|[-_])(\d+(?:\.\d+)?)um(?=[-_.]|$)")
IN_JSON = (("meta.json", ("voxelsize",)), ("metadata.json", ("scan", "voxelsize")))


def read_beside(folder: Path | Url, name: str) -> Any:
    """The JSON `name` in `folder`, None where there is none.

    Raises:
        InputError: it is there but is not JSON.
    """
    file = Path(folder) / name
    return read_json(file) if file.is_file() else None


def recorded_voxel_um(
    folders: Iterable[Path | Url], name: str, read: Callable[[Path | Url, str], Any] = read_beside
) -> float | None:
    """Edge of a level-0 voxel in micrometres, from `meta.json` or `metadata.json` in `folders`, else from `name`.

    `read` gives a folder's JSON of a given name; None where there is none. The size is None where nothing tells it, or
    where the name tells two different sizes.

    Raises:
        InputError: one of the files is there but is not JSON.
    """
    for folder in folders:
        for file, keys in IN_JSON:
            size = length_um(_dig(read(folder, file), keys))
            if size is not None:
                return size
    sizes = {float(found) for found in IN_NAME.findall(name)}
    return length_um(sizes.pop()) if len(sizes) == 1 else None


def _dig(content: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def length_um(value: Any) -> float | None:
    """A written number as micrometres, also where it is written as text; None where it is no length."""
    try:
        size = float(value)
    except (TypeError, ValueError):
        return None
    return size if 0 < size < float("inf") else None
