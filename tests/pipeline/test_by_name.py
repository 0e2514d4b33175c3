"""From names to a trained, scored run: phantom pieces served from this machine in the published shapes, no chunk fetched twice."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image
from pipeline_run import REPOSITORY, tiny_settings

from scroll.config.reader import merged
from scroll.phantom.dataset import make_fragments
from scroll.phantom.settings import fragment_settings
from tests.catalogue.published import ListingServer, data_entry, even_pyramid, flat_pyramid, write_label, write_zarr
from tests.steps import ENVIRONMENT, step

pytestmark = pytest.mark.slow

SIZE_ZYX, UM, AT_ONCE = (65, 192, 192), 7.91, 16
TRAIN, TEST = ("PHerc0139/w016", "Scroll1/20230827161847"), "PHerc0139/w017"
FOLDERS = ("PHerc0139_w016", "PHercParis4_20230827161847", "PHerc0139_w017")
COMMAND = [sys.executable, "scripts/catalogue.py"]


def write_published(served: Path, address: str) -> None:
    """Three phantom pieces as surface volumes of both formats, two of them with labels, and the catalogue that names them."""
    drawn = served.parent / "drawn"
    make_fragments(drawn, fragment_settings("easy", SIZE_ZYX, False, 90.0), 3, train=2, test=1, jobs=1)
    samples: dict[str, dict] = {}
    for name, piece in zip((*TRAIN, TEST), ("train/1", "train/2", "test/a"), strict=True):
        scroll, own = name.replace("Scroll1", "PHercParis4").split("/")
        files = sorted((drawn / piece / "surface_volume").iterdir())
        layers = (np.stack([tifffile.imread(file) for file in files]) / 256).astype(np.uint8)
        folder = f"{scroll}/segments/{own}"
        is_first = name == TRAIN[0]
        write_zarr(
            served / folder / f"{UM}um.zarr",
            (flat_pyramid if is_first else even_pyramid)(layers),
            3 if is_first else 2,
            UM,
        )
        if piece != "test/a":
            ink = np.asarray(Image.open(drawn / piece / "inklabels.png"))
            write_label(served / folder / "labels" / f"{own}_inklabels_v2.{'zarr' if is_first else 'png'}", ink)
            write_label(served / folder / "labels" / f"{own}_supervision_mask.tif", np.full_like(ink, 255))
        root = f"{address}/"
        entry = {
            "suffix": own, "original_volume_id": "20230101000000",
            "data": [data_entry("layers_zarr", f"{folder}/{UM}um.zarr", root), data_entry("labels", f"{folder}/labels", root)],
        }  # fmt: skip
        volumes = {"20230101000000": {"pixel_size_um": UM, "data": []}}
        samples.setdefault(scroll, {"volumes": volumes, "segments": {}})["segments"][
            f"2026031100000{len(samples)}-{own}"
        ] = entry
    (served / "metadata.json").write_text(json.dumps({"metadata": {"samples": samples, "terms": "Only made up."}}))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    served = tmp_path_factory.mktemp("by-name") / "served"
    served.mkdir()
    with ListingServer(served) as serving:
        write_published(served, serving.address)
        yield serving
        serving.shutdown()


def config_of(root: Path, server: ListingServer, **more: object) -> Path:
    data = {
        "train": list(TRAIN),
        "catalogue": f"{server.address}/metadata.json",
        "root": str(root / "data"),
        "voxel_um": UM,
        **more,
    }
    path = root / "by_name.yaml"
    path.write_text(yaml.safe_dump(merged(tiny_settings(root, root / "run"), {"data": data})))
    return path


def done(*arguments: object) -> str:
    ended = step(*arguments)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout + ended.stderr


def chunks_of_layers(server: ListingServer) -> Counter[str]:
    """How often each chunk of a surface volume was asked for."""
    return Counter({path: n for path, n in server.chunks_asked().items() if f"{UM}um.zarr/" in path})


def test_from_names_to_a_scored_run_without_a_chunk_fetched_twice(server, tmp_path):
    config, source = config_of(tmp_path, server), f"{server.address}/metadata.json"
    refused = step("-m", "stage1_3d.train", config)
    assert refused.returncode == 2 and "--accept-terms" in refused.stderr and "Only made up." in refused.stdout
    add = ("scripts/catalogue.py", "add", "--source", source, "--accept-terms")
    done(*add, TRAIN[0], "--to", tmp_path / "data" / "train")
    done(*add, TEST, "--to", tmp_path / "data" / "test")
    process = subprocess.Popen(
        [sys.executable, "-m", "stage1_3d.train", config], cwd=REPOSITORY, env=ENVIRONMENT, stdout=subprocess.DEVNULL
    )
    until = time.monotonic() + 120
    while sum(chunks_of_layers(server).values()) < 30:  # the second name is added and read by the training itself
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.2)  # what was asked for is still counted
    at_kill = chunks_of_layers(server)
    assert max(at_kill.values()) == 1
    done("-m", "stage1_3d.train", config)
    again = {path for path, n in chunks_of_layers(server).items() if n > 1}
    assert again <= set(at_kill) and len(again) <= AT_ONCE  # what was on its way when it was killed, and no other
    for module in ("stage2_2d.train", "ensemble.calibrate"):
        done("-m", module, config)
    truth = tmp_path / "truth" / FOLDERS[2]
    truth.mkdir(parents=True)
    (truth / "inklabels.png").write_bytes(
        (server.folder.parent / "drawn" / "heldout" / "a" / "inklabels.png").read_bytes()
    )
    output = tmp_path / "predict"
    done(
        "ensemble/predict.py",
        config,
        "--input",
        tmp_path / "data" / "test",
        "--output",
        output,
        "--truth",
        truth.parent,
    )
    assert {path for path, n in chunks_of_layers(server).items() if n > 1} == again
    score = json.loads((output / "score.json").read_text())
    assert score["rows"] and (output / FOLDERS[2] / "ensemble" / "ink_prob.tif").exists()
    assert {path.name for path in (tmp_path / "run" / "stage1" / "cnn3d" / "oof").iterdir()} == set(FOLDERS[:2])
