"""Ink, supervision and validation masks: under every name, number and format they are kept in, read as what they say, or refused."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from scroll.config.schema import DataSettings
from scroll.data.fragments import Fragment
from scroll.data.labels import SheetLabels, labels_beside
from scroll.errors import InputError, MissingInputError
from scroll.volumes import open_volume
from scroll.volumes.label_zarr import read_label_zarr
from scroll.volumes.masks import read_ink, read_picture, say_what_is_passed_over
from tests.peak_memory import with_peak_bytes

INK = np.zeros((40, 50), bool)
INK[10:30, 5:20] = True
WHITE = np.where(INK, 255, 0).astype(np.uint8)
ALL = np.ones(INK.shape, bool)


def canvas(
    path: Path,
    layers: dict[int, np.ndarray],
    depth: int = 65,
    levels: int = 6,
    chunks: tuple[int, int, int] = (16, 16, 16),
    **how: object,
) -> Path:
    """A label as a published one: a pyramid of levels, with pictures in some layers of each."""
    group = zarr.create_group(path, zarr_format=how.pop("zarr_format", 2))
    shape = next(iter(layers.values())).shape
    datasets = []
    for level in range(levels):
        step = 2**level
        size = [-(-n // step) for n in (depth, *shape)]
        array = group.create_array(
            str(level), shape=size, dtype="uint8", chunks=[min(c, n) for c, n in zip(chunks, size, strict=True)], **how
        )
        for layer, picture in layers.items() if level == 0 else ():
            array[layer] = picture
        scale = {"type": "scale", "scale": [float(step)] * 3}
        datasets.append({"path": str(level), "coordinateTransformations": [scale]})
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    return path


def save(path: Path, pixels: np.ndarray) -> None:
    if path.suffix == ".zarr":
        canvas(path, {32: pixels})
    elif path.suffix == ".png":
        Image.fromarray(pixels).save(path)
    else:
        tifffile.imwrite(path, pixels)


def labels_of(folder: Path, papyrus: np.ndarray = ALL, **data: object) -> SheetLabels:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        say_what_is_passed_over([folder], "w016")
        return labels_beside(folder, "w016", papyrus, DataSettings.model_validate(data))


@pytest.mark.parametrize("ending", [".png", ".tif", ".zarr"])
@pytest.mark.parametrize("number", ["", "_v2"])
@pytest.mark.parametrize("start", ["", "w016_"])
def test_each_kind_of_label_is_read_under_every_name_and_in_every_format(tmp_path, start, number, ending):
    supervised, validated = np.zeros_like(WHITE), np.zeros_like(WHITE)
    supervised[:, :25] = 255
    validated[20:, 10:40] = 255
    for name, pixels in (("inklabels", WHITE), ("supervision_mask", supervised), ("validation_mask", validated)):
        save(tmp_path / f"{start}{name}{number}{ending}", pixels)
    found = labels_of(tmp_path)
    np.testing.assert_array_equal(found.training.target, INK)
    np.testing.assert_array_equal(~found.training.ignore, (supervised > 0) & (validated == 0))
    assert found.held_out is not None
    np.testing.assert_array_equal(~found.held_out.ignore, validated > 0)
    np.testing.assert_array_equal(found.held_out.target, INK)


def test_the_greatest_number_counts_for_each_kind_by_itself_and_a_setting_asks_for_another(tmp_path):
    for name, value in (("inklabels", 0), ("w016_inklabels_v2", 255), ("inklabels_v10", 0)):
        save(tmp_path / f"{name}.png", np.full_like(WHITE, value))
    for name, value in (("supervision_mask_v1", 255), ("supervision_mask", 0)):
        save(tmp_path / f"{name}.png", np.full_like(WHITE, value))
    newest = labels_of(tmp_path).training
    assert not newest.target.any() and not newest.ignore.any()
    assert labels_of(tmp_path, label_versions={"inklabels": 2}).training.target.all()
    assert labels_of(tmp_path, label_versions={"supervision_mask": 0}).training.ignore.all()
    with pytest.raises(MissingInputError, match=r"inklabels: .* version 3, there is version 0, version 2, version 10"):
        labels_of(tmp_path, label_versions={"inklabels": 3})
    with pytest.raises(MissingInputError, match=r"validation_mask: .* version 1, there is none"):
        labels_of(tmp_path, label_versions={"validation_mask": 1})


def test_two_formats_of_one_version_must_agree_and_an_older_one_need_not(tmp_path):
    save(tmp_path / "inklabels.png", 255 - WHITE)
    save(tmp_path / "inklabels_v1.png", WHITE)
    save(tmp_path / "w016_inklabels_v1.zarr", WHITE)
    np.testing.assert_array_equal(labels_of(tmp_path).training.target, INK)
    save(tmp_path / "inklabels_v1.tif", 255 - WHITE)
    with pytest.raises(InputError, match=r"w016_inklabels_v1\.zarr and .*/inklabels_v1\.tif differ"):
        labels_of(tmp_path)


def test_labels_among_the_layers_are_no_layers(tmp_path):
    for layer in range(3):
        tifffile.imwrite(tmp_path / f"{layer:02d}.tif", WHITE)
    for name in ("w016_validation_mask_v2", "supervision_mask", "inklabels_v12", "w016_mask"):
        tifffile.imwrite(tmp_path / f"{name}.tif", WHITE)
    assert open_volume(tmp_path).shape == (3, *INK.shape)
    tifffile.imwrite(tmp_path / "mask_v2.tif", WHITE)  # of papyrus there are no versions
    with pytest.raises(InputError, match=r"mask_v2\.tif: not a layer"):
        open_volume(tmp_path)


@pytest.mark.parametrize("how", [{}, {"zarr_format": 3}, {"zarr_format": 3, "shards": (32, 32, 32)}])
@pytest.mark.parametrize("layer", [0, 32, 64])
def test_the_layer_that_holds_the_label_is_found_wherever_it_is(tmp_path, layer, how):
    levels = 1 if "shards" in how else 6
    path = canvas(tmp_path / "a.zarr", {layer: WHITE}, levels=levels, **how)
    np.testing.assert_array_equal(read_label_zarr(path), WHITE)


def test_a_flat_zarr_one_layer_an_empty_canvas_and_layers_that_agree_are_read(tmp_path):
    flat = zarr.create_array(tmp_path / "flat.zarr", shape=INK.shape, chunks=(16, 16), dtype="bool")
    flat[:] = INK
    np.testing.assert_array_equal(read_label_zarr(tmp_path / "flat.zarr"), WHITE)
    np.testing.assert_array_equal(read_label_zarr(canvas(tmp_path / "one.zarr", {0: WHITE}, depth=1)), WHITE)
    assert not read_label_zarr(canvas(tmp_path / "empty.zarr", {32: 0 * WHITE})).any()
    np.testing.assert_array_equal(read_label_zarr(canvas(tmp_path / "twice.zarr", {3: WHITE, 60: WHITE})), WHITE)


def test_layers_that_differ_are_named(tmp_path):
    with pytest.raises(InputError, match=r"a\.zarr: layers 3, 40 hold labels that differ"):
        read_label_zarr(canvas(tmp_path / "a.zarr", {40: WHITE, 3: 255 - WHITE}))


def test_a_zarr_that_is_no_label_is_one_line(tmp_path):
    for name, how in (("float", {"dtype": "float32"}), ("full", {"dtype": "uint8", "fill_value": 255})):
        zarr.create_array(tmp_path / f"{name}.zarr", shape=(3, 4, 5), chunks=(3, 4, 5), **how)[1] = 1
    zarr.create_array(tmp_path / "axes.zarr", shape=(2, 3, 4, 5), chunks=(2, 3, 4, 5), dtype="uint8")
    for name, text in (("float", "float32 of shape"), ("full", "reads as 255"), ("axes", r"\(2, 3, 4, 5\)")):
        with pytest.raises(InputError, match=text) as refusal:
            read_label_zarr(tmp_path / f"{name}.zarr")
        assert "\n" not in str(refusal.value)
    path = canvas(tmp_path / "half.zarr", {32: WHITE})
    chunk = next(file for file in (path / "0").rglob("*") if file.is_file() and not file.name.startswith("."))
    chunk.rename(chunk.with_name(chunk.name + ".partial"))
    with pytest.raises(InputError, match=r"half\.zarr: holds .*\.partial, which is no chunk"):
        read_label_zarr(path)


@pytest.mark.parametrize("how", [{}, {"zarr_format": 3}, {"zarr_format": 3, "shards": (32, 32, 32)}])
def test_a_damaged_chunk_is_one_line_that_names_the_zarr(tmp_path, how):
    path = canvas(tmp_path / "a.zarr", {32: WHITE}, levels=1, **how)
    chunks = [file for file in (path / "0").rglob("*") if file.is_file() and not file.name.startswith((".", "zarr"))]
    for keep in (0, 3, 20):
        content = max(chunks, key=lambda file: file.stat().st_size).read_bytes()
        for file in chunks:
            file.write_bytes(content[:keep])
        with pytest.raises(InputError, match=r"a\.zarr") as refusal:
            read_label_zarr(path)
        assert "\n" not in str(refusal.value)
        for file in chunks:
            file.write_bytes(content)


def test_a_canvas_takes_the_memory_of_its_picture_and_not_of_its_layers(tmp_path):
    size, spot = (2048, 2048), np.zeros((2048, 2048), np.uint8)
    spot[1000:1040, 1500:1600] = 255
    path = canvas(tmp_path / "large.zarr", {32: spot}, levels=1, chunks=(65, 64, 64))
    picture, peak = with_peak_bytes(lambda: read_label_zarr(path))
    assert picture.shape == size and np.array_equal(picture, spot)
    assert peak < 3 * picture.nbytes  # 65 layers are 65 times as much


@pytest.mark.parametrize("ending", [".png", ".tif", ".zarr"])
def test_a_canvas_a_pixel_off_is_trimmed_or_filled_up_with_unknown_and_said(tmp_path, ending):
    path = tmp_path / f"a_inklabels{ending}"
    save(path, WHITE)
    with pytest.warns(UserWarning, match=r"\(40, 50\) \(y, x\) for a canvas of \(39, 51\); trimmed and filled up"):
        found = read_picture([path], (39, 51), greys="refuse")
    np.testing.assert_array_equal(found.values[:, :50], INK[:39])
    assert found.known[:, :50].all() and not found.known[:, 50].any()
    for shape in ((38, 50), (42, 50), (40, 48), (40, 52)):
        with pytest.raises(
            InputError, match=re.escape(f"a_inklabels{ending}: is (40, 50) (y, x) but the layers are {shape}")
        ):
            read_picture([path], shape, greys="refuse")


def test_a_rim_that_a_validation_mask_is_too_small_for_is_neither_trained_on_nor_held_out(tmp_path):
    save(tmp_path / "inklabels.png", WHITE)
    save(tmp_path / "validation_mask.png", np.zeros_like(WHITE)[:-1])
    with pytest.warns(UserWarning, match="filled up with unknown"):
        found = labels_beside(tmp_path, "w016", ALL, DataSettings())
    assert found.held_out is not None and found.held_out.ignore.all()
    assert found.training.ignore[-1].all() and not found.training.ignore[:-1].any()


GREYS = np.array([[0, 1, 127, 128, 254, 255]], np.uint8)


@pytest.mark.parametrize("kind", ["8 bits", "16 bits"])
def test_greys_are_refused_or_cut_where_it_is_said_or_kept_as_shares(tmp_path, kind):
    path = tmp_path / "inklabels.tif"
    tifffile.imwrite(path, GREYS if kind == "8 bits" else GREYS.astype(np.uint16) * 257)
    with pytest.raises(InputError, match=r"holds values .*data\.grey_labels to a number .* or to soft"):
        read_ink(path, None, 0, "refuse")
    assert read_ink(path, None, 0, 128).tolist() == [[False, False, False, True, True, True]]
    assert read_ink(path, None, 0, 1).tolist() == [[False, True, True, True, True, True]]
    assert read_ink(path, None, 0, 255).tolist() == [[False] * 5 + [True]]
    soft = read_ink(path, None, 0, "soft")
    assert soft.dtype == np.float32
    np.testing.assert_allclose(soft, GREYS / 255, rtol=1e-6)


def test_a_label_of_0_and_1_is_no_grey_one_and_floats_have_no_full_scale(tmp_path):
    save(tmp_path / "a.png", np.array([[0, 1]], np.uint8))
    assert [read_ink(tmp_path / "a.png", None, 0, how).tolist() for how in ("refuse", 200, "soft")] == [
        [[False, True]],
        [[False, True]],
        [[0.0, 1.0]],
    ]
    tifffile.imwrite(tmp_path / "b.tif", np.array([[0, 0.25]], np.float32))
    with pytest.raises(InputError, match=r"holds float32, expected grey of 8 or 16 bits"):
        read_ink(tmp_path / "b.tif", None, 0, "soft")


def test_masks_are_never_grey_whatever_labels_may_be(tmp_path):
    save(tmp_path / "inklabels.png", WHITE)
    for name in ("supervision_mask", "validation_mask"):
        save(tmp_path / f"{name}.png", np.full_like(WHITE, 100))
        with pytest.raises(InputError, match=rf"{name}\.png: holds values \[100\], expected only 0 and 255"):
            labels_of(tmp_path, grey_labels="soft")
        (tmp_path / f"{name}.png").unlink()


@pytest.mark.parametrize("kind", ["zarr", "tif"])
def test_a_label_drawn_anew_at_the_same_size_is_noticed_beside_however_many_chunks(tmp_path, kind):
    """Uncompressed: every chunk and every file is as long as before, and only some of so many are looked into."""
    folder = tmp_path / "a"
    layers = folder / "surface_volume"
    layers.mkdir(parents=True)
    for layer in range(3):
        tifffile.imwrite(layers / f"{layer:02d}.tif", WHITE)
    label = zarr.create_array(
        folder / "inklabels.zarr", shape=INK.shape, chunks=(1, 1), dtype="uint8", compressors=None, zarr_format=2
    )
    label[:] = 255
    if kind == "tif":
        (folder / "inklabels.zarr").rename(folder / "chunks.zarr")
        tifffile.imwrite(folder / "a_inklabels.tif", np.full_like(WHITE, 255))
    data = DataSettings(root=tmp_path)
    before = Fragment("a", folder, data).key
    if kind == "tif":
        tifffile.imwrite(folder / "a_inklabels.tif", np.where(INK, 0, 255).astype(np.uint8))
    else:
        label[21, 17] = 1
    assert Fragment("a", folder, data).key != before


def test_the_masks_and_labels_of_a_fragment_may_be_a_pixel_off(tmp_path):
    folder = tmp_path / "a"
    (folder / "surface_volume").mkdir(parents=True)
    for layer in range(3):
        tifffile.imwrite(folder / "surface_volume" / f"{layer:02d}.tif", WHITE)
    save(folder / "mask.png", np.full((41, 50), 255, np.uint8))
    save(folder / "inklabels.zarr", WHITE[:, :-1])
    fragment = Fragment("a", folder, DataSettings(root=tmp_path))
    with pytest.warns(UserWarning) as text:
        label = fragment.full_label
    assert [("trimmed" in str(one.message), "filled up" in str(one.message)) for one in text] == [
        (True, False),
        (False, True),
    ]
    assert fragment.full_mask.all() and label.ignore[:, -1].all() and not label.ignore[:, :-1].any()
    np.testing.assert_array_equal(label.target[:, :-1], INK[:, :-1])
