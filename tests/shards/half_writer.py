"""A process that writes half of the chunks of a shard; a file of its own, so that the process starts quickly."""

from itertools import product
from pathlib import Path
from typing import Any

EDGE, CHUNK = 64, 16


def write_half(path: Path, half: int, begin: Any) -> None:
    """Every second chunk of the one shard, each by itself, as a worker does whose piece of work is a chunk."""
    from scroll.volumes.ome_zarr import open_array

    array = open_array(path, mode="r+")
    begin.wait()
    for number, (z, y, x) in enumerate(product(range(0, EDGE, CHUNK), repeat=3)):
        if number % 2 == half:
            array[z : z + CHUNK, y : y + CHUNK, x : x + CHUNK] = 1 + half
