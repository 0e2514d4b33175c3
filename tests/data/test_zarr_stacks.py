"""A stack of layers is the same whatever carries it: TIFF, or a zarr in the folder, beside it, or on a server; pooled or not."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scroll_fragments import data_settings, small_fragment

from scroll.data.fragments import Fragment, find_fragments, fragments_at
from scroll.errors import InputError, MissingInputError
from scroll.volumes import ome_zarr
from scroll.volumes.opened_level import open_level
from tests.volumes.web_server import WebServer

SHAPE = (13, 61, 50)
WAYS = ["in the folder, v2", "in the folder, v3", "its own name", "sharded", "beside", "http", "s3"]
BOX = (0, 4, 5, (5, 8, 9))


@pytest.fixture
def server(tmp_path, monkeypatch):
    for name in os.environ:
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    folder = tmp_path / "served"
    (folder / "bucket").mkdir(parents=True)
    open_level.cache_clear()
    with WebServer(folder) as serving:
        monkeypatch.setenv("AWS_ENDPOINT_URL", serving.address)
        yield serving
        serving.shutdown()


def write_zarr(path: Path, voxels: np.ndarray, levels: int = 1, **options) -> Path:
    ome_zarr.create_ome_zarr(path, voxels.shape, voxels.dtype, (8, 16, 16), None, **options)[...] = voxels
    ome_zarr.write_pyramid(path, levels)
    return path


def as_zarr(plain: Fragment, way: str, server: WebServer) -> Fragment:
    """The same fragment, mask and label, with its layers in a zarr."""
    folder, voxels = plain.folder.parent / f"zarr-of-{plain.id}", plain._finest[...]
    folder.mkdir()
    for name in ("mask.png", "inklabels.png"):
        (folder / name).write_bytes((plain.folder / name).read_bytes())
    options = {"version": "0.5"} if way in ("in the folder, v3", "sharded") else {}
    if way == "sharded":
        options |= {"shards": (16, 32, 32)}
    inside = {"in the folder, v2": "surface-volume.zarr", "in the folder, v3": "surface_volume.zarr"}
    inside |= {"its own name": f"{folder.name}.zarr", "sharded": "surface-volume.zarr"}
    where = folder / inside[way] if way in inside else server.folder / "bucket" / "w016.zarr"
    write_zarr(where, voxels, **options)
    message = {
        "beside": os.path.relpath(where, folder),
        "http": f"{server.address}/bucket/w016.zarr/",
        "s3": "s3://bucket/w016.zarr",
    }
    if way in message:
        (folder / "surface_volume_source.txt").write_text(message[way] + "\n")
    return replace(plain, id=folder.name, folder=folder)


@pytest.mark.parametrize(
    "changes", [{}, {"bin_yx": 2}, {"pool": 2}, {"pool": 2, "is_flipped": True}, {"is_flipped": True}]
)
@pytest.mark.parametrize("way", WAYS)
def test_layers_in_a_zarr_are_those_in_tiff(tmp_path, server, way, changes):
    is_flipped = changes.pop("is_flipped", False) if (changes := dict(changes)) else False
    plain = replace(small_fragment(tmp_path, shape=SHAPE, **changes), is_flipped=is_flipped)
    other = as_zarr(plain, way, server)
    for fragment in (other, pickle.loads(pickle.dumps(other))):
        assert fragment.shape_yx == plain.shape_yx and fragment.layers == plain.layers
        assert fragment.pixel_um == plain.pixel_um == 8.0 * changes.get("pool", 1)
        assert fragment.grey_scale == plain.grey_scale
        np.testing.assert_array_equal(fragment.ct[...], plain.ct[...])
        np.testing.assert_array_equal(fragment.patch(*BOX), plain.patch(*BOX))
        np.testing.assert_array_equal(fragment.label.target, plain.label.target)
        np.testing.assert_array_equal(fragment.mask, plain.mask)
        np.testing.assert_array_equal(fragment.picture(), plain.picture())


def test_pooled_labels_are_the_blocks_of_the_canvas(tmp_path):
    plain, pooled = small_fragment(tmp_path, shape=SHAPE), None
    pooled = Fragment(plain.id, plain.folder, data_settings(tmp_path, pool=4, depth=(-1, 2)))
    assert pooled.shape_yx == pooled.full_mask.shape == pooled.full_label.target.shape == (16, 13)
    blocks = plain.full_label.target[:60, :48].reshape(15, 4, 12, 4).mean(axis=(1, 3)) >= 0.5
    np.testing.assert_array_equal(pooled.full_label.target[:15, :12], blocks)


def test_no_layer_of_a_server_is_copied_whole(tmp_path, server):
    other = as_zarr(small_fragment(tmp_path, shape=SHAPE), "http", server)
    other.ct[:, :8, :8]
    asked = {path for path in server.chunks_asked() if "/0/" in path}
    assert 0 < len(asked) < 4 * 4 * 2
    assert not list((tmp_path / "cache").glob("*.npy"))


def test_what_was_fetched_once_is_not_fetched_by_the_next_run(tmp_path, server):
    other = as_zarr(small_fragment(tmp_path, shape=SHAPE), "http", server)
    whole = other.ct[...]
    assert set(server.chunks_asked().values()) == {1}
    before = server.chunks_asked()
    open_level.cache_clear()
    again = Fragment(other.id, other.folder, other.data)
    np.testing.assert_array_equal(again.ct[...], whole)
    assert server.chunks_asked() == before


def test_nothing_is_kept_where_that_is_set(tmp_path, server):
    other = as_zarr(small_fragment(tmp_path, shape=SHAPE, cache_gb=0), "http", server)
    other.patch(*BOX)
    assert not (tmp_path / "cache" / "chunks").exists()


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_pooled_stack_comes_from_the_level_that_is_asked_for(tmp_path, level):
    voxels = np.random.default_rng(0).integers(0, 255, (40, 64, 48), dtype=np.uint8)
    path = write_zarr(tmp_path / "1" / "1.zarr", voxels, levels=4)
    array = ome_zarr.open(path, 8.0, level=level)[...]
    n = 4 // 2**level
    first = (array.shape[0] - array.shape[0] // n // 2 * 2 * n + n) // 2 if array.shape[0] // n % 2 == 0 else 0
    layers = array.shape[0] // n - (array.shape[0] // n % 2 == 0)
    blocks = array[first : first + layers * n].reshape(layers, n, 16, n, 12, n).astype(np.float32).mean(axis=(1, 3, 5))
    data = data_settings(tmp_path, pool=4, depth=(-1, 2), pool_from=level)
    np.testing.assert_array_equal(Fragment("1", tmp_path / "1", data).stored[...], np.rint(blocks))
    coarsest = Fragment("1", tmp_path / "1", data_settings(tmp_path, pool=4, depth=(-1, 2)))
    np.testing.assert_array_equal(
        coarsest.stored[...], Fragment("1", tmp_path / "1", data.model_copy(update={"pool_from": 2})).stored[...]
    )


def test_the_places_that_hold_a_stack_are_found(tmp_path, server):
    other = as_zarr(small_fragment(tmp_path, shape=SHAPE), "http", server)
    data = other.data
    assert [f.id for f in find_fragments(tmp_path / "train", data)] == ["1", "zarr-of-1"]
    assert [f.id for f in fragments_at(other.folder, data)] == ["zarr-of-1"]
    assert [f.id for f in fragments_at(tmp_path / "train", data)] == ["1", "zarr-of-1"]
    (bare,) = fragments_at(server.folder / "bucket" / "w016.zarr", data)
    (far,) = fragments_at(Path(f"{server.address}/bucket/w016.zarr"), data)
    for fragment in (bare, far):
        assert fragment.id == "w016"
        np.testing.assert_array_equal(fragment.ct[...], other.ct[...])
        assert fragment.mask.all()


def test_the_direction_belongs_to_the_array_and_is_said_beside_it(tmp_path, server):
    plain = small_fragment(tmp_path, shape=SHAPE)
    other = as_zarr(plain, "beside", server)
    before = str(other.key)
    message = other.folder / "surface_volume_source.txt"
    message.write_text(f"{message.read_text().strip()}\nreversed\n")
    fragment = Fragment(other.id, other.folder, other.data)
    np.testing.assert_array_equal(fragment.volume[...], plain.volume[::-1])
    np.testing.assert_array_equal(fragment.ct[...], plain.volume[::-1][slice(*plain.layers)])
    assert fragment.key != before
    message.write_text(f"{message.read_text()}upwards\n")
    with pytest.raises(
        InputError, match=r"says 'reversed, upwards' after the address; expected nothing more, or the line 'reversed'"
    ):
        _ = Fragment(other.id, other.folder, other.data).ct


def test_another_zarr_or_another_pool_is_another_key(tmp_path, server):
    other = as_zarr(small_fragment(tmp_path, shape=SHAPE), "beside", server)
    keys = [
        str(Fragment(other.id, other.folder, data_settings(tmp_path, **how)).key)
        for how in ({}, {"pool": 2}, {"pool": 2, "pool_from": 0})
    ]
    ome_zarr.open_array(server.folder / "bucket" / "w016.zarr", mode="r+")[0, 0, 0] = 7
    keys.append(str(Fragment(other.id, other.folder, other.data).key))
    assert len(set(keys)) == 4


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "surface-volume.zarr").mkdir(), r"its layers are .*w016.zarr.*expected one stack"),
        (lambda f: (f / "layers").mkdir(), r"its layers are .* and .*layers; expected one stack"),
        (lambda f: (f / "surface_volume_source.txt").write_text(" \n"), r"surface_volume_source.txt: empty; write the path or URL"),
        (lambda f: (f / "surface_volume_source.txt").write_text("a\tb"), r"surface_volume_source.txt.*signs that no path has"),
        (lambda f: (f / "surface_volume_source.txt").write_text("../nowhere.zarr"), r"nowhere.zarr: not there"),
        (lambda f: (f / "surface_volume_source.txt").write_text("https://"), r"https://: no address"),
        (lambda f: (f / "surface_volume_source.txt").write_text("ftp://a/b.zarr"), r"ftp://a/b.zarr: not an address that is read"),
    ],
)  # fmt: skip
def test_a_stack_that_is_not_one_is_one_line(tmp_path, server, spoil, message):
    other = as_zarr(small_fragment(tmp_path, shape=SHAPE), "beside", server)
    spoil(other.folder)
    with pytest.raises((InputError, MissingInputError), match=message) as error:
        _ = Fragment(other.id, other.folder, other.data).ct
    assert "\n" not in str(error.value)


def test_a_server_that_fails_at_a_coarse_level_is_no_shorter_pyramid(tmp_path, server):
    """Else the same settings would pool another level, and nobody would know."""
    plain = small_fragment(tmp_path, shape=(20, 64, 64), pool=2, cache_gb=0)
    voxels = plain._finest[...]
    write_zarr(server.folder / "bucket" / "w016.zarr", voxels, levels=3)
    (plain.folder.parent / "2").mkdir()
    (plain.folder.parent / "2" / "surface_volume_source.txt").write_text(f"{server.address}/bucket/w016.zarr")
    server.failures["/bucket/w016.zarr/1/.zarray"] = [403] * 99
    with pytest.raises(InputError, match="403"):
        _ = Fragment("2", plain.folder.parent / "2", plain.data).stored


def test_a_level_that_is_named_by_its_path_is_a_stack_of_its_own(tmp_path, server):
    voxels = np.random.default_rng(0).integers(0, 255, (40, 64, 48), dtype=np.uint8)
    path = write_zarr(tmp_path / "all.zarr", voxels, levels=3)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "surface_volume_source.txt").write_text("../all.zarr/1")
    level = ome_zarr.open(path, 8.0, level=1)[...]  # 20 layers of 32 x 24
    found = Fragment("1", tmp_path / "1", data_settings(tmp_path, pool=4, depth=(-1, 2), voxel_um=16.0))
    assert found.stored.shape == (5, 8, 6) and found.pixel_um == 64.0
    blocks = level.reshape(5, 4, 8, 4, 6, 4).astype(np.float32).mean(axis=(1, 3, 5))
    np.testing.assert_array_equal(found.stored[...], np.rint(blocks))


def test_a_mask_of_pooled_pixels_lies_on_the_canvas_of_the_layers(tmp_path):
    pooled = small_fragment(tmp_path, shape=SHAPE, pool=4, depth=(-1, 2))
    mask = np.zeros((16, 13), bool)
    mask[15, 12] = mask[2, 3] = True
    expected = np.zeros(SHAPE[1:], bool)
    expected[60:, 48:] = expected[8:12, 12:16] = True
    np.testing.assert_array_equal(pooled.on_canvas(mask), expected)


def test_what_a_pooled_label_was_read_from_is_known(tmp_path):
    pooled = small_fragment(tmp_path, shape=SHAPE, pool=4, depth=(-1, 2))
    assert [path.name for path in pooled.full_labels.files] == ["inklabels.png"]
    assert pooled.full_labels.files == pooled.full_labels.binned(2).files
