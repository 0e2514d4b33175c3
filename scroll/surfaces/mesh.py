"""The lines of a Wavefront .obj that matter here, as arrays: vertices, UV, normals, and faces cut into triangles."""

import itertools
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.runtime.bounded import plain_file

NONE = -1
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LONGEST_LINE = 2**20
NEVER_JOINED = re.compile(rb"\s*(#|(o|g|usemtl|mtllib)(\s|\\|$))")  # free text, such as a folder of Windows
SLASH = ord("/")
LARGEST = 1e9  # of a coordinate or a UV; products of larger ones lose their meaning
WIDTHS = {b"v": 3, b"vt": 2, b"vn": 3}
GRID_WORDS = re.compile(
    rb"# scroll surface: (\d{1,9}) rows, (\d{1,9}) columns, cells of ([\d.e+]{1,30}) x ([\d.e+]{1,30}) voxels"
)


@dataclass(frozen=True)
class GridNote:
    """What a comment tells of the grid that a mesh was made of: points, and voxels a cell, along rows and columns."""

    shape: tuple[int, int]
    cell_vox: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles that lie both in space and in UV.

    Attributes:
        path: where it was read.
        vertices: (n, 3) z, y, x.
        uv: (m, 2), origin at the bottom left.
        normals: (k, 3) z, y, x, of any length.
        corners: (T, 3, 3) indices of the vertex, the UV and the normal of each corner; the normal's is -1 where it has none.
        grid: what it was made of, if our own writer made it.
    """

    path: Path
    vertices: NDArray[np.float64]
    uv: NDArray[np.float64]
    normals: NDArray[np.float64]
    corners: NDArray[np.int64]
    grid: GridNote | None = None


def read_mesh(path: Path) -> Mesh:
    """Read a .obj; a polygon becomes a fan of triangles, and lines of other kinds are passed over.

    Raises:
        InputError: a line that cannot be read (with its number), no face, a face without UV, an index beyond the
            lists, or a coordinate that is not finite or above 1e9.
    """
    lists = {kind: array("d") for kind in WIDTHS}
    corners = array("q")
    grid = None
    for number, line in _lines(path):
        words = line.split()
        kind = words[0] if words else b""
        try:
            if kind in WIDTHS:
                _add_numbers(lists[kind], words[1:], WIDTHS[kind])
            elif kind == b"f":
                corners.extend(_plain(words) or _fan(words[1:], [len(lists[k]) // n for k, n in WIDTHS.items()]))
            elif kind == b"#" and grid is None:
                grid = _grid_note(line)
        except (ValueError, OverflowError) as error:
            found = line.strip()[:40].decode("latin-1")
            raise InputError(f"{path}: line {number}, {found!r}: {error}; mend it or export the mesh again") from None
    vertices, uv, normals = (np.array(lists[kind]).reshape(-1, width) for kind, width in WIDTHS.items())
    triangles = np.array(corners).reshape(-1, 3, 3)
    mesh = Mesh(path, vertices[:, ::-1].copy(), uv, normals[:, ::-1].copy(), triangles, grid)
    _check(mesh)
    return mesh


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers; a backslash at the end of one joins the next to it, unless it is a comment or a name.

    Raises:
        InputError: a line, joined or not, above 1 MiB; no more of it is read.
    """
    begun: list[bytes] = []
    size = 0
    with plain_file(path).open("rb") as file:
        for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), 1):
            size += len(line)
            if size >= LONGEST_LINE:
                raise InputError(
                    f"{path}: line {number} is longer than {LONGEST_LINE} bytes; expected a mesh: export it again"
                )
            begun.append((line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).rstrip())
            if begun[-1].endswith(b"\\") and not NEVER_JOINED.match(begun[0]):
                begun[-1] = begun[-1][:-1]
            else:
                yield number, b" ".join(begun)
                begun, size = [], 0
    yield 0, b" ".join(begun)


def _grid_note(line: bytes) -> GridNote | None:
    found = GRID_WORDS.fullmatch(line)
    if found is None:
        return None
    rows, columns, down, right = found.groups()
    note = GridNote((int(rows), int(columns)), (float(down), float(right)))
    return note if min(note.shape) > 1 and all(0 < cell < LARGEST for cell in note.cell_vox) else None


def _add_numbers(into: Any, words: list[bytes], width: int) -> None:
    if len(words) < width:
        raise ValueError(f"expected {width} numbers")
    into.extend([float(word) for word in words[:width]])


def _plain(words: list[bytes]) -> list[int]:
    """Indices from 0 of the usual `f 1/1/1 2/2/2 3/3/3`, in one go as there are millions; empty if it is any other face."""
    if len(words) != 4 or any(word.count(b"/") != 2 or b"//" in word or word[-1] == SLASH for word in words[1:]):
        return []
    found = [int(number) - 1 for number in b"/".join(words[1:]).split(b"/")]
    return found if min(found) >= 0 else []


def _fan(words: list[bytes], counts: list[int]) -> list[int]:
    """Indices from 0 of the triangles of a face, three a corner; `counts` are the vertices, UVs and normals so far."""
    if len(words) < 3:
        raise ValueError("expected a face of three corners or more")
    first, *others = [_corner(word, counts) for word in words]
    return [index for second, third in itertools.pairwise(others) for index in first + second + third]


def _corner(word: bytes, counts: list[int]) -> list[int]:
    """`v`, `v/vt`, `v//vn` or `v/vt/vn` as three indices from 0, -1 where there is none; negative ones count from the last."""
    parts = word.split(b"/")
    if len(parts) > 3 or not parts[0]:
        raise ValueError("expected corners such as 7/7/7")
    found = [NONE, NONE, NONE]
    for k, part in enumerate(parts):
        if part:
            index = int(part)
            index = index - 1 if index > 0 else index + counts[k]
            if index < 0 or int(part) == 0:
                raise ValueError("expected indices from 1, or from -1 backwards to the first")
            found[k] = index
    return found


def _check(mesh: Mesh) -> None:
    if not len(mesh.corners):
        raise InputError(f"{mesh.path}: holds no face; expected a .obj mesh: export the surface again")
    bare = int((mesh.corners[..., 1] == NONE).any(axis=1).sum())
    if bare:
        raise InputError(
            f"{mesh.path}: {bare} of {len(mesh.corners)} triangles have no UV (vt); expected a flattened mesh: "
            "flatten it first, or export it with its texture coordinates"
        )
    for k, (kind, values) in enumerate({"v": mesh.vertices, "vt": mesh.uv, "vn": mesh.normals}.items()):
        used = mesh.corners[..., k][mesh.corners[..., k] != NONE]
        if used.size and used.max() >= len(values):
            raise InputError(
                f"{mesh.path}: a face names {kind} {used.max() + 1} of {len(values)}; expected no more than there are: "
                "the file may be cut off, copy it again"
            )
        if not (np.abs(values[used]) <= LARGEST).all():
            wrong = int(used[~(np.abs(values[used]) <= LARGEST).all(axis=-1)][0])
            raise InputError(
                f"{mesh.path}: {kind} {wrong + 1} is {values[wrong].tolist()}; expected finite numbers up to {LARGEST:g}: "
                "export the mesh again"
            )
