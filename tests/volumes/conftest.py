"""A server of zarrs for the tests of remote volumes."""

import os

import pytest
import zarr
from remote_scans import KINDS, SHAPE, VOXELS, name_of
from web_server import WebServer

from scroll.volumes import ome_zarr


@pytest.fixture(scope="session")
def bucket(tmp_path_factory):
    """A folder of zarrs with two levels each, and a plain one."""
    folder = tmp_path_factory.mktemp("served") / "scans"
    for kind, options in KINDS.items():
        ome_zarr.create_ome_zarr(folder / name_of(kind), SHAPE, "u1", voxel_um=None, **options)[...] = VOXELS
        ome_zarr.write_pyramid(folder / name_of(kind), levels=2)
    zarr.create_array(folder / "plain-7.91um", data=VOXELS, zarr_format=2, chunks=(8, 8, 8), fill_value=0)
    return folder


@pytest.fixture
def server(bucket, monkeypatch):
    """Serves the folder above the zarrs; neither keys nor a proxy of the machine play a part."""
    for name in os.environ:
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with WebServer(bucket.parent) as serving:
        monkeypatch.setenv("AWS_ENDPOINT_URL", serving.address)
        yield serving
        serving.shutdown()


@pytest.fixture
def own_server(server, tmp_path):
    """The same over a folder that the test may change."""
    server.folder = tmp_path
    return server
