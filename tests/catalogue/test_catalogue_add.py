"""Folders made of names: whole, never overwritten, taken up after a kill, with the terms accepted once."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import obstore
import pytest

from scroll.catalogue.add import Request, add
from scroll.catalogue.find import the_segment
from scroll.catalogue.labels import labels_of
from scroll.catalogue.read import read_catalogue
from scroll.catalogue.terms import check_terms
from scroll.errors import InputError, MissingInputError
from scroll.runtime.receipt import fingerprint
from scroll.surfaces import open_surface
from scroll.volumes import ome_zarr
from scroll.volumes.remote import RemoteSettings, connection
from scroll.volumes.url import Url
from tests.catalogue.conftest import INK
from tests.catalogue.published import (
    BUCKET,
    LAYERS_UM,
    OTHER,
    SEGMENT,
    VOLUME,
    flat_pyramid,
    open_data,
    write_label,
    write_zarr,
)
from tests.volumes.s3_server import BUCKET as S3_BUCKET
from tests.volumes.s3_server import KEYS, s3_server

HASTY = RemoteSettings(
    retries=2, first_wait_s=0.002, longest_wait_s=0.01, give_up_s=5, connect_timeout_s=3, silence_timeout_s=3
)
REPOSITORY = Path(__file__).resolve().parents[2]
ADDRESS = f"s3://{BUCKET}/PHerc0139/segments/{SEGMENT}/surface-volumes/{LAYERS_UM}um-volume-{VOLUME}.zarr"


@pytest.fixture
def requested(tmp_path: Path) -> Request:
    return Request(tmp_path / "data" / "train", accepts_terms=True, remote=HASTY)


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_a_name_becomes_a_folder_with_address_labels_and_record(server, source, requested):
    folder = add(read_catalogue(source), "PHerc0139/w016", requested)
    assert folder == requested.to / "PHerc0139_w016"
    assert (folder / "surface_volume_source.txt").read_text() == f"{ADDRESS}\n"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "surface_volume_source.txt", "catalogue.json", "PHerc0139_w016_inklabels_v2.zarr", "PHerc0139_w016_supervision_mask_v1.png",
        "PHerc0139_w016_validation_mask_v3.tif",
    }  # fmt: skip
    record = json.loads((folder / "catalogue.json").read_text())
    assert (record["scroll"], record["segment"], record["source"]) == ("PHerc0139", SEGMENT, source)
    assert record["voxels"]["address"] == ADDRESS and record["volume"]["voxel_um"] == LAYERS_UM
    assert set(record["files"]) == names - {"surface_volume_source.txt", "catalogue.json"}
    assert not any(path.name.startswith(".") for path in requested.to.iterdir())


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("scheme", ["s3", "http", "local"])
def test_a_label_zarr_is_copied_at_level_0_as_it_is_stored(server, served, source, requested, version, scheme):
    labels = served / BUCKET / "PHerc0139" / "segments" / SEGMENT / "labels"
    canvas = np.zeros((65, 96, 96), np.uint8)
    canvas[32] = INK
    stored = write_zarr(labels / "w016_inklabels_v7.zarr", flat_pyramid(canvas, 6), version)
    root = {"s3": f"s3://{BUCKET}/", "http": f"{server.address}/{BUCKET}/", "local": str(served / BUCKET)}[scheme]
    catalogue = served / "own.json"
    catalogue.write_text((served / BUCKET / "metadata.json").read_text().replace(f"s3://{BUCKET}/", root))
    copy = add(read_catalogue(str(catalogue)), "w016", requested) / "PHerc0139_w016_inklabels_v7.zarr"
    volume = ome_zarr.open(copy, voxel_um=1.0)
    np.testing.assert_array_equal(volume[32], INK)
    assert volume.shape == canvas.shape and not volume[31].any()
    kept = {name: body for name, body in files_in(stored).items() if name.startswith("0/")}
    copied = files_in(copy)
    assert {
        name: body for name, body in copied.items() if name.startswith("0/") and "zarr" not in name and ".z" not in name
    } == {name: body for name, body in kept.items() if "zarr" not in name and ".z" not in name}
    with pytest.raises(MissingInputError):
        ome_zarr.open(copy, level=1)


def test_the_classic_server_gives_layers_label_and_mask(server, requested):
    folder = add(read_catalogue(f"{server.address}/scrolls.yaml"), f"Scroll1/{OTHER}", requested)
    assert folder.name == f"PHercParis4_{OTHER}"
    assert {f"{folder.name}_inklabels.png", f"{folder.name}_mask.png"} <= {path.name for path in folder.iterdir()}
    message = (folder / "surface_volume_source.txt").read_text().strip()
    assert ome_zarr.open(message, level=1, remote=HASTY).shape == (10, 48, 48)


def test_a_tree_of_labels_is_searched_for_the_segment(server, requested):
    tree = f"{server.address}/ink_9um/labels/aligned-scrollprizeorg-21slices"
    catalogue = read_catalogue(f"s3://{BUCKET}/metadata.json")
    segment = catalogue.scrolls["PHerc0139"].segments[SEGMENT]
    bare = replace(segment, artifacts=tuple(one for one in segment.artifacts if one.type != "labels"))
    found = labels_of(bare, tree, settings=HASTY)
    assert [(one.kind, one.version, one.ending) for one in found] == [
        ("inklabels", None, "zarr"),
        ("supervision_mask", None, "zarr"),
    ]
    assert found[0].address == f"{tree}/pherc0139-w016/pherc0139-w016_inklabels.zarr"
    assert not labels_of(bare, None, settings=HASTY)


def test_where_a_server_lists_nothing_labels_are_asked_for_by_name(server, source, requested):
    server.lists = False
    catalogue = read_catalogue(source)
    server.requests[:] = []
    found = labels_of(the_segment(catalogue, "w016"), settings=HASTY)
    assert [(one.kind, one.version, one.ending) for one in found] == [
        ("inklabels", 2, "zarr"), ("supervision_mask", 1, "png"), ("validation_mask", 3, "tif"),
    ]  # fmt: skip
    assert len(server.requests) < 300
    assert not [one for one in labels_of(the_segment(catalogue, OTHER), settings=HASTY) if one.ending != "png"]


def test_a_real_s3_server_is_listed_and_read(served, monkeypatch, requested):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with s3_server() as (_, port):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        store = connection(Url(f"s3://{S3_BUCKET}"), HASTY)
        for path in sorted((served / BUCKET).rglob("*")):
            if path.is_file():
                obstore.put(store, path.relative_to(served / BUCKET).as_posix(), path.read_bytes())
        own = json.dumps(open_data(f"s3://{S3_BUCKET}/")).encode()
        obstore.put(store, "metadata.json", own)
        folder = add(read_catalogue(f"s3://{S3_BUCKET}/metadata.json"), "PHerc0139/w016", requested)
    volume = ome_zarr.open(folder / "PHerc0139_w016_inklabels_v2.zarr", voxel_um=1.0)
    np.testing.assert_array_equal(volume[32], INK)
    assert len(list(folder.iterdir())) == 5


def test_a_page_for_people_in_the_place_of_a_list_is_none(server, source, requested):
    catalogue = read_catalogue(f"{server.address}/scrolls.yaml")
    segment = the_segment(catalogue, OTHER)
    whole = labels_of(segment, settings=HASTY)
    server.page = b"<!doctype html><html><a href='about.html'>about</a></html>"
    assert labels_of(segment, settings=HASTY) == whole and len(whole) == 2


def test_a_version_that_is_asked_for_is_taken_and_one_that_is_not_there_is_said(server, source, requested):
    segment = the_segment(read_catalogue(source), "w016")
    assert {(one.kind, one.version) for one in labels_of(segment, version=1, settings=HASTY)} == {
        ("inklabels", 1), ("supervision_mask", 1), ("validation_mask", 3),
    }  # fmt: skip
    with pytest.raises(InputError, match="versions of its inklabels: 1, 2; expected 5"):
        labels_of(segment, version=5, settings=HASTY)
    with pytest.raises(InputError, match="versions of its supervision_mask: 1; expected 2"):
        labels_of(segment, version=2, settings=HASTY)  # without its mask a label would be known everywhere


def test_ink_that_a_network_saw_is_no_label(server, source):
    segment = the_segment(read_catalogue(source), "w016")
    bare = replace(segment, artifacts=tuple(one for one in segment.artifacts if one.type == "ink-detection"))
    assert not labels_of(bare, settings=HASTY)


def test_a_surface_comes_with_its_volume_in_voxels_of_it(server, source, requested):
    folder = add(read_catalogue(source), "PHerc0139/w016", replace(requested, is_surface=True))
    message = (folder / "volume_source.txt").read_text().strip()
    assert message.endswith(f"{VOLUME}-{LAYERS_UM}um-78keV-masked.zarr")
    assert not (folder / "surface_volume_source.txt").exists()
    surface = open_surface(folder)
    np.testing.assert_array_equal(surface.points[2, 3], [12.0, 44.0, 68.0])  # 4 times z 3, y 11, x 17
    assert surface.cell_vox == (20.0, 20.0)  # 5 voxels of what is 4 times as coarse
    with pytest.raises(InputError, match=r"holds volume_source\.txt, so it is of the other kind"):
        add(read_catalogue(source), "PHerc0139/w016", requested)


def test_a_second_call_asks_for_no_file_again_and_changes_nothing(server, source, requested):
    folder = add(read_catalogue(source), "PHerc0139/w016", requested)
    before, server.requests[:] = files_in(folder), []
    add(read_catalogue(source), "PHerc0139/w016", requested)
    assert files_in(folder) == before
    assert not [
        path for path in server.counts() if path.endswith((".png", ".tif")) or "/0/" in path.partition("inklabels")[2]
    ]
    (folder / "PHerc0139_w016_supervision_mask_v1.png").unlink()
    server.requests[:] = []
    add(read_catalogue(source), "PHerc0139/w016", requested)
    assert {name: body for name, body in files_in(folder).items() if name != "catalogue.json"} == {
        name: body for name, body in before.items() if name != "catalogue.json"
    }
    assert sum(n for path, n in server.counts().items() if path.endswith("mask_v1.png")) == 1


def test_nothing_is_overwritten(server, source, requested):
    folder = add(read_catalogue(source), "PHerc0139/w016", requested)
    label = folder / "PHerc0139_w016_supervision_mask_v1.png"
    label.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"holds 4 bytes, and \d+ were written; nothing is overwritten: move it away"):
        add(read_catalogue(source), "PHerc0139/w016", requested)
    assert label.read_bytes() == b"mine"
    label.unlink()
    (folder / "catalogue.json").write_text('{"scroll": "PHerc0139"}')
    with pytest.raises(
        InputError, match=rf"says scroll 'PHerc0139', segment None; expected PHerc0139/{SEGMENT}: nothing is over"
    ):
        add(read_catalogue(source), "PHerc0139/w016", requested)
    (folder / "catalogue.json").unlink()
    (folder / "surface_volume_source.txt").write_text("elsewhere.zarr\n")
    with pytest.raises(InputError, match=r"says elsewhere\.zarr; expected s3://.*nothing is overwritten"):
        add(read_catalogue(source), "PHerc0139/w016", requested)


@pytest.mark.parametrize("name", ["train", "train/PHerc0139_w016"])
def test_a_file_in_the_place_of_a_folder_is_said_and_stays(server, source, tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(InputError, match=rf"{name}: is a file; expected a folder"):
        add(read_catalogue(source), "PHerc0139/w016", Request(tmp_path / "train", accepts_terms=True, remote=HASTY))
    assert path.read_text() == "mine"


def test_when_it_was_fetched_makes_no_other_item_of_it(server, source, requested):
    folder = add(read_catalogue(source), "PHerc0139/w016", requested)
    before = fingerprint(folder)
    record = json.loads((folder / "catalogue.json").read_text())
    (folder / "catalogue.json").write_text(json.dumps({**record, "added": "1999-12-31"}))
    assert fingerprint(folder) == before
    (folder / "surface_volume_source.txt").write_text("elsewhere.zarr")
    assert fingerprint(folder) != before


def test_a_segment_that_is_there_under_another_name_is_not_added_twice(server, source, requested, capsys):
    folder = add(read_catalogue(source), "PHerc0139/w016", requested)
    assert add(read_catalogue(source), SEGMENT, requested) == folder
    assert f"is there as {folder}, which is kept" in capsys.readouterr().out
    assert sorted(path.name for path in requested.to.iterdir()) == ["PHerc0139_w016", "terms.json"]


def test_a_server_that_fails_leaves_no_half_folder_and_the_next_call_goes_on(server, served, source, requested):
    path = f"/{BUCKET}/PHerc0139/segments/{SEGMENT}/labels/w016_validation_mask_v3.tif"
    server.failures[path] = ["cut"] * 9
    with pytest.raises(InputError, match=r"validation_mask_v3\.tif: the answer broke off"):
        add(read_catalogue(source), "PHerc0139/w016", requested)
    assert not (requested.to / "PHerc0139_w016").exists()
    whole = server.counts()
    server.failures.clear()
    folder = add(read_catalogue(source), "PHerc0139/w016", requested)
    assert (folder / "PHerc0139_w016_validation_mask_v3.tif").read_bytes() == (served / path.lstrip("/")).read_bytes()
    again = server.counts() - whole
    chunks = {
        name
        for name in again
        if "/0/" in name and "inklabels" in name and not name.endswith((".zarray", ".json", ".zattrs"))
    }
    assert not chunks and not [name for name in again if name.endswith(".png")]


def test_a_web_page_in_the_place_of_a_label_is_refused(server, served, source, requested):
    path = served / BUCKET / "PHerc0139" / "segments" / SEGMENT / "labels" / "w016_supervision_mask_v1.png"
    path.write_text("<!DOCTYPE html><html>Log in</html>")
    with pytest.raises(InputError, match=r"supervision_mask_v1\.png: .*web page"):
        add(read_catalogue(source), "PHerc0139/w016", requested)


def test_layers_that_are_not_there_are_said_before_anything_is_fetched(server, served, source, requested):
    for path in (served / BUCKET / "PHerc0139" / "segments" / SEGMENT / "surface-volumes").rglob("zarr.json"):
        path.unlink()
    with pytest.raises(MissingInputError, match=r"surface-volumes/.*expected a zarr"):
        add(read_catalogue(source), "PHerc0139/w016", requested)
    assert not (requested.to / "PHerc0139_w016").exists()


def test_of_several_surface_volumes_that_of_the_own_volume_or_of_the_wanted_size_is_taken(server, source, requested):
    catalogue = read_catalogue(source)
    segment = catalogue.scrolls["PHerc0139"].segments[SEGMENT]
    from scroll.catalogue.choose import chosen_layers

    coarse = replace(segment.surface_volumes[0], address="s3://b/9.596um-volume-20260101000000.zarr")
    both = replace(segment, artifacts=(coarse, *segment.artifacts))
    assert chosen_layers(catalogue, both).address == ADDRESS
    assert chosen_layers(catalogue, both, 9.6) is coarse
    with pytest.raises(InputError, match=r"voxels of 9\.596, 2\.399 um; expected 7\.91"):
        chosen_layers(catalogue, both, 7.91)
    with pytest.raises(InputError, match="give --voxel-um"):
        chosen_layers(catalogue, replace(both, volume_id=None))
    with pytest.raises(MissingInputError, match=r"has no surface volume .*--surface takes its surface"):
        chosen_layers(catalogue, replace(segment, artifacts=tuple(segment.surfaces)))


def test_a_contradiction_is_said_kept_and_stops_nothing(server, served, source, requested, capsys):
    path = served / BUCKET / "metadata.json"
    path.write_text(
        path.read_text().replace(f'"original_volume_id": "{VOLUME}"', '"original_volume_id": "20990101000000"')
    )
    folder = add(read_catalogue(source), "PHerc0139/w016", requested)
    line = json.loads((folder / "catalogue.json").read_text())["contradictions"][0]
    assert "no volume is called so" in line and f"contradiction: {line}\n" in capsys.readouterr().out


def test_the_terms_are_shown_once_and_nothing_is_fetched_before_they_are_accepted(
    server, served, source, requested, capsys
):
    not_yet = replace(requested, accepts_terms=False)
    catalogue = read_catalogue(source)
    server.requests[:] = []
    with pytest.raises(InputError, match=r"terms\.json: the terms of use above are not accepted yet; .*--accept-terms"):
        add(catalogue, "PHerc0139/w016", not_yet)
    assert "https://scrollprize.org/data" in capsys.readouterr().out
    assert not server.requests and not requested.to.exists()
    add(catalogue, "PHerc0139/w016", requested)
    assert "terms of use" in capsys.readouterr().out
    add(catalogue, f"Scroll1/{OTHER}", not_yet)
    assert "terms of use" not in capsys.readouterr().out


def test_terms_that_the_catalogue_holds_are_shown_and_other_ones_are_asked_for_again(
    server, served, source, requested, capsys
):
    path = served / BUCKET / "metadata.json"
    content = json.loads(path.read_text())
    content["metadata"]["license"] = {"name": "CC BY-NC 4.0", "url": "https://creativecommons.org/licenses/by-nc/4.0"}
    volume = next(iter(content["metadata"]["samples"]["PHercParis4"]["volumes"].values()))
    volume["properties"] = {"license": "Ask EduceLab."}
    path.write_text(json.dumps(content))
    catalogue, not_yet = read_catalogue(source), replace(requested, accepts_terms=False)
    add(catalogue, "PHerc0139/w016", requested)
    assert "CC BY-NC 4.0 https://creativecommons.org" in capsys.readouterr().out
    with pytest.raises(InputError, match="not accepted yet"):
        add(catalogue, f"Scroll1/{OTHER}", not_yet)
    assert "terms of use of PHercParis4: Ask EduceLab." in capsys.readouterr().out
    (requested.to / "terms.json").write_text('{"accepted": "all"}')
    with pytest.raises(InputError, match=r"terms\.json: 'accepted' is"):
        add(catalogue, f"Scroll1/{OTHER}", not_yet)


def whole_files(folder):
    """Names of the chunks of level 0 that arrived whole, not those on their way."""
    return [
        path.relative_to(folder).as_posix()
        for path in (folder / "0").rglob("*")
        if path.is_file() and path.suffix != ".part"
    ]


def test_a_kill_in_the_middle_costs_no_file_that_was_whole(server, served, source, tmp_path):
    labels = served / BUCKET / "PHerc0139" / "segments" / SEGMENT / "labels"
    wide = np.arange(320 * 320, dtype=np.uint32).reshape(320, 320).astype(np.uint8) | 1
    write_label(labels / "w016_inklabels_v8.zarr", wide)
    arguments = ["add", "PHerc0139/w016", "--to", str(tmp_path / "train"), "--source", source, "--accept-terms"]
    command = [sys.executable, "scripts/catalogue.py", *arguments]
    server.pause_s = 0.02
    process = subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    aside = tmp_path / "train" / ".PHerc0139_w016.adding" / ".PHerc0139_w016_inklabels_v8.zarr.adding"
    until = time.monotonic() + 60
    while not (aside / "0").exists() or len(whole_files(aside)) < 20:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    whole = whole_files(aside)
    assert 20 <= len(whole) < 300 and not (tmp_path / "train" / "PHerc0139_w016").exists()
    time.sleep(10 * server.pause_s)  # what it had asked for is still counted
    server.requests[:], server.pause_s = [], 0
    assert subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True).returncode == 0
    folder = tmp_path / "train" / "PHerc0139_w016"
    np.testing.assert_array_equal(ome_zarr.open(folder / f"{folder.name}_inklabels_v8.zarr", voxel_um=1.0)[32], wide)
    prefix = f"/{BUCKET}/PHerc0139/segments/{SEGMENT}/labels/w016_inklabels_v8.zarr/"
    asked = server.counts()
    assert not [name for name in whole if asked[prefix + name]]
    assert not [path for path, n in asked.items() if n > 1 and path.startswith(f"{prefix}0/") and path[-1].isdecimal()]
    assert not [
        path
        for path in folder.rglob("*")
        if path.name.startswith(".of") or "part" in path.name or "adding" in path.name
    ]


def test_two_at_once_fetch_every_file_once(server, source, requested):
    catalogue = read_catalogue(source)
    check_terms(requested.to, catalogue, "PHerc0139", True, "")
    server.requests[:] = []
    threads = [threading.Thread(target=add, args=(catalogue, "PHerc0139/w016", requested)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fetched = {path: n for path, n in server.counts().items() if path.endswith((".png", ".tif"))}
    assert fetched and set(fetched.values()) == {1}
