"""By what a volume is known: its metadata and some of its chunks, for nobody reads terabytes to see whether they changed."""

import math
from pathlib import Path

import numpy as np

from scroll.runtime.content import content_of
from scroll.runtime.reading import reads
from scroll.runtime.receipt import Key, file_hash, fingerprint, key_of
from scroll.volumes import ome_zarr
from scroll.volumes.url import Url, path_or_url

SAMPLED_CHUNKS = 64  # of a volume, that its key knows
METADATA = (".zattrs", ".zgroup", ".zarray", "0/.zarray", "zarr.json", "0/zarr.json", "meta.json", "metadata.json")


def placed_key(source: str) -> Key:
    """Hash of a volume's place and metadata: its voxels, which may be terabytes, may be mended under them."""
    place = path_or_url(source)
    if isinstance(place, Url):
        from scroll.volumes.remote import state

        return key_of([source, state(place)])
    if not ome_zarr.recognises(place):
        return key_of([source, fingerprint(place)])  # a file, or a folder of layers
    return key_of([source, _metadata_of(place)])


def volume_key(source: str) -> Key:
    """Hash of a volume: of an address and the metadata there; on this machine, of its name, metadata and some of its chunks.

    Where it is on this machine does not matter. Chunks between those looked at are taken not to change. Receipts of before
    have its `placed_key`.
    """
    place, before = path_or_url(source), placed_key(source)
    if isinstance(place, Url):
        return before
    if not ome_zarr.recognises(place):
        return Key(fingerprint(place), before.before)
    return Key(key_of([place.name, _metadata_of(place), _some_chunks(place)]), before)


def _metadata_of(place: Path) -> dict[str, str]:
    return {name: file_hash(place / name) for name in METADATA if (place / name).is_file()}


@reads("a zarr with whole metadata")
def _some_chunks(place: Path) -> dict[str, str]:
    """What some chunk files of the finest level hold, evenly from its first to its last; those not stored are left out."""
    array = ome_zarr.open_array(place)
    edges = array.shards or array.chunks
    counts = [-(-length // edge) for length, edge in zip(array.shape, edges, strict=True)]
    total = math.prod(counts)
    picked = sorted({(total - 1) * n // (SAMPLED_CHUNKS - 1) for n in range(SAMPLED_CHUNKS)})
    names = [array.metadata.encode_chunk_key(tuple(map(int, np.unravel_index(n, counts)))) for n in picked]
    files = {name: place / array.path / name for name in names}
    return {name: content_of(file) for name, file in files.items() if file.is_file()}
