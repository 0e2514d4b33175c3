"""One level of a volume, wherever it is, with its decoded chunks kept in memory and what was fetched kept on disk."""

from functools import lru_cache

from scroll.errors import InputError
from scroll.volumes import ome_zarr, open_volume
from scroll.volumes.chunk_cache import cached
from scroll.volumes.disk_cache import DiskCache
from scroll.volumes.url import Url, path_or_url
from scroll.volumes.volume import Volume


@lru_cache(maxsize=64)
def open_level(
    source: str, level: int, cache_mb: int, expected_um: float | None = None, on_disk: DiskCache | None = None
) -> Volume:
    """One level of the volume at a path or URL, its decoded chunks kept in memory up to `cache_mb`.

    `expected_um` decides where two of its metadata contradict each other about the size of a voxel of level 0. What is
    fetched over a network is kept `on_disk` too.

    Raises:
        MissingInputError: nothing there, or no such level.
        InputError: not a volume, or level above 0 of what has no levels.
    """
    limit = cache_mb * 2**20
    place = path_or_url(source)
    if isinstance(place, Url):
        from scroll.volumes.remote import RemoteSettings

        remote = RemoteSettings(cache_bytes=limit, disk=on_disk)
        return ome_zarr.open(place, level=level, remote=remote, expected_um=expected_um)
    if place.exists() and ome_zarr.recognises(place):
        return cached(ome_zarr.open(place, level=level, expected_um=expected_um), limit)
    if level > 0 and place.exists():
        raise InputError(f"{place}: no zarr, so it has no level {level}; ask for level 0, or convert it to OME-Zarr")
    return cached(open_volume(place), limit)
