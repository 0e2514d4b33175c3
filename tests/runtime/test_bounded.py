"""Files that unpack to far more than they can mean are refused by what their headers say, and never unpacked beyond that."""

import io
import itertools
import tracemalloc
import zipfile

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from ensemble.commands import score
from ensemble.ink.submission import submission_problems
from ensemble.surface.mask_tiff import tiff_faults
from ensemble.surface.submission import check_submission_zip, mask_tiff_bytes
from scroll.config.reader import load_settings
from scroll.config.yaml_text import read_yaml
from scroll.errors import InputError
from scroll.report import curves
from scroll.runtime.bounded import MOST_JSON_BYTES, MOST_YAML_BYTES, read_entry
from scroll.runtime.files import read_json
from scroll.runtime.output_folder import read_mark
from scroll.surfaces.mesh import LONGEST_LINE, read_mesh
from scroll.volumes import npy, open_volume
from tests.peak_memory import peak_bytes_until_refused, with_peak_bytes

SHAPE = (2, 8, 8)
MASK = np.indices(SHAPE).sum(axis=0) % 2 == 0


@pytest.fixture
def few_bytes():
    """Fails where more than 64 MiB are taken at once."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 2**20


def bomb(path, name, size=2**28):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive, archive.open(name, "w") as entry:
        for _ in range(size // 2**24):
            entry.write(bytes(2**24))
    return path


def sparse(path, size):
    """A file of that many zeros that takes no room."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_a_submission_that_unpacks_to_more_than_its_cubes_is_not_unpacked(tmp_path, few_bytes):
    (line,) = check_submission_zip(bomb(tmp_path / "submission.zip", "1.tif"), {"1": SHAPE})
    assert line.startswith(f"1.tif unpacks to {2**28} bytes; expected at most ")


def test_a_zip_to_score_is_unpacked_no_further_than_its_label_allows(tmp_path, few_bytes):
    label = tmp_path / "1.tif"
    label.write_bytes(mask_tiff_bytes(MASK, "1"))
    submission = bomb(tmp_path / "submission.zip", "1.tif")
    with pytest.raises(InputError, match=r"submission\.zip: 1\.tif unpacks to \d+ bytes; expected at most"):
        score.match(submission, label, tmp_path, None)
    with pytest.raises(InputError, match=r"no label for 1 of 1 predictions"):  # seen before anything is unpacked
        (tmp_path / "labels").mkdir()
        label.rename(tmp_path / "labels/2.tif")
        score.match(submission, tmp_path / "labels", tmp_path, None)


def test_a_zip_whose_directory_says_less_than_it_unpacks_to_is_read_no_further(tmp_path, few_bytes):
    path = bomb(tmp_path / "b.zip", "1.tif")
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("1.tif")
        entry.file_size = 100
        with pytest.raises((zipfile.BadZipFile, InputError)):
            read_entry(archive, entry, 1000)


def test_a_page_larger_than_the_cube_is_not_decoded(few_bytes):
    content = io.BytesIO()
    Image.new("L", (12_000, 12_000)).save(content, format="TIFF", compression="tiff_deflate")
    faults, _ = tiff_faults(content.getvalue(), SHAPE)
    assert faults == ["is a single page of (12000, 12000) (y, x); expected (2, 8, 8) (z, y, x), one page a layer"]


def test_a_mask_whose_header_mirrors_it_is_refused_by_the_score_and_by_the_checker(tmp_path):
    path = tmp_path / "1.tif"
    turned = {"photometric": "minisblack", "metadata": None, "extratags": [(274, "H", 1, 2, False)]}
    tifffile.imwrite(path, MASK.astype(np.uint8), **turned)
    faults, _ = tiff_faults(path.read_bytes(), SHAPE)
    assert faults == ["has a page 0 that its header turns or mirrors, as are 1 more; write it upright"]
    with pytest.raises(InputError, match="turns or mirrors"):
        score.score_pair(score.Pair("1", path, path, None))


@pytest.mark.parametrize(
    ("values", "is_mask"), [([0, 1], 1), ([0, 255], 1), ([0, 254], 0), ([1, 255], 0), ([0, 0.5], 0)]
)
def test_a_prediction_is_scored_only_if_it_is_a_mask(tmp_path, values, is_mask):
    label, pred = tmp_path / "label.npy", tmp_path / "pred.npy"
    np.save(label, MASK.astype(np.uint8))
    np.save(pred, np.where(MASK, *values[::-1]))
    pair = score.Pair("1", pred, label, None)
    if is_mask:
        assert score.score_pair(pair).score.score == 1
    else:
        with pytest.raises(InputError, match=r"pred\.npy: holds values .* threshold it"):
            score.score_pair(pair)


def header_of(shape) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return content.getvalue()


def test_an_npz_is_unpacked_only_if_it_is_what_its_headers_say(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    for shape, message in (((9000, 9000, 9000), "takes 729000000"), ((1, 2, 3), r"takes 134 bytes, 138 are packed")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("volume.npy", header_of(shape) + bytes(10))
        with pytest.raises(InputError, match=message):
            open_volume(path)
    np.savez_compressed(path, other=np.zeros(2**26, np.uint8), one=np.ones(SHAPE))
    one, peak = with_peak_bytes(lambda: open_volume(path)[...])
    np.testing.assert_array_equal(one, np.ones(SHAPE))
    assert peak < 2**24  # the other stays packed
    monkeypatch.setattr(npy, "MOST_BYTES", 100)
    with pytest.raises(InputError, match="at most 100"):
        open_volume(path)


@pytest.mark.parametrize(
    "lines", [b"v 1 2 3" + b" " * 2**24, b"f" + b" 1/1" * 2**20, b"# " + b"x" * 2**24, (b"1 " * 500 + b"\\\n") * 1100]
)
def test_a_line_of_a_mesh_is_read_only_so_far(tmp_path, lines):
    (tmp_path / "a.obj").write_bytes(lines + b"\nf 1 1 1\n")
    peak = peak_bytes_until_refused(lambda: read_mesh(tmp_path / "a.obj"), rf"longer than {LONGEST_LINE} bytes")
    assert peak < 32 * 2**20


QUAD = "v 0 0 0\nv 8 0 0\nv 0 8 0\nv 8 8 0\nvt 0 0\nvt 1 0\nvt 0 1\nvt 1 1\n"
FACES = "f 1/1 2/2 \\\n 3/3\nf 2/2 4/4 3/3\n"


@pytest.mark.parametrize(
    "text", ["# C:\\", "o C:\\", "g a\\", "usemtl \\", "mtllib C:\\scans\\", "  # \\", "\ufeff# \\"]
)
def test_a_comment_or_a_name_is_never_continued_and_a_face_still_is(tmp_path, text):
    (tmp_path / "a.obj").write_text(f"{text}\n{QUAD}{text.lstrip(chr(0xFEFF))}\n{FACES}", encoding="utf-8")
    mesh = read_mesh(tmp_path / "a.obj")
    assert (len(mesh.vertices), len(mesh.uv), len(mesh.corners)) == (4, 4, 2)


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    (tmp_path / "a.obj").write_text("\ufeff" + QUAD + FACES, encoding="utf-8")
    assert len(read_mesh(tmp_path / "a.obj").vertices) == 4


def test_ten_million_runs_are_reported_without_a_line_for_each(tmp_path):
    path = tmp_path / "submission.csv"
    path.write_text("Id,Predicted\na," + "1 1 " * 20_000 + "\n")
    problems = submission_problems(path, {"a": (400, 500)})
    assert len(problems) == 1001 and "more than 1000 runs are wrong" in problems[-1]
    with pytest.raises(InputError, match=r"submission\.csv: is longer than \d+ bytes"):
        submission_problems(path, {"a": (3, 4)})


def test_runs_longer_than_a_piece_read_as_they_were_written():
    from ensemble.ink.submission import decode_runs, encode_runs

    mask = np.random.default_rng(0).random((700, 900)) > 0.5
    text = encode_runs(mask)
    assert len(text) > 2**20
    np.testing.assert_array_equal(decode_runs(text, mask.shape), mask)


def test_json_and_yaml_are_read_only_as_far_as_such_files_go(tmp_path, few_bytes):
    with pytest.raises(InputError, match="is longer than"):
        load_settings(sparse(tmp_path / "a.yaml", 2**30))
    assert MOST_YAML_BYTES < MOST_JSON_BYTES == 2**26
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="nested too deeply"):
        read_json(tmp_path / "deep.json")


def test_a_json_of_gigabytes_is_refused(tmp_path):
    with pytest.raises(InputError, match="is longer than"):
        read_json(sparse(tmp_path / "a.json", 2**34))


def multiplied(first: str, more: str) -> str:
    """Each of eight lines stands for eight of the one before it."""
    lines = [
        f"{now}: &{now} {more.format(', '.join([f'*{before}'] * 8))}" for before, now in itertools.pairwise("abcdefgh")
    ]
    return "\n".join([f"a: &a {first}", *lines])


BOMBS = [multiplied("[1, 1]", "[{}]"), multiplied("{x: 1}", "{{<<: [{}]}}"), "a: &a [*a]", "a: &a {b: *a}", "- " * 2000]


@pytest.mark.parametrize("text", BOMBS)
def test_yaml_that_multiplies_is_one_line(tmp_path, text):
    with pytest.raises(yaml.YAMLError):
        read_yaml(text)
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=r"a\.yaml: not readable as YAML") as caught:
        load_settings(tmp_path / "a.yaml")
    assert len(str(caught.value)) < 1000


def test_yaml_with_a_few_aliases_reads_as_ever():
    text = "a: &a {x: 1, y: [2, off]}\nb: {<<: *a, x: 3}\nc: [*a, *a]\n"
    assert read_yaml(text) == yaml.safe_load(text)
    assert read_yaml("") is None


def test_a_history_or_a_mark_of_another_size_than_any_has_is_read_no_further(tmp_path, few_bytes):
    (tmp_path / "fold0").mkdir()
    with pytest.raises(InputError, match=r"history\.jsonl: line 1 is longer than 1048576 bytes"):
        curves._read(sparse(tmp_path / "fold0/history.jsonl", 2**28))
    assert read_mark(sparse(tmp_path / "mark", 2**28)) == {}
