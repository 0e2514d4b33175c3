"""One flat picture from a PNG or a TIFF, and from no other format: (Y, X) of the grey that its file means.

Sizes are compared in the header, before a pixel is decoded. What is transparent shows black.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.runtime.bounded import plain_file
from scroll.runtime.reading import reads, shortened
from scroll.volumes.tiff.axes import slice_count
from scroll.volumes.tiff.meaning import check_packing, grey_of
from scroll.volumes.tiff.pages import MEND, check_whole, opened_tiff

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 2**31  # the largest canvas of a scroll's segment so far has 6e8
MOST_PACKED = 2**16  # pixels that a byte may stand for: a TIFF header that promises more is damaged
PNG = b"\x89PNG\r\n\x1a\n"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ALPHA = (1, 2)  # of a TIFF's extra samples: already multiplied, and not
REDUCED = 1  # bit of a TIFF page's kind: a smaller copy of another page
DEEP, GREY_ALONE = 16, 0


class PngHeader(NamedTuple):
    """What the first 33 bytes of a PNG say: its (Y, X) size, bits a sample, and kind of colour."""

    size_yx: tuple[int, int]
    bits: int
    colour: int


@reads("a picture", "copy it again")
def read_grey(path: Path, shape_yx: tuple[int, int] | None = None, slack: int = 0) -> NDArray[Any]:
    """The picture as (Y, X) grey of any type of number; one bit a pixel reads as 0 and 255.

    `shape_yx`: the size it must have, give or take `slack` pixels along either axis.

    Raises:
        InputError: neither PNG nor TIFF, damaged, of another size or above 2**31 pixels, several pictures, or colours.
    """
    grey, alpha = grey_and_alpha(path, shape_yx, slack)
    grey = grey if alpha is None else _over_black(grey, alpha)
    check_size(path, grey.shape, shape_yx, slack)
    return grey


@reads("a picture", "copy it again")
def grey_and_alpha(
    path: Path, shape_yx: tuple[int, int] | None = None, slack: int = 0
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The same as it is in the file, and how opaque it is, both (Y, X); None where the file has no such channel.

    The one grey that a PNG without that channel calls transparent reads as 0.

    Raises:
        InputError: as `read_grey`.
    """
    with plain_file(path).open("rb") as file:
        start = file.read(33)
    if start.startswith(PNG):
        samples, has_alpha = _png(path, start, shape_yx, slack)
    elif start.startswith(TIFF):
        samples, has_alpha = _tiff(path, shape_yx, slack)
    else:
        raise InputError(
            f"{path}: not readable as a picture (it begins with {start[:8]!r}, as neither PNG nor TIFF does); "
            "save it as an 8-bit grey PNG"
        )
    if has_alpha:
        return _one_grey(path, samples[..., :-1]), samples[..., -1]
    return _one_grey(path, samples), None


@reads("a picture", "copy it again")
def read_image(path: Path) -> NDArray[Any]:
    """The first page of a TIFF, tiled or in strips, packed or raw: (Y, X) of any integer or float type; channel 0 of many.

    A page of single bits reads as 0 and 255; what is transparent reads as 0.

    Raises:
        InputError: not a TIFF, cut off, damaged, not numbers, or its header says other than upright grey.
    """
    samples, has_alpha = _tiff(path, is_first_of_many=True)
    return _over_black(samples[..., 0], samples[..., -1]) if has_alpha else np.asarray(samples[..., 0])


def check_size(path: Path, found: tuple[int, ...], shape_yx: tuple[int, int] | None, slack: int = 0) -> None:
    """Refuse a picture of another size, or of more pixels than any canvas has.

    Raises:
        InputError: it is.
    """
    if found[0] * found[1] > MOST_PIXELS:
        raise InputError(f"{path}: says {found[0]} x {found[1]} pixels; expected at most {MOST_PIXELS}: {MEND}")
    if shape_yx is not None and any(abs(a - b) > slack for a, b in zip(found, shape_yx, strict=True)):
        raise InputError(
            f"{path}: is {(int(found[0]), int(found[1]))} (y, x) but the layers are {shape_yx}; label and layers must match "
            "pixel for pixel"
        )


def _png(path: Path, start: bytes, shape_yx: tuple[int, int] | None, slack: int) -> tuple[NDArray[Any], bool]:
    from PIL import Image, ImageOps

    header = _png_header(path, start)
    is_turned = (
        shape_yx is not None and header.size_yx == shape_yx[::-1]
    )  # its orientation, which is read later, may turn it
    check_size(path, header.size_yx, None if is_turned else shape_yx, slack)
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS  # Pillow's own guard is below the size of a scroll's segment
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise InputError(f"{path}: holds several pictures one after the other; save one alone")
            ImageOps.exif_transpose(image, in_place=True)
            return _png_samples(image, header)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - Pillow raises many kinds for a damaged picture
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{path}: not readable as a picture ({reason}); copy it again") from None


def _png_header(path: Path, start: bytes) -> PngHeader:
    if len(start) < 33 or start[12:16] != b"IHDR":
        raise InputError(f"{path}: not readable as a picture (a PNG without a header); copy it again")
    width, height = int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big")
    header = PngHeader((height, width), start[24], start[25])
    if header.bits == DEEP and header.colour != GREY_ALONE:
        raise InputError(f"{path}: 16 bits a sample in colour or with alpha; expected grey: save it as 8-bit grey")
    return header


def _png_samples(image: "Image", header: PngHeader) -> tuple[NDArray[Any], bool]:
    """(Y, X, S) samples as they are shown, and whether the last is alpha."""
    clear = image.info.get("transparency")
    if image.mode == "P" or (clear is not None and image.mode == "RGB"):
        image, clear = image.convert("RGBA"), None
    samples = np.asarray(image)
    if samples.dtype == bool:
        samples = samples.astype(np.uint8) * np.uint8(255)
    if isinstance(clear, int):  # the one grey that is transparent, in the file's own bits
        scale = 255 // (2**header.bits - 1) if header.bits < 8 else 1
        samples = np.where(samples == clear * scale, samples.dtype.type(0), samples)
    return (samples[..., None], False) if samples.ndim == 2 else (samples, image.mode in ("LA", "RGBA"))


def _tiff(
    path: Path, shape_yx: tuple[int, int] | None = None, slack: int = 0, is_first_of_many: bool = False
) -> tuple[NDArray[Any], bool]:
    """(Y, X, S) samples as they are shown, and whether the last is alpha."""
    with opened_tiff(path) as tiff:
        page = tiff.pages[0]
        is_numbers = page.dtype is not None and page.dtype.kind in "uifb"
        if not is_numbers or page.axes not in ("YX", "YXS", "SYX") or 0 in (page.size, *page.shape):
            raise InputError(
                f"{path}: holds {page.dtype} of shape {shortened(str(page.shape))}; expected a (Y, X) picture of numbers: export it again"
            )
        if page.size > MOST_PACKED * path.stat().st_size:
            raise InputError(f"{path}: says {page.shape} in {path.stat().st_size} bytes; expected a whole TIFF: {MEND}")
        check_size(path, (page.imagelength, page.imagewidth), shape_yx, slack)
        check_whole(path, [page])
        check_packing(path, [page])
        grey, has_alpha = grey_of(path, page), _has_alpha(path, page)
        if not is_first_of_many:
            _refuse_many(path, tiff)
        samples = page.asarray(maxworkers=1)
    samples = samples if grey is None else grey.as_shown(samples)
    samples = np.where(samples, np.uint8(255), np.uint8(0)) if samples.dtype == bool else samples
    if page.axes == "SYX":
        samples = np.moveaxis(samples, 0, -1)
    return (samples[..., None] if page.axes == "YX" else samples), has_alpha


def _has_alpha(path: Path, page: Any) -> bool:
    extra = [int(kind) for kind in page.extrasamples or ()]
    has_alpha = page.axes != "YX" and any(kind in ALPHA for kind in extra)
    if has_alpha and (len(extra) > 1 or page.dtype.kind not in "u" or extra[0] == ALPHA[0]):
        raise InputError(
            f"{path}: transparency of a kind that is not read here; flatten it over black, save it as grey"
        )
    return has_alpha


def _refuse_many(path: Path, tiff: Any) -> None:
    whole = [page for page in tiff.pages if not int(page.subfiletype) & REDUCED]
    count = max(len(whole), slice_count(path, tiff, len(whole)))
    if count > 1:
        raise InputError(f"{path}: holds {count} pages; expected one flat picture: save the one that is meant alone")


def _one_grey(path: Path, samples: NDArray[Any]) -> NDArray[Any]:
    """(Y, X) of samples (Y, X, S) that are all alike."""
    if any((samples[..., 0] != samples[..., n]).any() for n in range(1, samples.shape[2])):
        raise InputError(f"{path}: expected one grey channel, found shape {samples.shape}; save it as 8-bit grey")
    return np.asarray(samples[..., 0])


def _over_black(grey: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """What is seen of grey over black, both (Y, X) of one unsigned type."""
    full = np.iinfo(alpha.dtype).max
    if (alpha == full).all():
        return np.asarray(grey)
    return (grey.astype(np.float64) * alpha / full).round().astype(grey.dtype)
