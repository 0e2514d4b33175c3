"""Corners of a mask, 64 to a word: which 2x2x2 neighbourhoods a surface runs through, and of what kind.

A corner is between eight voxels. Its code is the sum of the weights [[[128, 64], [32, 16]], [[8, 4], [2, 1]]] of
those that are inside the mask (axes z, y, x); outside the volume everything is background, so a mask that meets the
border has a surface there. A corner is a border corner where its code is neither 0 nor 255. Surface areas, and the
Euler number, are sums over the 256 codes: count once, then take any dot product.
"""

import numpy as np
import numpy.typing as npt

from scroll.runtime.compiled import njit

CODES = 256
Words = npt.NDArray[np.uint64]

_ONE, _THREE, _TOP, _SHIFT = np.uint64(1), np.uint64(3), np.uint64(63), np.uint64(58)
# a de Bruijn sequence: its 64 windows of six bits are all different, so the lowest set bit times it names the bit's
# place
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_PLACE = np.zeros(64, np.uint64)
for _bit in range(64):
    _PLACE[((int(_DE_BRUIJN) << _bit) & (2**64 - 1)) >> 58] = _bit
# the kernel below reads the code's bits in reverse
_REVERSED = np.array([int(f"{code:08b}"[::-1], 2) for code in range(CODES)])


def pack(mask: npt.NDArray[np.bool_]) -> Words:
    """Rows of a (Z, Y, X) mask as words, (Z + 2, Y + 2, X // 64 + 1): voxel x is bit x % 64 of word x // 64.

    One empty row goes around in z and y, and at least one empty bit follows in x.
    """
    depth, height, width = mask.shape
    bytes_ = np.zeros((depth + 2, height + 2, (width // 64 + 1) * 8), np.uint8)
    if mask.size:
        bytes_[1:-1, 1:-1, : (width + 7) // 8] = np.packbits(mask, axis=-1, bitorder="little")
    return bytes_.view(np.dtype("<u8")).astype(np.uint64, copy=False)


def unpack(words: Words, width: int) -> npt.NDArray[np.bool_]:
    """Bits of (Z, Y, W) words as a (Z, Y, width) mask."""
    bytes_ = words.astype(np.dtype("<u8"), copy=False).view(np.uint8)
    return np.unpackbits(bytes_, axis=-1, count=width, bitorder="little").view(np.bool_)


@njit(cache=True)
def border(words: Words) -> Words:
    """Border corners of a packed (Z + 2, Y + 2, W) mask, (Z + 1, Y + 1, W): bit x is between voxels x - 1 and x."""
    corners = np.zeros((words.shape[0] - 1, words.shape[1] - 1, words.shape[2]), np.uint64)
    for z in range(corners.shape[0]):
        for y in range(corners.shape[1]):
            some_before = all_before = np.uint64(0)
            for w in range(corners.shape[2]):
                a, b, c, d = words[z, y, w], words[z, y + 1, w], words[z + 1, y, w], words[z + 1, y + 1, w]
                some, every = a | b | c | d, a & b & c & d
                some_of_8 = some | (some << _ONE) | (some_before >> _TOP)
                all_of_8 = every & ((every << _ONE) | (all_before >> _TOP))
                corners[z, y, w] = some_of_8 & ~all_of_8
                some_before, all_before = some, every
    return corners


def ball_half_widths(radius_vox: float) -> npt.NDArray[np.int64]:
    """The ball of `radius_vox` as rows (half_width, dz, dy), widest first.

    (dz, dy, dx) is inside where |dx| <= half_width. Inclusive: a distance of exactly the radius is inside.
    """
    reach = int(radius_vox)
    rows = []
    for dz in range(-reach, reach + 1):
        for dy in range(-reach, reach + 1):
            inside = [dx for dx in range(reach + 1) if np.sqrt(float(dz * dz + dy * dy + dx * dx)) <= radius_vox]
            if inside:
                rows.append((inside[-1], dz, dy))
    return np.array(sorted(rows, reverse=True), np.int64)


@njit(cache=True)
def dilate(corners: Words, ball: npt.NDArray[np.int64]) -> Words:
    """Corners within a ball (`ball_half_widths`) of any of `corners`; both (Z, Y, W) words.

    A row collects its neighbours from the widest to the narrowest and is spread by one bit each time the width falls,
    so that a ball of radius r costs r spreads and not one for every row of the ball.
    """
    depth, height, n_words = corners.shape
    grown = np.zeros_like(corners)
    for z in range(depth):
        for y in range(height):
            row = grown[z, y]
            width = ball[0, 0]
            for i in range(ball.shape[0]):
                while width > ball[i, 0]:
                    _spread(row)
                    width -= 1
                from_z, from_y = z + ball[i, 1], y + ball[i, 2]
                if 0 <= from_z < depth and 0 <= from_y < height:
                    for w in range(n_words):
                        row[w] |= corners[from_z, from_y, w]
            for _ in range(width):
                _spread(row)
    return grown


@njit(cache=True)
def _spread(row: Words) -> None:
    before = np.uint64(0)
    for w in range(row.size):
        here = row[w]
        after = row[w + 1] if w + 1 < row.size else np.uint64(0)
        row[w] = here | (here << _ONE) | (before >> _TOP) | (here >> _ONE) | (after << _TOP)
        before = here


def count_codes(words: Words, corners: Words, near: Words) -> npt.NDArray[np.int64]:
    """Histogram (2, 256) of the codes of `corners`: [0] those outside `near`, [1] those inside.

    `words` is the packed mask that gives the codes, `corners` its border; codes 0 and 255 are never border and stay 0.
    """
    return _count(words, corners, near)[:, _REVERSED]


@njit(cache=True)
def _count(words: Words, corners: Words, near: Words) -> npt.NDArray[np.int64]:
    counts = np.zeros((2, CODES), np.int64)
    for z in range(corners.shape[0]):
        for y in range(corners.shape[1]):
            for w in range(corners.shape[2]):
                left = corners[z, y, w]
                if not left:
                    continue
                hit = near[z, y, w]
                a, b, c, d = words[z, y, w], words[z, y + 1, w], words[z + 1, y, w], words[z + 1, y + 1, w]
                if left & _ONE:  # its voxel x - 1 is the last bit of the word before
                    code = ((a & _ONE) << _ONE) | ((b & _ONE) << _THREE)
                    code |= ((c & _ONE) << np.uint64(5)) | ((d & _ONE) << np.uint64(7))
                    if w:
                        code |= words[z, y, w - 1] >> _TOP
                        code |= (words[z, y + 1, w - 1] >> _TOP) << np.uint64(2)
                        code |= (words[z + 1, y, w - 1] >> _TOP) << np.uint64(4)
                        code |= (words[z + 1, y + 1, w - 1] >> _TOP) << np.uint64(6)
                    counts[np.int64(hit & _ONE), np.int64(code)] += 1
                    left ^= _ONE
                while left:
                    lowest = left & (~left + _ONE)
                    bit = _PLACE[(lowest * _DE_BRUIJN) >> _SHIFT]
                    pair = bit - _ONE
                    code = ((a >> pair) & _THREE) | (((b >> pair) & _THREE) << np.uint64(2))
                    code |= (((c >> pair) & _THREE) << np.uint64(4)) | (((d >> pair) & _THREE) << np.uint64(6))
                    counts[np.int64((hit >> bit) & _ONE), np.int64(code)] += 1
                    left ^= lowest
    return counts


def corner_histogram(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """How many corners of a (Z, Y, X) mask have each border code, (256,); codes 0 and 255 stay 0.

    >>> int(corner_histogram(np.ones((1, 1, 1), bool)).sum())  # one voxel has eight corners
    8
    """
    words = pack(mask)
    corners = border(words)
    return count_codes(words, corners, np.zeros_like(corners)).sum(axis=0)
