"""A level that is given by its own path, such as x.zarr/1: where it is and how large its voxels are, its pyramid says."""

from pathlib import Path
from typing import TYPE_CHECKING

from scroll.errors import InputError
from scroll.runtime.files import read_json
from scroll.volumes.multiscales import read_multiscales
from scroll.volumes.url import Url

if TYPE_CHECKING:
    from scroll.volumes.remote import RemoteSettings

DEEPEST = 2  # folders from an image to its arrays
SPELLINGS = (".zattrs", "zarr.json")  # of what a group says of itself, Zarr v2 and v3


def pyramid_of(path: Path | Url, remote: "RemoteSettings | None" = None) -> tuple[Path | Url, int] | None:
    """The OME-Zarr that names the array at `path` as one of its levels, and the number of that level; None where there is none.

    Raises:
        InputError: metadata on this machine that cannot be read.
    """
    names: list[str] = []
    place = path.resolve() if isinstance(path, Path) else path
    for _ in range(DEEPEST):
        above, name = _above(place)
        if above is None:
            return None
        names.insert(0, name)
        for spelling in SPELLINGS:
            content = _read(above, spelling, remote)
            attributes = content.get("attributes") if spelling == "zarr.json" else content
            image = read_multiscales(above, attributes) if isinstance(attributes, dict) else None
            levels = [] if image is None else [level.path for level in image.levels]
            if "/".join(names) in levels:
                return above, levels.index("/".join(names))
        place = above
    return None


def _above(place: Path | Url) -> tuple[Path | Url | None, str]:
    """The folder that something is in, None where nothing is above it; and its name."""
    if isinstance(place, Path):
        return (None if place.parent == place else place.parent), place.name
    folder, _, name = place.rpartition("/")
    return (None if folder.endswith(("/", ":")) or folder.count("/") < 3 else Url(folder)), name


def _read(folder: Path | Url, name: str, remote: "RemoteSettings | None") -> dict[str, object]:
    """The JSON there; empty where there is none, or a server keeps it to itself."""
    if isinstance(folder, Path):
        content = read_json(folder / name) if (folder / name).is_file() else None
    else:
        from scroll.volumes.remote import RemoteSettings, RemoteStore, json_at

        try:
            content = json_at(RemoteStore(folder, remote or RemoteSettings()), name)
        except InputError:
            content = None
    return content if isinstance(content, dict) else {}
