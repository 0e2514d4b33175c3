"""Maps on disk: rows in order, whole or not there, and a killed writer's rows are not written twice."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scroll.errors import MissingInputError
from scroll.inference.prediction_store import CHUNK, RowWriter, open_map

HEIGHT = 2 * CHUNK + 50
VALUES = np.random.default_rng(0).random((1, HEIGHT, 9)).astype(np.float16)


def writer_at(folder, key: str = "key") -> RowWriter:
    return RowWriter(folder / "prob.zarr", key, VALUES.shape, 7.91, "cyx")


def write_from(writer: RowWriter, stop: int, step: int = 30) -> None:
    for row in range(writer.done_rows, stop, step):
        writer.write(row, VALUES[:, row : min(row + step, stop)].astype(np.float32))


def stored(folder) -> np.ndarray:
    return np.asarray(open_map(folder / "prob.zarr", "make it")[:])


@settings(max_examples=15)
@given(st.lists(st.integers(1, 150), min_size=1, max_size=4), st.lists(st.integers(0, HEIGHT), max_size=2))
def test_however_often_it_is_killed_the_map_is_the_same(tmp_path_factory, steps, kills):
    folder = tmp_path_factory.mktemp("map")
    for number, kill in enumerate(kills):
        writer = writer_at(folder)
        write_from(writer, max(kill, writer.done_rows), steps[number % len(steps)])  # and dropped, as by a kill
        assert not (folder / "prob.zarr").exists()
    writer = writer_at(folder)
    write_from(writer, HEIGHT, steps[-1])
    writer.finish()
    np.testing.assert_array_equal(stored(folder), VALUES)
    assert [path.name for path in folder.iterdir()] == ["prob.zarr"]


def test_it_goes_on_at_the_last_whole_chunk_and_reads_no_row_twice(tmp_path):
    write_from(writer_at(tmp_path), CHUNK + 40)
    assert writer_at(tmp_path).done_rows == CHUNK


def test_another_key_starts_anew(tmp_path):
    first = writer_at(tmp_path)
    first.write(0, np.ones((1, CHUNK, 9), np.float32))
    second = writer_at(tmp_path, "another")
    assert second.done_rows == 0
    write_from(second, HEIGHT)
    second.finish()
    np.testing.assert_array_equal(stored(tmp_path), VALUES)


def test_a_finished_map_is_not_written_again_unless_the_key_changed(tmp_path):
    writer = writer_at(tmp_path)
    write_from(writer, HEIGHT)
    writer.finish()
    again = writer_at(tmp_path)
    assert again.done_rows == HEIGHT
    again.finish()
    np.testing.assert_array_equal(stored(tmp_path), VALUES)
    assert writer_at(tmp_path, "another").done_rows == 0
    np.testing.assert_array_equal(stored(tmp_path), VALUES)  # the old one stays until the new one is whole


def test_killed_between_the_last_row_and_the_renaming_nothing_is_done_twice(tmp_path):
    write_from(writer_at(tmp_path), HEIGHT)
    writer = writer_at(tmp_path)
    assert writer.done_rows == HEIGHT
    writer.finish()
    np.testing.assert_array_equal(stored(tmp_path), VALUES)


def test_rows_that_reached_the_disk_but_not_the_ledger_are_written_again(tmp_path):
    write_from(writer_at(tmp_path), 2 * CHUNK)
    ledger = tmp_path / ".prob.zarr.rows.part"
    ledger.write_text(json.dumps({"key": "key", "rows": CHUNK}))
    writer = writer_at(tmp_path)
    assert writer.done_rows == CHUNK
    write_from(writer, HEIGHT)
    writer.finish()
    np.testing.assert_array_equal(stored(tmp_path), VALUES)


@pytest.mark.parametrize("row", [1, 60, -1])
def test_rows_out_of_order_are_refused(tmp_path, row):
    writer = writer_at(tmp_path)
    writer.write(0, VALUES[:, :30])
    with pytest.raises(ValueError, match=f"expected 30, got {row}"):
        writer.write(row, VALUES[:, :30])


def test_finishing_before_the_end_is_refused_and_leaves_no_map(tmp_path):
    writer = writer_at(tmp_path)
    write_from(writer, HEIGHT - 1)
    with pytest.raises(ValueError, match=f"only {2 * CHUNK} of {HEIGHT} rows"):
        writer.finish()
    assert not (tmp_path / "prob.zarr").exists()


def test_a_map_that_is_not_there_says_how_to_make_it(tmp_path):
    with pytest.raises(MissingInputError, match=r"prob\.zarr: not there; run 'make stage1'"):
        open_map(tmp_path / "prob.zarr", "run 'make stage1'")
