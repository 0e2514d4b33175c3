"""OME-Zarr: what others wrote is read with its traps, what is written here others can read."""

import json

import numpy as np
import pytest
import zarr

from scroll.errors import InputError, MissingInputError
from scroll.volumes import ome_zarr, open_volume
from scroll.volumes.binning import block_mean

RNG = np.random.default_rng(0)


def v2_by_hand(path, voxels, chunk, separator):
    """Zarr v2 straight from its specification, raw chunks, no zarr library; `separator` None leaves the key out."""
    path.mkdir(parents=True)
    about = {
        "zarr_format": 2, "shape": voxels.shape, "chunks": chunk, "dtype": voxels.dtype.str, "compressor": None,
        "fill_value": 7, "order": "C", "filters": None,
    }  # fmt: skip
    if separator:
        about["dimension_separator"] = separator
    (path / ".zarray").write_text(json.dumps(about))
    for place in np.ndindex(*(-(-n // c) for n, c in zip(voxels.shape, chunk, strict=True))):
        box = np.full(chunk, 7, voxels.dtype)
        part = voxels[tuple(slice(p * c, p * c + c) for p, c in zip(place, chunk, strict=True))]
        box[tuple(map(slice, part.shape))] = part
        file = path / (separator or ".").join(map(str, place))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(box.tobytes())


@pytest.mark.parametrize("separator", ["/", ".", None])
def test_both_chunk_separators_are_read_and_an_absent_one_is_a_dot(tmp_path, separator):
    voxels = RNG.integers(0, 65536, (5, 6, 7), dtype=np.uint16)
    v2_by_hand(tmp_path / "s_8um.zarr", voxels, (2, 3, 4), separator)
    np.testing.assert_array_equal(open_volume(tmp_path / "s_8um.zarr")[...], voxels)


def test_a_missing_chunk_reads_as_the_fill_value(tmp_path):
    voxels = RNG.integers(8, 255, (4, 6, 8), dtype=np.uint8)
    v2_by_hand(tmp_path / "s_8um.zarr", voxels, (2, 3, 4), "/")
    (tmp_path / "s_8um.zarr/1/0/1").unlink()
    voxels[2:4, 0:3, 4:8] = 7
    np.testing.assert_array_equal(open_volume(tmp_path / "s_8um.zarr")[...], voxels)


@pytest.mark.parametrize("options", [{}, {"version": "0.5"}, {"version": "0.5", "shards": (8, 8, 8)}])
def test_a_huge_empty_volume_costs_nothing_and_reads_as_fill(tmp_path, options):
    chunks = (4, 4, 4) if "shards" in options else (128, 128, 128)
    array = ome_zarr.create_ome_zarr(tmp_path / "s.zarr", (14376, 7888, 8096), "u1", chunks, 7.91, **options)
    array[8:16, 0:8, 0:8] = 0  # what equals the fill value is not stored
    assert {file.name for file in tmp_path.rglob("*") if file.is_file()} <= {
        ".zgroup",
        ".zattrs",
        ".zarray",
        "zarr.json",
    }
    assert not open_volume(tmp_path / "s.zarr")[-40:, 5000:5020, -3:].any()


def test_version_0_4_lies_on_disk_as_villa_programs_expect(tmp_path):
    array = ome_zarr.create_ome_zarr(tmp_path / "s.zarr", (20, 30, 40), "u1", (8, 8, 8), 7.91)
    array[...] = 5
    about = json.loads((tmp_path / "s.zarr/0/.zarray").read_text())
    assert (about["zarr_format"], about["dimension_separator"]) == (2, "/")
    assert (about["compressor"]["id"], about["compressor"]["cname"]) == ("blosc", "zstd")
    assert json.loads((tmp_path / "s.zarr/.zgroup").read_text()) == {"zarr_format": 2}
    assert (tmp_path / "s.zarr/0/2/3/4").is_file()
    (entry,) = json.loads((tmp_path / "s.zarr/.zattrs").read_text())["multiscales"]
    assert entry["version"] == "0.4"
    assert entry["axes"] == [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    assert entry["datasets"] == [
        {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [7.91, 7.91, 7.91]}]}
    ]


def test_version_0_5_shards_many_chunks_into_few_files(tmp_path):
    options = {"version": "0.5", "shards": (16, 16, 16)}
    array = ome_zarr.create_ome_zarr(tmp_path / "s.zarr", (32, 16, 16), "u1", (4, 4, 4), 7.91, **options)
    array[...] = RNG.integers(1, 255, (32, 16, 16), dtype=np.uint8)
    about = json.loads((tmp_path / "s.zarr/zarr.json").read_text())
    assert about["zarr_format"] == 3
    assert about["attributes"]["ome"]["version"] == "0.5"
    assert "version" not in about["attributes"]["ome"]["multiscales"][0]
    assert sorted(file.name for file in (tmp_path / "s.zarr/0/c").rglob("*") if file.is_file()) == ["0", "0"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(("axes", "shape"), [("cyx", (3, 20, 30)), ("czyx", (2, 5, 20, 30)), ("yx", (20, 30))])
def test_other_axes_are_written_in_pieces_and_read_back_with_float16(tmp_path, version, axes, shape):
    values = RNG.random(shape).astype(np.float16)
    path = tmp_path / "flat.zarr"
    array = ome_zarr.create_ome_zarr(path, shape, np.float16, [8] * len(shape), 7.91, axes, version, fill_value=-1)
    array[..., :12, :] = values[..., :12, :]
    assert (array[..., 12:, :] == -1).all()
    ome_zarr.open_array(path, mode="r+")[..., 12:, :] = values[..., 12:, :]
    np.testing.assert_array_equal(ome_zarr.open_array(path)[...], values)
    attributes = zarr.open_group(path, mode="r").attrs.asdict()
    entry = (attributes if version == "0.4" else attributes["ome"])["multiscales"][0]
    assert [axis["name"] for axis in entry["axes"]] == [*axes]
    scale = entry["datasets"][0]["coordinateTransformations"][0]["scale"]
    assert scale == [1.0 if axis == "c" else 7.91 for axis in axes]


@pytest.mark.parametrize("options", [{}, {"version": "0.5"}, {"version": "0.5", "shards": (4, 8, 8)}])
def test_each_level_of_a_pyramid_is_the_mean_of_the_one_below(tmp_path, options):
    voxels = RNG.integers(0, 256, (9, 21, 30), dtype=np.uint8)
    path = tmp_path / "s.zarr"
    ome_zarr.create_ome_zarr(path, voxels.shape, "u1", (4, 8, 8), 2.4, **options)[...] = voxels
    ome_zarr.write_pyramid(path, levels=4)
    for level in range(4):
        volume = ome_zarr.open(path, level=level)
        assert volume.voxel_um == pytest.approx(2.4 * 2**level)
        np.testing.assert_array_equal(volume[...], voxels)
        voxels = block_mean(voxels, (2, 2, 2))
    with pytest.raises(MissingInputError, match="expected level 4"):
        ome_zarr.open(path, level=4)


def test_a_pyramid_of_channels_leaves_the_channels_alone(tmp_path):
    values = RNG.random((3, 10, 12)).astype(np.float32)
    ome_zarr.create_ome_zarr(tmp_path / "f.zarr", values.shape, "f4", (1, 8, 8), 8.0, "cyx")[...] = values
    ome_zarr.write_pyramid(tmp_path / "f.zarr", levels=2)
    expected = values.reshape(3, 5, 2, 6, 2).mean((2, 4))
    np.testing.assert_allclose(ome_zarr.open_array(tmp_path / "f.zarr", level=1)[...], expected, rtol=1e-6)


def test_a_centre_of_a_coarse_voxel_lies_amid_the_fine_voxels_it_covers(tmp_path):
    ome_zarr.create_ome_zarr(tmp_path / "s.zarr", (8, 8, 8), "u1", (4, 4, 4), 2.0)
    ome_zarr.write_pyramid(tmp_path / "s.zarr", levels=3)
    entry = zarr.open_group(tmp_path / "s.zarr", mode="r").attrs["multiscales"][0]
    scale, shift = (list(move.values())[1] for move in entry["datasets"][2]["coordinateTransformations"])
    fine_centres = [2.0 * index for index in range(4)]  # level 0, axis z: covered by voxel 0 of level 2
    assert scale[0] * 0 + shift[0] == np.mean(fine_centres)


def test_axes_in_another_order_are_refused_not_read_turned(tmp_path):
    axes = [{"name": name, "type": "space"} for name in "xyz"]
    entry = {"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}
    group = zarr.create_group(tmp_path / "s.zarr", zarr_format=2, attributes={"multiscales": [entry]})
    group.create_array("0", shape=(2, 3, 4), dtype="u1")
    with pytest.raises(InputError, match="axes are x, y, z; expected z, y, x"):
        open_volume(tmp_path / "s.zarr")


def test_a_zarr_with_another_number_of_axes_is_refused(tmp_path):
    zarr.create_array(tmp_path / "s_8um.zarr", shape=(1, 2, 3, 4), dtype="u1")
    with pytest.raises(InputError, match=r"\(1, 2, 3, 4\); expected a full \(Z, Y, X\)"):
        open_volume(tmp_path / "s_8um.zarr")


@pytest.mark.parametrize("broken", [".zgroup", ".zattrs", "0/.zarray"])
def test_broken_metadata_is_one_line_that_names_the_path(tmp_path, broken):
    ome_zarr.create_ome_zarr(tmp_path / "s.zarr", (2, 3, 4), "u1", (2, 2, 2), 1.0)
    (tmp_path / "s.zarr" / broken).write_text('{"zarr_f')
    with pytest.raises(InputError, match=r"s\.zarr.*unreadable as zarr") as error:
        open_volume(tmp_path / "s.zarr")
    assert "\n" not in str(error.value)


def test_a_level_or_folder_that_is_not_there_is_missing_input(tmp_path):
    ome_zarr.create_ome_zarr(tmp_path / "s.zarr", (2, 3, 4), "u1", (2, 2, 2), 1.0)
    (tmp_path / "s.zarr/0/.zarray").unlink()
    with pytest.raises(MissingInputError, match=r"arrays in it: none; expected level 0"):
        open_volume(tmp_path / "s.zarr")
    with pytest.raises(MissingInputError, match=r"t\.zarr: not there"):
        ome_zarr.open_array(tmp_path / "t.zarr")


def test_a_folder_that_only_calls_itself_zarr_is_refused(tmp_path):
    (tmp_path / "s.zarr").mkdir()
    with pytest.raises(InputError, match=r"no \.zgroup, \.zarray or zarr\.json"):
        open_volume(tmp_path / "s.zarr")


def test_nothing_is_ever_overwritten(tmp_path):
    for attempt in ("makes it", "refuses"):
        if attempt == "makes it":
            ome_zarr.create_ome_zarr(tmp_path / "s.zarr", (2, 3, 4), "u1", (2, 2, 2), 1.0)[...] = 9
        else:
            with pytest.raises(InputError, match="is there already"):
                ome_zarr.create_ome_zarr(tmp_path / "s.zarr", (2, 3, 4), "u1", (2, 2, 2), 1.0)
    assert (open_volume(tmp_path / "s.zarr")[...] == 9).all()


@pytest.mark.parametrize(
    "wrong", [{"axes": "xyz"}, {"axes": "yx"}, {"axes": "nyx"}, {"shards": (4, 4, 4)}, {"axes": "zyy"}]
)
def test_axes_and_shards_that_do_not_fit_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match=r"axes|shards"):
        ome_zarr.create_ome_zarr(tmp_path / "s.zarr", (4, 4, 4), "u1", (2, 2, 2), 1.0, **wrong)
    assert not (tmp_path / "s.zarr").exists()
