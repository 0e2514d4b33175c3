"""Probability maps on disk, written row by row so that a killed prediction goes on where it stopped."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import DTypeLike, NDArray

from scroll.errors import InputError, MissingInputError, UnreadableError
from scroll.runtime import manifest
from scroll.runtime.files import kept_json, remove, say_unverifiable, write_sealed
from scroll.runtime.run_lock import FileLock, who_we_are
from scroll.volumes.ome_zarr import create_ome_zarr, open_array

CHECKED = "has_checksums"  # the attribute of a map whose manifest must be there
CHUNK = 128  # rows and columns; rows reach the disk in whole chunks, so that a kill never leaves half a one
ROWS = -2  # the axis that is written in order
_IN_THIS_PROCESS: "WeakValueDictionary[str, FileLock]" = (
    WeakValueDictionary()
)  # locks by map; a newer writer takes one over


def open_map(path: Path, hint: str) -> Any:
    """A finished map as a `zarr.Array`, (Z, Y, X) or (C, Y, X).

    What is read of it is checked against its manifest (`scroll.runtime.manifest`): a damaged or lost chunk is an UnreadableError.

    Raises:
        MissingInputError: it is not there; `hint` names the command that makes it.
        InputError: its metadata is damaged.
    """
    if not path.exists():
        raise MissingInputError(f"{path}: not there; {hint}")
    array = open_array(path)
    if manifest.noted(path) is None:
        if array.attrs.get(CHECKED):
            raise UnreadableError(f"{path / manifest.MANIFEST}: lost; expected checksums there: {manifest.CURE}")
        say_unverifiable(path)
    return array


def is_finished(path: Path, key: str) -> bool:
    """Whether a map was made with this key, and nothing of it is lost, cut off or struck out; says so where it is."""
    if not path.exists():
        return False
    if not manifest.is_whole(path):
        print(f"{path}: damaged since it was written; made again")
        return False
    try:
        attributes = open_array(path).attrs
        is_verifiable = not attributes.get(CHECKED) or manifest.is_begun(path) or manifest.noted(path) is not None
        return bool(attributes.get("made_with") == key) and is_verifiable
    except InputError:
        return False


def begin_map(path: Path, array: Any, key: str) -> Any:
    """A map that was just created at `path`, opened to be written: chunks are noted until `manifest.seal`."""
    array.attrs.update({"made_with": key, CHECKED: True})
    manifest.begin(path)
    return open_array(path, mode="r+")


class RowWriter:
    """Writes an OME-Zarr of `shape` and `dtype` in order of rows; under its final name only when every row is there.

    `begin_um` is where the first voxel of a cut-out is centred in its scroll, along z, y, x in micrometres.
    Started again with the same `key`, `done_rows` says how many rows an earlier run left; with another key, or where files
    of it are lost or cut off, it starts again.
    """

    def __init__(
        self,
        path: Path,
        key: str,
        shape: tuple[int, ...],
        voxel_um: float | None,
        axes: str,
        bin_yx: int = 1,
        begin_um: Sequence[float] = (),
        dtype: DTypeLike = "float16",
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.path, self.key, self.shape = path, key, shape
        self._aside = path.with_name(f".{path.name}.part")
        self._ledger = path.with_name(f".{path.name}.rows.part")
        self._waiting: list[NDArray[Any]] = []
        self._about = voxel_um, axes, bin_yx, begin_um
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))
        self._array: Any = None
        self._look()
        self._next_row = self.done_rows

    def _look(self) -> None:
        """See how much of it is on disk."""
        self._is_finished = is_finished(self.path, self.key)
        self.done_rows = self.shape[ROWS] if self._is_finished else self._rows_on_disk()

    def _begin(self) -> None:
        """Before the first row: be the only writer, and make the array, or open what an earlier run left.

        Raises:
            InputError: another process writes this map.
        """
        if abandoned := _IN_THIS_PROCESS.pop(str(self.path), None):
            abandoned.release()
        if not self._lock.take():
            raise InputError(
                f"{self.path}: {self._lock.holder()} writes this map; wait for it, then run the same command again"
            )
        _IN_THIS_PROCESS[str(self.path)] = self._lock
        self._lock.write(who_we_are())
        self._look()  # another writer may have gone on since we looked
        if self._is_finished:
            self._lock.give_up()
            return
        if self.done_rows:
            self._array = open_array(self._aside, mode="r+")
            return
        remove(self._aside)
        remove(self._ledger)
        voxel_um, axes, bin_yx, begin_um = self._about
        chunks = (*(min(length, CHUNK) for length in self.shape[:ROWS]), CHUNK, CHUNK)
        array = create_ome_zarr(
            self._aside, self.shape, self.dtype, chunks, voxel_um, axes, bin_yx=bin_yx, begin_um=begin_um
        )
        self._array = begin_map(self._aside, array, self.key)

    def _rows_on_disk(self) -> int:
        if not (self._aside.exists() and self._ledger.exists() and manifest.is_whole(self._aside)):
            return 0
        ledger = kept_json(self._ledger, f"{self.path} is begun", key=str, rows=int)
        return int(ledger["rows"]) if ledger.get("key") == self.key else 0

    def write(self, row: int, rows: NDArray[Any]) -> None:
        """Take rows [row, row + n), array of `shape` with n rows; they must follow the ones before.

        Raises:
            ValueError: rows out of order.
            InputError: another process writes this map.
        """
        if row != self._next_row:
            raise ValueError(f"{self.path}: rows must come in order, expected {self._next_row}, got {row}")
        if self._array is None and not self._is_finished:
            self._begin()
        if self._is_finished:  # by another writer, meanwhile, with the same key
            self._next_row += rows.shape[ROWS]
            return
        if not self._lock.is_held:
            raise InputError(f"{self.path}: a newer writer of this process has taken this map over")
        left = max(0, self.done_rows - row) if not self._waiting else 0  # rows that another writer of this key left
        rows, self._next_row = rows[..., left:, :], row + min(left, rows.shape[ROWS])
        if not rows.shape[ROWS]:
            return
        self._waiting.append(np.asarray(rows, dtype=self.dtype))
        self._next_row += rows.shape[ROWS]
        self._flush(self._next_row if self._next_row == self.shape[ROWS] else self._next_row // CHUNK * CHUNK)

    def _flush(self, end: int) -> None:
        """Bring rows [done_rows, end) to disk, then say so in the ledger."""
        if end <= self.done_rows:
            return
        rows = np.concatenate(self._waiting, axis=ROWS)
        count = end - self.done_rows
        self._array[..., self.done_rows : end, :] = rows[..., :count, :]
        self._waiting = [rows[..., count:, :]]
        self.done_rows = end
        write_sealed(self._ledger, {"key": self.key, "rows": end})

    def finish(self) -> None:
        """Give the map its name.

        Raises:
            ValueError: rows are missing.
        """
        if self._is_finished:
            return
        if self.done_rows != self.shape[ROWS]:
            raise ValueError(f"{self.path}: only {self.done_rows} of {self.shape[ROWS]} rows were written")
        if self._array is None:
            self._begin()
        if not self._is_finished:
            manifest.seal(self._aside)
            remove(self.path)
            self._aside.rename(self.path)
            remove(self._ledger)
            self._is_finished = True
        self._lock.give_up()
