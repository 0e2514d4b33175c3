"""What viewers are told is what is on disk: every voxel, at the right place, in a type that they read."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import tifffile
import zarr

from scroll.errors import InputError, MissingInputError
from scroll.inference.prediction_store import RowWriter
from scroll.runtime.receipt import write_receipt
from scroll.viewing.layers import ViewedLayer, look_at, look_at_all
from scroll.viewing.napari_layers import napari_layers
from scroll.viewing.neuroglancer import link, state
from scroll.viewing.server import CHUNK, READABLE, VolumeServer, array_metadata, attributes
from scroll.volumes.ome_zarr import create_ome_zarr, write_pyramid
from scroll.volumes.sharded.format import OutputFormat
from scroll.volumes.sharded.output import create_output

VOXEL_UM = 7.91
STACK_LAYERS, DEPTH, BIN = 20, (-6, 2), 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ct.zarr with two levels, cube.tif with label.tif, and a run's prob.zarr and ink.zarr of a stack of 20 layers."""
    root = tmp_path_factory.mktemp("viewing")
    rng = np.random.default_rng(0)
    ct = create_ome_zarr(root / "ct.zarr", (70, 130, 100), "uint16", (32, 32, 32), VOXEL_UM)
    ct[:] = rng.integers(0, 60_000, ct.shape)
    write_pyramid(root / "ct.zarr", 2)
    tifffile.imwrite(root / "cube.tif", rng.integers(0, 255, (9, 70, 65), dtype=np.uint8))
    tifffile.imwrite(root / "label.tif", rng.integers(0, 3, (9, 70, 65), dtype=np.uint8))
    for layer in range(STACK_LAYERS):
        (root / "stack").mkdir(exist_ok=True)
        tifffile.imwrite(root / "stack" / f"{layer:02d}.tif", rng.integers(0, 60_000, (80, 120), dtype=np.uint16))
    for name, shape, axes in (("prob.zarr", (8, 20, 30), "zyx"), ("ink.zarr", (1, 20, 30), "cyx")):
        member = root / "predict" / "a" / name.removesuffix(".zarr")
        writer = RowWriter(member / name, "key", shape, VOXEL_UM, axes, bin_yx=BIN)
        writer.write(0, rng.random(shape))
        writer.finish()
        depth = {"depth": DEPTH} if axes == "zyx" else {}
        write_receipt(member, "key", source=str(root / "stack"), is_flipped=False, shift_layers=1, **depth)
    return root


@contextmanager
def serving(shown: list[ViewedLayer]) -> Iterator[VolumeServer]:
    server = VolumeServer(shown)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(server: VolumeServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, f"/{server.token}{path}", headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.headers), body


def everything(folder: Path) -> list[ViewedLayer]:
    names = ["ct.zarr", "cube.tif", "predict/a/prob/prob.zarr", "predict/a/ink/ink.zarr"]
    return look_at_all([folder / name for name in names], [folder / "label.tif"])


def served(server: VolumeServer, number: int, level: int) -> np.ndarray:
    """A level put together from its chunks, as a viewer does by the metadata that it was sent."""
    about = json.loads(ask(server, f"/{number}/{level}/.zarray")[2])
    assert about["compressor"] is None and about["dimension_separator"] == "/" and about["order"] == "C"
    grid = [-(-length // chunk) for length, chunk in zip(about["shape"], about["chunks"], strict=True)]
    whole = np.zeros([count * chunk for count, chunk in zip(grid, about["chunks"], strict=True)], about["dtype"])
    for place in np.ndindex(*grid):
        status, _, body = ask(server, f"/{number}/{level}/" + "/".join(map(str, place)))
        assert status == 200
        box = tuple(slice(at * chunk, (at + 1) * chunk) for at, chunk in zip(place, about["chunks"], strict=True))
        whole[box] = np.frombuffer(body, about["dtype"]).reshape(about["chunks"])
    return whole[tuple(slice(0, length) for length in about["shape"])]


def test_every_voxel_of_every_level_arrives_as_it_is_on_disk(folder):
    shown = everything(folder)
    with serving(shown) as server:
        for number, one in enumerate(shown):
            for level, volume in enumerate(one.levels):
                assert (served(server, number, level) == volume[...]).all(), one.name
            assert np.dtype(json.loads(ask(server, f"/{number}/0/.zarray")[2])["dtype"]).name in READABLE


def test_a_zarr_library_reads_what_is_served(folder, tmp_path):
    (one, *_) = everything(folder)
    with serving([one]) as server:
        for path in (".zgroup", ".zattrs", *(f"{level}/.zarray" for level in (0, 1))):
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_bytes(ask(server, f"/0/{path}")[2])
    group = zarr.open_group(tmp_path, mode="r")
    assert [group[str(level)].shape for level in (0, 1)] == [volume.shape for volume in one.levels]
    assert group.attrs["multiscales"][0]["version"] == "0.4"


def test_half_precision_is_served_as_the_same_numbers_in_float32(folder):
    (one,) = look_at_all([folder / "predict/a/prob/prob.zarr"], [])
    assert one.levels[0].dtype == np.float16 and one.kind == "probability"
    assert array_metadata(one, 0)["dtype"] == "<f4"


def test_ranges_are_answered_as_the_standard_says(folder):
    with serving(everything(folder)) as server:
        whole = ask(server, "/0/0/0/0/0")[2]
        assert len(whole) == CHUNK**3 * 2
        for asked, first, end in (
            ("bytes=0-9", 0, 10),
            ("bytes=100-", 100, len(whole)),
            ("bytes=-7", len(whole) - 7, len(whole)),
        ):
            status, headers, body = ask(server, "/0/0/0/0/0", Range=asked)
            assert (status, body) == (206, whole[first:end])
            assert headers["Content-Range"] == f"bytes {first}-{end - 1}/{len(whole)}"
        status, headers, _ = ask(server, "/0/0/0/0/0", Range=f"bytes={len(whole)}-")
        assert (status, headers["Content-Range"]) == (416, f"bytes */{len(whole)}")
        status, headers, body = ask(server, "/0/.zattrs", "HEAD")
        assert (status, body) == (200, b"") and int(headers["Content-Length"]) > 0


def test_nothing_but_the_volumes_can_be_reached(folder):
    with serving(everything(folder)) as server:
        places = ("/", "/9/.zattrs", "/0/9/.zarray", "/0/0/9/0/0", "/0/../ct.zarr", "/ct.zarr/.zattrs", "/0/0/0/0")
        for path in (
            *places,
            "/" + "9" * 5000 + "/.zattrs",
            "/0/0/0/0/" + "9" * 5000,
        ):
            assert ask(server, path)[0] == 404, path


def test_the_link_holds_the_state_and_the_state_names_arrays_that_are_there(folder):
    shown = everything(folder)
    with serving(shown) as server:
        address = link(state(shown, server.address))
        page, fragment = urlsplit(address)[:3], urlsplit(address).fragment
        assert page == ("https", "neuroglancer-demo.appspot.com", "/") and fragment.startswith("!")
        content = json.loads(unquote(fragment[1:]))
        assert content == state(shown, server.address)
        assert [layer["type"] for layer in content["layers"]] == ["image"] * 4 + ["segmentation"]
        for layer, one in zip(content["layers"], shown, strict=True):
            place = layer["source"].removeprefix("zarr://")
            assert place.startswith(server.address)
            entry = json.loads(ask(server, place.removeprefix(server.address) + ".zattrs")[2])["multiscales"][0]
            assert [axis["unit"] for axis in entry["axes"]] == ["micrometer"] * 3 and len(entry["datasets"]) == len(
                one.levels
            )
        assert content["dimensions"] == {axis: [pytest.approx(VOXEL_UM * 1e-6), "m"] for axis in "xyz"}
        assert content["position"] == [50, 65, 35]
        assert "normalized" in content["layers"][2]["shader"] and "shaderControls" in content["layers"][0]


def corners_um(one: ViewedLayer) -> list[list[float]]:
    """Where each level begins: its translation is of a voxel's centre, half a step further in."""
    entry = attributes(one)["multiscales"][0]["datasets"]
    moves = [level["coordinateTransformations"] for level in entry]
    return [[at - step / 2 for at, step in zip(m[1]["translation"], m[0]["scale"], strict=True)] for m in moves]


def test_levels_and_bins_begin_at_the_same_corner_and_are_as_wide_as_the_whole(folder):
    ct = look_at(folder / "ct.zarr")
    assert corners_um(ct) == [[0, 0, 0], [0, 0, 0]]
    assert ct.steps_um == [(VOXEL_UM,) * 3, (2 * VOXEL_UM,) * 3]
    prob = look_at(folder / "predict/a/prob/prob.zarr")
    assert prob.steps_um == [(VOXEL_UM, BIN * VOXEL_UM, BIN * VOXEL_UM)]
    assert prob.steps_um[0][1] * prob.levels[0].shape[1] == pytest.approx(80 * VOXEL_UM)  # as the stack


def test_a_cut_out_of_a_scroll_lies_where_its_receipt_says_and_is_a_probability(folder, tmp_path):
    written = create_ome_zarr(tmp_path / "prob.zarr", (8, 9, 10), "float16", (8, 8, 8), VOXEL_UM)
    written[:] = np.nan  # nobody predicted there
    write_receipt(tmp_path, "key", source=[str(folder / "a"), str(folder / "b")], origin_zyx=[10, 20, 30])
    (one,) = look_at_all([tmp_path / "prob.zarr"], [])
    assert one.kind == "probability" and corners_um(one)[0] == pytest.approx(
        [10 * VOXEL_UM, 20 * VOXEL_UM, 30 * VOXEL_UM]
    )
    (layer,) = napari_layers([one])
    assert layer.options["translate"] == pytest.approx([(at + 0.5) * VOXEL_UM for at in (10, 20, 30)])
    assert state([one], "http://127.0.0.1:1")["position"] == pytest.approx([35, 24.5, 14])
    with serving([one]) as server:
        assert not served(server, 0, 0).any()


def test_whole_scroll_probabilities_are_no_ct(tmp_path):
    how = OutputFormat((8, 8, 8), 8, 8, VOXEL_UM)
    create_output(tmp_path / "out.zarr", how, "key")
    (one,) = look_at_all([tmp_path / "out.zarr"], [])
    assert (one.kind, one.grey_range()) == ("probability", (0.0, 255.0))
    layer = state([one], "http://127.0.0.1:1")["layers"][0]
    assert layer["shaderControls"]["normalized"]["range"] == [0.0, 255.0] and "color" in layer["shader"]


@pytest.mark.parametrize("content", [{"source": 5}, {"source": []}, [], {"source": None, "depth": "x"}])
def test_a_receipt_that_names_no_stack_moves_nothing(tmp_path, content):
    create_ome_zarr(tmp_path / "prob.zarr", (8, 8, 8), "float16", (8, 8, 8), VOXEL_UM)
    (tmp_path / "receipt.json").write_text(json.dumps(content))
    assert look_at(tmp_path / "prob.zarr").first_um == (0, 0, 0)


@pytest.mark.parametrize("origin", [5, [1, 2], ["a", 1, 2], None])
def test_a_receipt_with_another_kind_of_origin_is_named(tmp_path, origin):
    create_ome_zarr(tmp_path / "prob.zarr", (8, 8, 8), "float16", (8, 8, 8), VOXEL_UM)
    (tmp_path / "receipt.json").write_text(json.dumps({"origin_zyx": origin}))
    with pytest.raises(InputError, match=r"receipt\.json: origin_zyx is"):
        look_at(tmp_path / "prob.zarr")


def test_a_depth_window_lies_where_it_was_cut_from_the_stack(folder):
    prob, ink = look_at_all([folder / "predict/a/prob/prob.zarr", folder / "predict/a/ink/ink.zarr"], [])
    centre = STACK_LAYERS // 2 + 1  # the receipt says: shifted by one layer
    assert corners_um(prob)[0] == pytest.approx([(centre + DEPTH[0]) * VOXEL_UM, 0, 0])
    assert corners_um(ink)[0] == pytest.approx([centre * VOXEL_UM, 0, 0])
    assert prob.name == "a/prob/prob.zarr"


def test_what_tells_no_size_takes_that_of_the_others_or_what_is_given(folder):
    stack, prob = folder / "stack", folder / "predict/a/prob/prob.zarr"
    assert [one.steps_um[0][0] for one in look_at_all([stack, prob], [])] == [VOXEL_UM, VOXEL_UM]
    assert [one.steps_um[0][0] for one in look_at_all([stack, prob], [], 3.24)] == [3.24, VOXEL_UM]
    assert look_at(stack).steps_um[0] == (1, 1, 1)


def test_what_cannot_be_shown_is_said(folder, tmp_path):
    with pytest.raises(MissingInputError, match="nothing to show"):
        look_at_all([], [])
    with pytest.raises(MissingInputError, match="not there"):
        look_at(tmp_path / "none.tif")
    ct = look_at(folder / "ct.zarr")
    with pytest.raises(InputError, match="name of its own"):
        state([ct, ct], "http://127.0.0.1:1")
    with serving([ct]) as server, pytest.raises(InputError, match="--port"):
        VolumeServer([ct], server.server_port)


def test_napari_gets_ct_below_predictions_below_labels_at_the_same_scale(folder):
    layers = napari_layers(list(reversed(everything(folder))))
    assert [layer.is_labels for layer in layers] == [False] * 4 + [True]
    by_name = {layer.options["name"].split("/")[-1]: layer.options for layer in layers}
    ct, prob, label = by_name["ct.zarr"], by_name["prob.zarr"], by_name["label.tif"]
    assert ct["multiscale"] and [level.shape for level in ct["data"]] == [(70, 130, 100), (35, 65, 50)]
    assert (ct["colormap"], prob["colormap"]["name"], prob["contrast_limits"]) == ("gray", "probability", (0.0, 1.0))
    assert prob["scale"] == (VOXEL_UM, BIN * VOXEL_UM, BIN * VOXEL_UM) and label["scale"] == (VOXEL_UM,) * 3
    assert "colormap" not in label and label["opacity"] < 1


def test_a_lazy_layer_reads_as_the_array_that_it_stands_for(folder):
    layers = napari_layers(everything(folder))
    data = {layer.options["name"].split("/")[-1]: layer.options["data"] for layer in layers}
    whole = tifffile.imread(folder / "cube.tif")
    cube = data["cube.tif"]
    assert (cube.shape, cube.dtype, cube.ndim) == (whole.shape, whole.dtype, 3)
    assert (cube[3, 2:50:2, -1] == whole[3, 2:50:2, -1]).all() and (np.asarray(cube) == whole).all()
    assert data["prob.zarr"].dtype == np.float32 and data["prob.zarr"][0].dtype == np.float32


def test_napari_itself_takes_the_layers_and_shows_them_where_they_lie(folder):
    components = pytest.importorskip("napari.components", reason="napari is not installed: pip install '.[view]'")
    viewer = components.ViewerModel()
    for layer in napari_layers(everything(folder)):
        (viewer.add_labels if layer.is_labels else viewer.add_image)(**layer.options)
    world = viewer.layers["a/prob/prob.zarr"].extent.world
    first = STACK_LAYERS // 2 + 1 + DEPTH[0]
    assert world[0] == pytest.approx([(first + 0.5) * VOXEL_UM, BIN / 2 * VOXEL_UM, BIN / 2 * VOXEL_UM])


def test_a_cut_out_that_says_where_it_begins_lies_there_at_every_level(tmp_path):
    path = tmp_path / "cut.zarr"
    create_ome_zarr(path, (8, 8, 8), "u1", (8, 8, 8), VOXEL_UM, begin_um=[VOXEL_UM * at for at in (20, 0, 6)])[:] = 1
    write_pyramid(path, 2)
    for corner in corners_um(look_at(path)):
        assert corner == pytest.approx([20 * VOXEL_UM, 0, 6 * VOXEL_UM])
