"""The surface submission: there and back bit for bit, and every way in which a zip can be wrong is told."""

import io
import os
import signal
import subprocess
import sys
import zipfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageSequence

from ensemble.surface.submission import (
    WARNING,
    check_submission_zip,
    mask_tiff_bytes,
    read_submission_zip,
    shapes_of_test_cubes,
    write_mask_tif,
    write_submission_zip,
)
from scroll.errors import InputError, MissingInputError
from scroll.phantom.write import write_cube

REPOSITORY = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(0)
MASKS = {"11": RNG.random((4, 6, 5)) < 0.3, "22": (RNG.random((3, 5, 7)) < 0.5).astype(np.uint8)}
SHAPES = {name: mask.shape for name, mask in MASKS.items()}
GOOD = {f"{name}.tif": mask_tiff_bytes(mask, name) for name, mask in MASKS.items()}
any_masks = st.sampled_from([np.bool_, np.uint8]).flatmap(
    lambda dtype: arrays(
        dtype,
        array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9),
        elements=st.booleans() if dtype is np.bool_ else st.integers(0, 1),
    )
)


def by_pillow(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.stack([np.array(page) for page in ImageSequence.Iterator(image)])


def packed(path: Path, entries: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


def tiff(pages: np.ndarray, **how: object) -> bytes:
    content = io.BytesIO()
    with tifffile.TiffWriter(content) as writer:
        for page in pages:
            writer.write(page, **({"photometric": "minisblack", "metadata": None, "contiguous": False} | how))
    return content.getvalue()


def test_a_written_zip_is_valid_and_reads_back_bit_for_bit(tmp_path: Path) -> None:
    path = write_submission_zip(tmp_path / "deep" / "submission.zip", MASKS.items(), SHAPES)
    assert check_submission_zip(path, SHAPES) == []
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["11.tif", "22.tif"]
        for name, mask in MASKS.items():
            content = archive.read(f"{name}.tif")
            for read in (by_pillow(content), tifffile.imread(io.BytesIO(content))):
                assert read.dtype == np.uint8 and np.array_equal(read, mask)
            with tifffile.TiffFile(io.BytesIO(content)) as pages:
                assert len(pages.pages) == len(mask)
                assert {page.compression.name for page in pages.pages} == {"LZW"}
    read_back = dict(read_submission_zip(path, SHAPES))
    assert list(read_back) == list(SHAPES)
    assert all(np.array_equal(read_back[name], mask) for name, mask in MASKS.items())


@settings(max_examples=60, deadline=None)
@given(any_masks)
def test_every_mask_comes_back(tmp_path_factory: pytest.TempPathFactory, mask: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "any.zip"
    write_submission_zip(path, [("a", mask)], ["a"])
    ((name, read),) = read_submission_zip(path, {"a": mask.shape})
    assert name == "a" and np.array_equal(read, mask)


def test_a_folder_of_masks_and_the_masks_themselves_give_the_same_bytes_whenever(tmp_path: Path) -> None:
    for name, mask in reversed(MASKS.items()):
        write_mask_tif(tmp_path / "masks" / f"{name}.tif", mask)
    os.utime(tmp_path / "masks" / "11.tif", (1e9, 1e9))
    (tmp_path / "masks" / "of_another_run.tif").write_bytes(b"")
    from_folder = write_submission_zip(tmp_path / "a.zip", tmp_path / "masks", ["22", "11"])
    in_memory = write_submission_zip(tmp_path / "b.zip", MASKS.items(), SHAPES)
    assert from_folder.read_bytes() == in_memory.read_bytes()


def test_what_is_no_mask_or_no_whole_set_of_masks_is_refused_and_the_zip_before_stays(tmp_path: Path) -> None:
    path = write_submission_zip(tmp_path / "submission.zip", MASKS.items(), SHAPES)
    before = path.read_bytes()
    (tmp_path / "masks").mkdir()
    write_mask_tif(tmp_path / "masks" / "11.tif", MASKS["11"])
    for masks, message in [
        ([("11", MASKS["11"])], "1 of 2 test cubes have no mask, the first is '22'"),
        (tmp_path / "masks", "1 of 2 test cubes have no mask, the first is '22'"),
        ([("11", MASKS["11"]), ("11", MASKS["11"])], "mask of '11' came before"),
        ([("33", MASKS["11"])], "mask of '33' is none of the 2"),
        ([("11", MASKS["11"] * np.uint8(255))], "holds 255, expected 0 and 1"),
        ([("11", MASKS["11"].astype(np.float32))], "float32"),
        ([("11", MASKS["11"][0])], r"\(6, 5\), expected bool or uint8 \(Z, Y, X\)"),
        ([("11", MASKS["11"][:0])], r"\(0, 6, 5\)"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            write_submission_zip(path, masks, SHAPES)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no cube"):
        write_submission_zip(path, [], [])
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["masks", "submission.zip"]


def test_a_kill_between_cubes_leaves_whole_masks_and_no_half_zip_and_the_rest_goes_on(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; import numpy as np\n"
        "from ensemble.surface.submission import write_mask_tif, write_submission_zip\n"
        "folder, mask = Path(sys.argv[1]), np.ones((3, 4, 5), bool)\n"
        "write_mask_tif(folder / 'masks' / 'a.tif', mask)\n"
        "def masks():\n    yield 'a', mask\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_submission_zip(folder / 'submission.zip', masks(), ['a', 'b'])\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, tmp_path], cwd=REPOSITORY, check=False)
    assert killed.returncode == -signal.SIGKILL
    path = tmp_path / "submission.zip"
    assert not path.exists() and np.all(by_pillow((tmp_path / "masks" / "a.tif").read_bytes()) == 1)
    write_mask_tif(tmp_path / "masks" / "b.tif", np.zeros((3, 4, 5), bool))
    write_submission_zip(path, tmp_path / "masks", ["a", "b"])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["masks", "submission.zip"]
    assert [line for line in check_submission_zip(path, dict.fromkeys("ab", (3, 4, 5))) if WARNING not in line] == []


def with_11(content: bytes) -> list[tuple[str, bytes]]:
    return list((GOOD | {"11.tif": content}).items())


def changed(place: tuple[int, int, int], value: int) -> bytes:
    mask = MASKS["11"].astype(np.uint8)
    mask[place] = value
    return tiff(mask)


M11 = MASKS["11"].astype(np.uint8)
NAME_FAULTS = {
    "missing": ([("11.tif", GOOD["11.tif"])], "22.tif is missing"),
    "unknown": ([*GOOD.items(), ("33.tif", b"")], "33.tif is none of the 2 test cubes"),
    "not a mask": ([*GOOD.items(), ("notes.txt", b"")], "notes.txt is none of the 2 test cubes"),
    "of a file browser": ([*GOOD.items(), ("__MACOSX/._11.tif", b"")], "__MACOSX/._11.tif is none of"),
    "doubled": ([*GOOD.items(), ("11.tif", GOOD["11.tif"])], "11.tif is there 2 times, expected one"),
    "in a folder": ([("masks/11.tif", GOOD["11.tif"]), ("22.tif", GOOD["22.tif"])], "masks/11.tif is in a folder"),
    "a folder": ([*GOOD.items(), ("masks/", b"")], "masks/ is a folder"),
    "another ending": ([("11.TIFF", GOOD["11.tif"]), ("22.tif", GOOD["22.tif"])], "11.TIFF has another ending"),
}
CONTENT_FAULTS = {
    "float": (tiff(M11.astype(np.float32)), "has a page 0 that is float32, as are 3 more; expected uint8"),
    "16 bit": (tiff(M11.astype(np.uint16)), "has a page 0 that is uint16, as are 3 more"),
    "bits": (tiff(M11 > 0), "has a page 0 that is 1 bit"),
    "colours": (tiff(np.stack([M11] * 3, axis=-1), photometric="rgb"), "has a page 0 that is RGB"),
    "palette": (
        tiff(M11, photometric="palette", colormap=np.zeros((3, 256), np.uint16)),
        "has a page 0 that is a palette",
    ),
    "fewer layers": (tiff(M11[:3]), "is (3, 6, 5) (z, y, x); expected (4, 6, 5)"),
    "turned round": (tiff(M11.transpose(2, 1, 0)), "is (5, 6, 4) (z, y, x); expected (4, 6, 5)"),
    "one page": (tiff(M11.reshape(1, 24, 5)), "is a single page of (24, 5) (y, x); expected (4, 6, 5)"),
    "0 and 255": (tiff(M11 * 255), f"has {M11.sum()} voxels other than 0 and 1 (255), the first at z, y, x = "),
    "a label": (
        changed((2, 3, 4), 2),
        "has 1 voxels other than 0 and 1 (2), the first at z, y, x = 2, 3, 4; threshold",
    ),
    "white is zero": (tiff(M11, photometric="miniswhite"), "has 120 voxels other than 0 and 1 (254, 255), the first"),
    "no TIFF": (b"no TIFF", "is not readable as TIFF"),
    "a PNG": (b"\x89PNG\r\n\x1a\n", "is not readable as TIFF"),
    "empty file": (b"", "is not readable as TIFF"),
}


@pytest.mark.parametrize("kind", NAME_FAULTS)
def test_every_fault_of_the_names_is_reported_alone(kind: str, tmp_path: Path) -> None:
    entries, message = NAME_FAULTS[kind]
    with pytest.warns(UserWarning, match="Duplicate") if kind == "doubled" else nullcontext():
        path = packed(tmp_path / "submission.zip", entries)
    (line,) = check_submission_zip(path, SHAPES)
    assert line.startswith(message) and "\n" not in line


@pytest.mark.parametrize("kind", CONTENT_FAULTS)
def test_every_fault_of_a_mask_is_reported_alone_with_its_entry(kind: str, tmp_path: Path) -> None:
    content, message = CONTENT_FAULTS[kind]
    path = packed(tmp_path / "submission.zip", with_11(content))
    (line,) = check_submission_zip(path, SHAPES)
    assert line.startswith(f"11.tif {message}") and "\n" not in line
    with pytest.raises(InputError, match=r"submission.zip: 11.tif"):
        read_submission_zip(path, SHAPES)


def test_pages_that_differ_and_pages_that_cannot_be_decoded_are_reported_by_number(tmp_path: Path) -> None:
    content = io.BytesIO()
    with tifffile.TiffWriter(content) as writer:
        for layer in (M11[0], M11[1], M11[2, :5], M11[3]):
            writer.write(layer, photometric="minisblack", metadata=None, contiguous=False)
    path = packed(tmp_path / "submission.zip", with_11(content.getvalue()))
    (line,) = check_submission_zip(path, SHAPES)
    assert line == "11.tif has a page 2 of (5, 5) (y, x), where page 0 is (6, 5); expected (4, 6, 5) (z, y, x)"
    damaged = bytearray(GOOD["11.tif"])
    with tifffile.TiffFile(io.BytesIO(damaged)) as pages:
        for number in (1, 3):
            (first,), (count,) = pages.pages[number].dataoffsets, pages.pages[number].databytecounts
            damaged[first : first + count] = b"\xff" * count
    path = packed(tmp_path / "submission.zip", with_11(bytes(damaged)))
    (line,) = check_submission_zip(path, SHAPES)
    assert line.startswith("11.tif has a page 1 that cannot be decoded (") and ", as are 1 more" in line


def test_a_tiff_that_was_cut_off_anywhere_is_reported_or_reads_the_same(tmp_path: Path) -> None:
    for size in range(0, len(GOOD["11.tif"]), 7):
        cut = GOOD["11.tif"][:size]
        lines = check_submission_zip(packed(tmp_path / "submission.zip", with_11(cut)), SHAPES)
        assert all(line.removeprefix(WARNING).startswith("11.tif ") for line in lines)
        assert lines or np.array_equal(by_pillow(cut), M11)


def test_a_zip_that_was_damaged_is_reported(tmp_path: Path) -> None:
    path = write_submission_zip(tmp_path / "submission.zip", MASKS.items(), SHAPES)
    whole = path.read_bytes()
    at = whole.index(GOOD["22.tif"])
    for content, message in [
        (b"no zip", "not a zip (6 bytes"),
        (b"", "not a zip (0 bytes"),
        (whole[:-30], "a zip whose end is missing, as of a broken copy"),
        (whole[: len(whole) // 2], "a zip whose end is missing"),
        (whole[: at + 9] + bytes([whole[at + 9] ^ 1]) + whole[at + 10 :], "22.tif cannot be unpacked (Bad CRC-32"),
    ]:
        path.write_bytes(content)
        (line,) = check_submission_zip(path, SHAPES)
        assert line.startswith(message) and "\n" not in line
    with pytest.raises(MissingInputError, match="not there"):
        check_submission_zip(tmp_path / "none.zip", SHAPES)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_bytes_are_damaged_it_is_reported_or_reads_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = write_submission_zip(tmp_path_factory.getbasetemp() / "damaged.zip", MASKS.items(), SHAPES)
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    lines = check_submission_zip(path, SHAPES)
    assert all("\n" not in line for line in lines)
    if not lines:
        assert all(np.array_equal(mask, MASKS[name]) for name, mask in read_submission_zip(path, SHAPES))


def test_all_faults_are_reported_at_once_and_an_empty_mask_is_no_fault(tmp_path: Path) -> None:
    shapes = {"11": (4, 6, 5), "22": (3, 5, 7), "33": (2, 2, 2), "44": (2, 2, 2)}
    entries = [
        ("11.tif", tiff(M11[:3, :, :4] * np.uint8(255))),
        ("masks/22.tif", tiff(np.zeros((3, 5, 7), np.float32))),
        ("44.tif", tiff(np.zeros((2, 2, 2), np.uint8))),
        ("notes.txt", b""),
    ]
    lines = check_submission_zip(packed(tmp_path / "submission.zip", entries), shapes)
    words = (
        "33.tif is missing",
        "in a folder",
        "notes.txt",
        "(3, 6, 4)",
        "divide by 255",
        "float32",
        "44.tif holds no surface",
    )
    assert len(lines) == 7 and all(any(word in line for line in lines) for word in words)
    assert [line.startswith(WARNING) for line in lines] == [False] * 6 + [True]
    with pytest.raises(InputError, match="and 5 more"):
        read_submission_zip(tmp_path / "submission.zip", shapes)
    empty = write_submission_zip(tmp_path / "empty.zip", [("44", np.zeros((2, 2, 2), bool))], ["44"])
    ((_, mask),) = read_submission_zip(empty, {"44": (2, 2, 2)})
    assert not mask.any()


def test_values_are_counted_and_placed_as_in_the_array(tmp_path: Path) -> None:
    values = RNG.integers(0, 9, MASKS["11"].shape).astype(np.uint8)
    values[0] = values[0] % 2
    wrong = np.argwhere(values > 1)
    (line,) = check_submission_zip(packed(tmp_path / "submission.zip", with_11(tiff(values))), SHAPES)
    first = ", ".join(map(str, wrong[0]))
    assert (
        f"has {len(wrong)} voxels other than 0 and 1 (2, 3, 4, 5, 6, 7, ...), the first at z, y, x = {first};" in line
    )


def test_shapes_come_from_the_headers_and_no_voxel_is_decoded(tmp_path: Path) -> None:
    for name, shape in SHAPES.items():
        write_cube(tmp_path / "test_images" / f"{name}.tif", np.ones(shape, np.uint8))
    (tmp_path / "test.csv").write_text("id,scroll_id\n22,1\n11,1\n")
    image = tmp_path / "test_images" / "11.tif"
    damaged = bytearray(image.read_bytes())
    with tifffile.TiffFile(image) as pages:
        for page in pages.pages:
            (first,), (count,) = page.dataoffsets, page.databytecounts
            damaged[first : first + count] = b"\xff" * count
    image.write_bytes(damaged)
    assert shapes_of_test_cubes(tmp_path) == SHAPES
