"""The zarrs that the tests of remote volumes serve, and how they ask for them."""

import numpy as np

from scroll.volumes import ome_zarr
from scroll.volumes.remote import RemoteSettings

HASTY = RemoteSettings(
    retries=3, first_wait_s=0.002, longest_wait_s=0.01, give_up_s=5, connect_timeout_s=3, silence_timeout_s=3
)
SHAPE = (20, 24, 28)
VOXELS = np.random.default_rng(0).integers(1, 256, SHAPE, dtype=np.uint8)
KINDS = {
    "v04": {"chunks": (8, 8, 8)},
    "v05": {"chunks": (8, 8, 8), "version": "0.5"},
    "sharded": {"chunks": (8, 8, 8), "shards": (16, 16, 16), "version": "0.5"},
}


def name_of(kind):
    return f"{kind}-7.91um.zarr"


def at(server, kind="v04", scheme="http"):
    return f"{server.address if scheme == 'http' else 's3:/'}/scans/{name_of(kind)}"


def hasty(server, kind="v04", level=0, **settings):
    return ome_zarr.open(at(server, kind), level=level, remote=RemoteSettings(**{**vars(HASTY), **settings}))
