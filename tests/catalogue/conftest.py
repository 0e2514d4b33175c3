"""A made-up server of scrolls for the tests beside this file."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.catalogue.published import BUCKET, ListingServer, classic, write_served

LAYERS = np.random.default_rng(1).integers(1, 256, (20, 96, 96), dtype=np.uint8)
INK = np.zeros((96, 96), np.uint8)
INK[20:40, 30:70] = 255


@pytest.fixture(scope="session")
def served_once(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "served"
    write_served(folder, LAYERS, INK)
    return folder


@pytest.fixture
def served(served_once: Path, tmp_path: Path) -> Path:
    """The folder that is served; the test may change it."""
    shutil.copytree(served_once, tmp_path / "served")
    return tmp_path / "served"


@pytest.fixture
def server(served: Path, monkeypatch):
    """Serves it, as a web server and as S3 in path style; neither keys nor a proxy of the machine play a part."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with ListingServer(served) as serving:
        monkeypatch.setenv("AWS_ENDPOINT_URL", serving.address)
        (served / "scrolls.yaml").write_text(yaml.safe_dump(classic(serving.address)))
        yield serving
        serving.shutdown()


@pytest.fixture
def source() -> str:
    return f"s3://{BUCKET}/metadata.json"
