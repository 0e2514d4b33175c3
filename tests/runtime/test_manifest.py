"""Damage of what is stored is found when it is read back: lost chunks, flipped bits, edits; what is whole is read as ever."""

import json
import os
import random
import shutil
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import zarr

from scroll.errors import InputError, UnreadableError
from scroll.inference.current_weights import check_weights
from scroll.inference.prediction_store import CHUNK, RowWriter, is_finished, open_map
from scroll.inference.read_back import read_back, strike_out
from scroll.runtime import manifest
from scroll.runtime.files import kept_json, read_json, read_sealed, write_json, write_sealed, written_aside
from scroll.runtime.manifest import is_signed, signature
from scroll.runtime.receipt import check_holdings, file_hash, is_current, key_of, read_receipt, write_receipt
from scroll.volumes import open_volume
from scroll.volumes.ome_zarr import add_empty_levels, create_ome_zarr, open_array
from scroll.volumes.volume_key import volume_key
from stage1_3d.segments.tile_maps import TileMaps

SHAPE = (1, 2 * CHUNK, CHUNK + 30)
FLIPS = 60  # of each kind
VALUES = np.random.default_rng(0).random(SHAPE).astype(np.float16)
VALUES[:, :CHUNK, CHUNK:] = 0  # a chunk that is all 0 is not stored, and not missed


def written(path: Path, stop: int = SHAPE[1]) -> RowWriter:
    writer = RowWriter(path, "key", SHAPE, 7.91, "cyx")
    if writer.done_rows < stop:
        writer.write(writer.done_rows, VALUES[:, writer.done_rows : stop].astype(np.float32))
    if stop == SHAPE[1]:
        writer.finish()
    return writer


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flipped(path: Path, draw: random.Random) -> bytes:
    """Flip one bit of a file; returns what it held."""
    content = path.read_bytes()
    bad = bytearray(content)
    bad[draw.randrange(len(bad))] ^= 1 << draw.randrange(8)
    path.write_bytes(bad)
    return content


def read(path: Path) -> np.ndarray | None:
    try:
        return np.asarray(open_map(path, "")[:])
    except InputError as error:
        assert "\n" not in str(error) and str(path.parent) in str(error)
        return None


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "flat.zarr"
    written(path)
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "flat.zarr"))


def test_a_whole_map_is_read_wherever_it_was_copied_and_others_read_it_without_a_warning(path):
    np.testing.assert_array_equal(read(path), VALUES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open_group(path, mode="r")
        np.testing.assert_array_equal(group["0"][:], VALUES)
        assert [name for name, _ in group.members()] == ["0"]


def test_no_flipped_bit_in_any_file_of_a_map_is_used(path):
    draw, files = random.Random(0), files_of(path)
    assert {".zattrs", ".zgroup", ".zarray", ".checksums.json"} <= {file.name for file in files}
    for number in range(FLIPS):
        file = files[number % len(files)]
        content = flipped(file, draw)
        found = read(path)
        assert found is None or np.array_equal(found, VALUES), file
        file.write_bytes(content)


@pytest.mark.parametrize("name", ["0/0/1/0", ".zattrs", "0/.zarray", manifest.MANIFEST])
def test_a_lost_file_is_damage_and_the_writer_begins_again(path, name):
    (path / name).unlink()
    with pytest.raises(InputError):
        np.asarray(open_map(path, "")[:])
    assert not is_finished(path, "key")
    written(path)
    np.testing.assert_array_equal(read(path), VALUES)


@pytest.mark.parametrize("kept", [0, 100])
def test_a_map_with_an_emptied_or_cut_off_chunk_is_not_finished_though_nothing_was_read(path, kept):
    assert is_finished(path, "key")
    (path / "0/0/1/0").write_bytes((path / "0/0/1/0").read_bytes()[:kept])
    assert not is_finished(path, "key")


def test_a_chunk_that_appears_where_nothing_was_stored_is_damage(path):
    assert not (path / "0/0/0/1").exists()
    shutil.copy(path / "0/0/1/1", path / "0/0/0/1")
    with pytest.raises(UnreadableError, match="0/0/0/1: was not there when this was written"):
        open_map(path, "")[:]


def test_damage_is_found_by_whoever_reads_the_zarr(tmp_path):
    create_ome_zarr(tmp_path / "a.zarr", (8, 8, 8), "u1", (8, 8, 8), 7.91)
    manifest.begin(tmp_path / "a.zarr")
    open_array(tmp_path / "a.zarr", mode="r+")[:] = 7
    manifest.seal(tmp_path / "a.zarr")
    assert (open_volume(tmp_path / "a.zarr")[:] == 7).all()
    (tmp_path / "a.zarr/0/0/0/0").unlink()
    with pytest.raises(UnreadableError, match="0/0/0/0: is lost"):
        open_volume(tmp_path / "a.zarr")[:]


def test_what_was_damaged_before_a_killed_writer_went_on_is_found_afterwards(tmp_path):
    written(tmp_path / "flat.zarr", CHUNK + 9)
    flipped(tmp_path / ".flat.zarr.part/0/0/0/0", random.Random(1))
    assert written(tmp_path / "flat.zarr").done_rows == SHAPE[1]
    with pytest.raises(UnreadableError, match="0/0/0/0: is damaged"):
        open_map(tmp_path / "flat.zarr", "")[:]


def test_a_half_written_map_that_lost_a_chunk_is_begun_again(tmp_path):
    written(tmp_path / "flat.zarr", CHUNK + 9)
    (tmp_path / ".flat.zarr.part/0/0/0/0").unlink()
    assert RowWriter(tmp_path / "flat.zarr", "key", SHAPE, 7.91, "cyx").done_rows == 0
    written(tmp_path / "flat.zarr")
    np.testing.assert_array_equal(read(tmp_path / "flat.zarr"), VALUES)


def test_a_half_written_map_whose_metadata_was_changed_is_begun_again(tmp_path):
    written(tmp_path / "flat.zarr", CHUNK + 9)
    metadata = tmp_path / ".flat.zarr.part/0/.zarray"
    metadata.write_text(metadata.read_text().replace('"clevel": ', '"clevel": null, "was": '))
    assert RowWriter(tmp_path / "flat.zarr", "key", SHAPE, 7.91, "cyx").done_rows == 0
    written(tmp_path / "flat.zarr")
    np.testing.assert_array_equal(read(tmp_path / "flat.zarr"), VALUES)


def test_a_map_of_before_there_were_checksums_is_read(path):
    for name in (manifest.MANIFEST, "0/.zattrs"):
        (path / name).unlink()
    (path / "0/.zattrs").write_text(json.dumps({"made_with": "key"}))
    np.testing.assert_array_equal(read(path), VALUES)
    assert is_finished(path, "key")


def test_tiles_in_any_order_make_maps_that_are_checked(tmp_path):
    maps = TileMaps(tmp_path, "key", (1, 2, 256, 256), 7.91, 1)
    tile = np.random.default_rng(1).random((1, 2, 128, 128), np.float32)
    for at in ((128, 128), (0, 0)):
        maps.write(at, tile, tile[:, 0])
    maps.finish()
    assert not list(manifest.damaged(tmp_path / "flat.zarr")) and is_finished(tmp_path / "coverage.zarr", "key")
    flipped(tmp_path / "flat.zarr/0/0/0/1/1", random.Random(0))
    with pytest.raises(UnreadableError):
        open_map(tmp_path / "flat.zarr", "")[:]


def test_no_flipped_bit_and_no_edit_of_a_sealed_json_is_used(tmp_path):
    path, draw = tmp_path / "fit.json", random.Random(0)
    content = {"weights": {"a": 0.25, "b": 0.75}, "text": "ink", "list": [1, None, 1e-7]}
    write_sealed(path, content)
    assert read_json(path) == content
    for _ in range(FLIPS):
        kept = flipped(path, draw)
        try:
            assert {name: value for name, value in read_json(path).items() if name in content} == content
        except InputError as error:
            assert "\n" not in str(error)
        path.write_bytes(kept)
    path.write_text(path.read_text().replace("0.75", "0.70"))
    with pytest.raises(InputError, match=r"fit\.json: was changed since .*delete it and run the step .*\(make it\)"):
        read_sealed(path, "make it")
    assert kept_json(path, "fitted") == {}


def test_a_json_of_before_there_were_checksums_is_read_and_said_once(tmp_path, capsys):
    from scroll.runtime.files import _say

    _say.cache_clear()
    for name in ("a.json", "b.json"):
        write_json(tmp_path / name, {"key": "k"})
        assert read_sealed(tmp_path / name) == {"key": "k"}
    assert capsys.readouterr().out.count("cannot be verified") == 1


def test_no_flipped_bit_of_a_signed_file_passes(tmp_path):
    path, draw = tmp_path / "resume.pt", random.Random(0)
    path.write_bytes(draw.randbytes(5000) + signature(b""))
    path.write_bytes(path.read_bytes()[:5000] + signature(path.read_bytes()[:5000]))
    assert is_signed(path)
    for _ in range(FLIPS):
        kept = flipped(path, draw)
        with suppress(ValueError):  # a bit of the mark itself: taken for a file of before
            assert not is_signed(path) and path.read_bytes()[:5000] == kept[:5000]
        path.write_bytes(kept)


def run_folder(folder: Path) -> Path:
    """As a run leaves it: a training, a prediction, sheets, a fit and a state."""
    (folder / "stage1/a/fold0").mkdir(parents=True)
    (folder / "stage1/a/fold0/weights.safetensors").write_bytes(random.Random(0).randbytes(999))
    weights = file_hash(folder / "stage1/a/fold0/weights.safetensors")
    write_receipt(folder / "stage1/a/fold0", "key", weights=weights)
    written(folder / "stage1/a/oof/f/flat.zarr")
    write_receipt(folder / "stage1/a/oof/f", "key")
    written(folder / "sheets/oof/c/sheet-001/flat.zarr")
    (folder / "sheets/oof/c/sheet-001/x.tif").write_bytes(random.Random(1).randbytes(999))
    write_receipt(folder / "sheets/oof/c", "key")
    write_sealed(folder / "ensemble/fit.json", {"weights": {"a": 1.0}})
    (folder / "stage2/fold0").mkdir(parents=True)
    (folder / "stage2/fold0/resume.pt").write_bytes(b"state" * 99 + signature(b"state" * 99))
    return folder


DAMAGED = {  # file -> thing that is named
    "stage1/a/fold0/weights.safetensors": "stage1/a/fold0/weights.safetensors",
    "stage1/a/oof/f/flat.zarr/0/0/1/0": "stage1/a/oof/f/flat.zarr",
    "sheets/oof/c/sheet-001/x.tif": "sheets/oof/c/sheet-001/x.tif",
    "ensemble/fit.json": "ensemble/fit.json",
    "stage2/fold0/resume.pt": "stage2/fold0/resume.pt",
}


def test_everything_that_a_run_left_is_looked_at_and_only_what_is_damaged_is_named(tmp_path):
    run = run_folder(tmp_path / "run")
    assert [one for one in read_back(run) if one.why is not None or not one.is_known] == []
    for name, thing in DAMAGED.items():
        content = (run / name).read_bytes()
        (run / name).write_bytes(
            content[:200] + bytes([content[200] ^ 1]) + content[201:] if len(content) > 200 else b"{}{"
        )
        assert [str(one.path.relative_to(run)) for one in read_back(run) if one.why is not None] == [thing]
        (run / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "of"),
    [("stage1/a/oof/f/flat.zarr/0/0/1/0", "stage1/a/oof/f"), ("sheets/oof/c/sheet-001/x.tif", "sheets/oof/c")],
)
def test_what_is_struck_out_is_not_current_any_more_and_all_else_is(tmp_path, name, of):
    run = run_folder(tmp_path / "run")
    flipped(run / name, random.Random(0))
    (found,) = [one for one in read_back(run) if one.why is not None]
    assert is_current(run / of, "key"), "a flipped bit is found where it is read"
    strike_out(found)
    current = {str(path.parent.relative_to(run)): is_current(path.parent, "key") for path in run.rglob("receipt.json")}
    assert [folder for folder, is_so in current.items() if not is_so] == [of]


def test_a_sheet_whose_surface_was_changed_is_refused_and_one_that_lost_its_map_is_not_current(tmp_path):
    sheets = run_folder(tmp_path / "run") / "sheets/oof/c"
    flipped(sheets / "sheet-001/x.tif", random.Random(0))
    with pytest.raises(InputError, match=r"x\.tif: is lost or damaged .*make it"):
        check_holdings(sheets, read_receipt(sheets, ""), "make it")
    shutil.rmtree(sheets / "sheet-001/flat.zarr")
    assert not is_current(sheets, "key")


def test_a_copied_run_is_checked_against_the_weights_that_travelled_with_it(tmp_path):
    run = run_folder(tmp_path / "run")
    weights = run / "stage1/a/fold0/weights.safetensors"
    receipt = {"weights": {str(weights): file_hash(weights)}}
    copied = Path(shutil.copytree(run, tmp_path / "elsewhere"))
    weights.write_bytes(b"trained again")
    check_weights(copied / "stage1/a/oof/f", receipt, "predict it again")
    with pytest.raises(InputError, match=r"other weights than those in .*run/stage1/a/fold0"):
        check_weights(run / "stage1/a/oof/f", receipt, "predict it again")
    (copied / "stage1/a/fold0/weights.safetensors").write_bytes(b"others")
    with pytest.raises(InputError, match="elsewhere/stage1/a/fold0"):
        check_weights(copied / "stage1/a/oof/f", receipt, "predict it again")


def test_a_volume_is_known_by_some_of_its_chunks_and_not_by_its_place_or_times(tmp_path):
    (tmp_path / "a").mkdir()
    create_ome_zarr(tmp_path / "a/ct.zarr", (8, 32, 32), "u1", (8, 8, 8), 7.91)[:] = 7
    key = volume_key(str(tmp_path / "a/ct.zarr"))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for file in files_of(tmp_path / "b"):
        os.utime(file, ns=(1, 1))
    assert str(volume_key(str(tmp_path / "b/ct.zarr"))) == str(key)
    flipped(tmp_path / "b/ct.zarr/0/0/3/3", random.Random(0))
    assert volume_key(str(tmp_path / "b/ct.zarr")) != key
    metadata = {name: file_hash(tmp_path / "a/ct.zarr" / name) for name in (".zattrs", ".zgroup", "0/.zarray")}
    assert key == key_of([str(tmp_path / "a/ct.zarr"), metadata]), "as it was known before"


@pytest.mark.parametrize("name", ["scan.zarr", "flat.zarr"])
def test_published_metadata_names_neither_machine_nor_process_nor_what_is_written_aside(tmp_path, name):
    written(tmp_path / "flat.zarr")
    with written_aside(tmp_path / "scan.zarr") as aside:
        create_ome_zarr(aside, (4, 4, 4), "u1", (4, 4, 4), 7.91)
        add_empty_levels(aside, 2)
    assert json.loads((tmp_path / name / ".zattrs").read_text())["multiscales"][0]["name"] == name.removesuffix(".zarr")
    text = b"".join(file.read_bytes() for file in files_of(tmp_path / name) if file.name.startswith("."))
    assert b".part" not in text and str(tmp_path).encode() not in text


def test_the_same_map_written_twice_is_the_same_bytes(tmp_path):
    for place in ("a", "b"):
        written(tmp_path / place / "flat.zarr")
    first, second = (
        {file.relative_to(tmp_path / place): file.read_bytes() for file in files_of(tmp_path / place)} for place in "ab"
    )
    assert first == second
