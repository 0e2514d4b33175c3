"""Of pictures that are read in another way than they once were, what was made before is made again; of all others it is kept."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from scroll.runtime.content import contents_of
from scroll.runtime.picture_meaning import meaning_of
from scroll.runtime.receipt import fingerprint, key_of
from scroll.volumes import open_volume
from scroll.volumes.working_copy import working_copy

GREY = np.random.default_rng(0).integers(0, 2, (12, 16), dtype=np.uint8) * np.uint8(255)
WHITE = np.full((12, 16, 3), 255, np.uint8)
PALETTE = np.stack([np.arange(256) * 257] * 3).astype(np.uint16)


def by_content_alone(path):
    """The key of a file as it was before meanings were kept."""
    return str(key_of([[path.name, contents_of([path])[0]]]))


def by_times(path):
    """The key of a file as it was before contents were known."""
    return str(key_of([[path.name, path.stat().st_size, path.stat().st_mtime_ns]]))


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    ("stored", "how", "is_other"),
    [
        (GREY, {"photometric": "minisblack"}, False),
        (WHITE, {"photometric": "rgb"}, False),
        (GREY, {"photometric": "miniswhite"}, True),
        (GREY, {"photometric": "palette", "colormap": PALETTE}, True),
        (np.dstack([WHITE, GREY]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}, True),
    ],
)
def test_a_tiff_that_is_not_read_as_stored_has_another_key_than_before(
    tmp_path, stored, how, is_other, bigtiff, byteorder
):
    path = tmp_path / "00.tif"
    tifffile.imwrite(path, stored, bigtiff=bigtiff, byteorder=byteorder, **how)
    key = fingerprint(path)
    assert [key == by_content_alone(path), key == by_times(path)] == [not is_other] * 2


@pytest.mark.parametrize(
    ("picture", "is_other"),
    [
        (Image.fromarray(GREY), False),
        (Image.fromarray(np.dstack([WHITE, np.full_like(GREY, 255)])), False),
        (Image.fromarray(np.dstack([WHITE, GREY])), True),
    ],
)
def test_a_label_that_is_transparent_somewhere_has_another_key_than_before(tmp_path, picture, is_other):
    path = tmp_path / "1_inklabels.png"
    picture.save(path)
    assert (fingerprint(path) == by_content_alone(path)) is not is_other
    picture.save(tmp_path / "thumbnail.png")
    assert meaning_of(tmp_path / "thumbnail.png") == []


def test_what_is_no_picture_has_no_meaning_of_its_own(tmp_path):
    for name in ("mask.png", "00.tif"):
        (tmp_path / name).write_bytes(b"II*\0\xff\xff\xff\x7f")
        assert meaning_of(tmp_path / name) == []


def test_a_working_copy_of_what_is_not_read_as_stored_is_not_that_of_before(tmp_path, monkeypatch):
    for n in range(2):
        tifffile.imwrite(tmp_path / f"{n:02d}.tif", GREY, photometric="miniswhite", compression="zlib")
    with monkeypatch.context() as before:
        before.setattr("scroll.volumes.working_copy.meanings_of", lambda files: [])
        old = working_copy(open_volume(tmp_path, 8.0), tmp_path / "cache", (0, 2), is_shown=False).path
    assert working_copy(open_volume(tmp_path, 8.0), tmp_path / "cache", (0, 2), is_shown=False).path != old
