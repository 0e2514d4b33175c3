"""The record in a TIFF or PNG: pixels stay, any reader sees it, it is short, tells no secret, and comes out again."""

import io
import json
import struct
import zlib
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from skimage.io import imread

from ensemble.ink.pictures import save_probability, write_mask_png
from ensemble.surface.submission import mask_tiff_bytes, write_mask_tif
from scroll.errors import InputError, MissingInputError
from scroll.runtime.file_record import (
    MARK,
    MOST_BYTES,
    png_info,
    record_text,
    run_name,
    tiff_with_record,
    tiff_without_record,
)
from scroll.runtime.output_folder import PICTURE, check_file
from scroll.volumes import open_volume
from scroll.volumes.flat_picture import read_image
from scroll.volumes.masks import read_mask_png
from scroll.volumes.read_record import read_record

RECORD = {"what": "mask of ink", "run": "Läufe 3", "items": ["a"], "threshold": 0.25, "receipts": {"a/unet3d": "12ab"}}
SECRET = "s3cr3t"
MASK = np.random.default_rng(0).random((5, 40, 61)) > 0.6
PROB = np.random.default_rng(1).random((300, 277)).astype(np.float32)


@pytest.fixture
def written(tmp_path: Path) -> dict[str, Path]:
    """One file of each kind, with its record."""
    save_probability(PROB, tmp_path, 7.91, RECORD)
    write_mask_png(tmp_path / "ink_mask.png", MASK[0], RECORD)
    write_mask_tif(tmp_path / "cube.tif", MASK, RECORD)
    return {path.name: path for path in tmp_path.iterdir()}


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(), inner, max_size=9),
    max_leaves=60,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), JSONS, max_size=8))
def test_a_record_is_short_ascii_json_whatever_is_reported(content):
    text = record_text({f"a{name}": value for name, value in content.items()})
    assert text.isascii() and text.isprintable() and len(text) <= MOST_BYTES
    assert json.loads(text)[MARK] == 1


def test_a_very_long_value_is_cut():
    record = json.loads(record_text({"run": "ä" * 5000, "items": [f"item-{n}" for n in range(2000)]}))
    assert (
        len(record["run"]) == 300
        and record["items"][0] == "item-0"
        and record["not_told"] == 2000 - len(record["items"])
    )


def test_of_too_many_members_those_that_count_least_are_left_out():
    members = {f"member-{n:03d}": {"weight": 1 / (n + 1), "hash": f"{n:016x}"} for n in range(200)}
    record = json.loads(record_text({"run": "r", "members": members}))
    assert list(record["members"]) == list(members)[: len(record["members"])] and len(record["members"]) > 30
    assert record["not_told"] == 200 - len(record["members"]) and record["run"] == "r"


@pytest.mark.parametrize(
    "text",
    [f"https://me:{SECRET}@host/a.zarr", f"run?X-Amz-Signature={SECRET}", f"s3://{SECRET}:{SECRET}@bucket/a"],
)
def test_what_opens_an_address_is_not_in_it(text):
    assert SECRET not in record_text({"run": text, "items": [text], "window": {text: {"of": text}}})


def test_a_run_is_called_by_its_folder_alone_and_never_as_the_user_is(tmp_path, monkeypatch):
    home = tmp_path / "ada"
    (home / "runs/demo").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    assert run_name(home / "runs/demo") == "demo" and run_name(home) == ""
    monkeypatch.chdir(home / "runs/demo")
    assert run_name(Path()) == "demo" and run_name(Path("../..")) == ""


def test_every_file_gives_its_record_back_under_any_name(written, tmp_path):
    for name, path in written.items():
        elsewhere = tmp_path / "elsewhere" / f"x{Path(name).suffix}"
        elsewhere.parent.mkdir(exist_ok=True)
        elsewhere.write_bytes(path.read_bytes())
        assert read_record(elsewhere) == {MARK: 1, **RECORD}, name
        assert len(record_text(RECORD)) < 4096


def test_every_reader_sees_the_same_pixels_and_the_record(written):
    grey = (PROB * 255).astype(np.uint8)
    for read in (tifffile.imread, imread, imageio.imread, read_image, by_pillow):
        np.testing.assert_array_equal(read(written["ink_prob.tif"]), grey)
    for read in (tifffile.imread, imread, imageio.imread, by_pillow, lambda path: open_volume(str(path))[...]):
        np.testing.assert_array_equal(read(written["cube.tif"]), MASK)
    for read in (imread, imageio.imread, by_pillow):
        np.testing.assert_array_equal(read(written["ink_mask.png"]), MASK[0] * 255)
    np.testing.assert_array_equal(read_mask_png(written["ink_mask.png"], MASK[0].shape), MASK[0])
    for name in ("ink_mask.png", "ink_prob.png"):
        assert Image.open(written[name]).text["Description"] == record_text(RECORD)
    for name in ("ink_prob.tif", "cube.tif"):
        with tifffile.TiffFile(written[name]) as tiff:
            assert tiff.pages[0].description == record_text(RECORD)
            assert not any(page.description for page in list(tiff.pages)[1:])
        assert Image.open(written[name]).tag_v2[270] == record_text(RECORD)
    with tifffile.TiffFile(written["ink_prob.tif"]) as tiff:
        assert tiff.is_bigtiff and tiff.pages[0].tile == (256, 256) and tiff.pages[0].compression == 5


def by_pillow(path):
    with Image.open(path) as image:
        pages = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            pages.append(np.asarray(image))
    return np.stack(pages) if len(pages) > 1 else pages[0]


@given(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40), st.text(max_size=40))
def test_a_mask_without_its_record_is_byte_for_byte_the_mask_of_before(depth, height, width, name):
    mask = np.random.default_rng(depth * height * width).random((depth, height, width)) > 0.5
    plain = mask_tiff_bytes(mask, "a")
    record = tiff_with_record(plain, {"run": name})
    assert tiff_without_record(record) == plain and tiff_without_record(plain) == plain
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(record)).reshape(mask.shape), mask)


def test_the_tags_obey_the_rules_of_tiff(written):
    """Sorted tags, none twice, even places, texts that end with NUL and lie in the file: what exiftool warns of otherwise."""
    content = written["cube.tif"].read_bytes()
    (at,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, at)
    tags = [struct.unpack_from("<HHII", content, at + 2 + 12 * n) for n in range(count)]
    assert at % 2 == 0 and [tag for tag, *_ in tags] == sorted({tag for tag, *_ in tags})
    ((_, kind, length, place),) = [tag for tag in tags if tag[0] == 270]
    text = content[place : place + length]
    assert kind == 2 and place % 2 == 0 and text[-1:] == b"\0" and text[:-1].decode("ascii") == record_text(RECORD)


def test_the_same_record_gives_the_same_bytes(written, tmp_path):
    before = {name: path.read_bytes() for name, path in written.items()}
    save_probability(PROB, tmp_path, 7.91, RECORD)
    write_mask_png(tmp_path / "ink_mask.png", MASK[0], RECORD)
    write_mask_tif(tmp_path / "cube.tif", MASK, RECORD)
    assert {name: path.read_bytes() for name, path in written.items()} == before


@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "packed iTXt"])
def test_a_record_that_another_program_packed_is_read(tmp_path, kind):
    info = PngInfo()
    if kind == "zTXt":
        info.add_text("Comment", record_text(RECORD), zip=True)
    else:
        info.add_itxt("Comment", "said: " + record_text(RECORD), zip=kind == "packed iTXt")
    Image.new("L", (3, 3)).save(tmp_path / "a.png", pnginfo=info)
    assert read_record(tmp_path / "a.png") == {MARK: 1, **RECORD}


def test_a_mask_is_no_picture_that_may_be_drawn_over(tmp_path):
    write_mask_png(tmp_path / "mask.png", MASK[0], RECORD | {"run": "Scroll Ensemble"})
    with pytest.raises(InputError, match="is not a picture of this project"):
        check_file(tmp_path / "mask.png", PICTURE)


def png_saying(text: str) -> bytes:
    info, content = PngInfo(), io.BytesIO()
    info.add_text("Description", text)
    Image.new("L", (3, 3)).save(content, format="PNG", pnginfo=info)
    return content.getvalue()


def jpeg() -> bytes:
    content = io.BytesIO()
    Image.new("L", (3, 3)).save(content, format="JPEG")
    return content.getvalue()


GOOD = png_saying(record_text(RECORD))
FAULTS = {
    "jpeg": (jpeg(), "is a JPEG, which holds no record"),
    "text": (b"what is this", "is neither TIFF nor PNG"),
    "empty": (b"", "is neither TIFF nor PNG"),
    "plain png": (png_saying("a holiday"), "holds no record"),
    "plain tiff": (mask_tiff_bytes(MASK, "a"), "holds no record"),
    "somebody else's": (png_saying(json.dumps({"software": "another", "members": 3})), "holds no record"),
    "cut off": (GOOD[:-20], "it is cut off"),
    "cut within": (GOOD[:60], "a text in it is damaged"),
    "damaged": (GOOD.replace(b"mask of ink", b"mask of inc"), "a text in it is damaged"),
    "cut tiff": (tiff_with_record(mask_tiff_bytes(MASK, "a"), RECORD)[:-60], "expected a whole TIFF"),
    "no json": (png_saying("{" + MARK), "expected a whole TIFF or PNG"),
    "later": (png_saying(json.dumps({MARK: 2})), "not one of format 1"),
    "wrong": (png_saying(json.dumps({MARK: 1, "members": [1]})), "not one of format 1"),
    "deep": (png_saying("[" * 50_000 + "{" + MARK + "}"), "expected a whole TIFF or PNG"),
    "bomb": (
        GOOD[:33] + b"".join(
            (struct.pack(">I", len(body)), b"zTXt", body, struct.pack(">I", zlib.crc32(b"zTXt" + body)))[n]
            for body in [b"a\0\0" + zlib.compress(bytes(2**26), 9)[:60_000]] for n in range(4)
        ) + GOOD[-12:],
        "holds no record",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_holds_no_record_is_one_line(tmp_path, name):
    content, message = FAULTS[name]
    (tmp_path / "file.png").write_bytes(content)
    with pytest.raises(InputError, match=message) as raised:
        read_record(tmp_path / "file.png")
    assert "\n" not in str(raised.value) and str(tmp_path / "file.png") in str(raised.value)


def test_a_folder_and_what_is_not_there_are_one_line(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        read_record(tmp_path)
    with pytest.raises(MissingInputError, match="not there"):
        read_record(tmp_path / "none.tif")


def test_a_picture_without_a_record_is_written_as_before(tmp_path):
    Image.new("L", (3, 3)).save(tmp_path / "a.png", pnginfo=png_info({}))
    Image.new("L", (3, 3)).save(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
