"""Receipts: the same inputs give the same key everywhere, any change gives another, and damage is one line."""

import os
import pickle
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scroll.errors import InputError, MissingInputError
from scroll.runtime.content import WHOLE_BYTES
from scroll.runtime.files import write_json
from scroll.runtime.receipt import (
    NAME,
    _hash_of_json,
    file_hash,
    fingerprint,
    is_current,
    key_of,
    read_receipt,
    write_receipt,
)

ROOT = Path(__file__).parents[2]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(), values, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_a_mapping_does_not_change_its_key(content, random):
    shuffled = list(content.items())
    random.shuffle(shuffled)
    assert key_of(dict(shuffled)) == key_of(content)


@given(values, values)
def test_different_contents_have_different_keys(first, second):
    assert (key_of(first) == key_of(second)) == (repr(first) == repr(second)) or first == second


def test_a_key_is_the_same_in_another_process():
    content = {"b": [1, 2.5], "a": Path("x/y")}
    code = "from pathlib import Path; from scroll.runtime.receipt import key_of; print(key_of({'a': Path('x/y'), 'b': [1, 2.5]}))"
    there = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == key_of(content)


def source_at(tmp_path: Path) -> Path:
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "sub" / "small").write_bytes(b"one")
    (tmp_path / "data" / "large").write_bytes(random.Random(0).randbytes(2 * WHOLE_BYTES))
    return tmp_path / "data"


def test_a_fingerprint_changes_with_names_and_contents_and_neither_with_times_nor_with_the_place(tmp_path):
    folder = source_at(tmp_path)
    small, large = folder / "sub" / "small", folder / "large"
    seen = {str(fingerprint(folder))}
    os.utime(small, ns=(1, 1))
    seen.add(str(fingerprint(folder)))
    (tmp_path / "elsewhere").mkdir()
    seen.add(str(fingerprint(Path(shutil.copytree(folder, tmp_path / "elsewhere" / "data")))))
    assert len(seen) == 1
    stat = large.stat()
    large.write_bytes(random.Random(1).randbytes(stat.st_size))  # another layer, of the same size and time
    os.utime(large, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    seen.add(str(fingerprint(folder)))
    small.write_bytes(b"two")
    seen.add(str(fingerprint(folder)))
    small.rename(folder / "small")
    seen.add(str(fingerprint(folder)))
    assert len(seen) == 4


def test_a_receipt_of_when_sources_were_known_by_their_times_stays_current_while_they_fit(tmp_path):
    folder = source_at(tmp_path)
    key = key_of([key_of([fingerprint(folder), {"depth": 3}]), ["weights"]])
    times = [
        [f"data/{name}", (state := (folder / name).stat()).st_size, state.st_mtime_ns]
        for name in ("large", "sub/small")
    ]
    old = _hash_of_json([_hash_of_json([_hash_of_json(times), {"depth": 3}]), ["weights"]])
    assert old != str(key)
    write_json(tmp_path / NAME, {"key": old})
    assert (
        is_current(tmp_path, key)
        and read_receipt(tmp_path, "")["key"] == key
        and pickle.loads(pickle.dumps(key)) == old
    )
    os.utime(folder / "large", ns=(1, 1))
    assert not is_current(tmp_path, key_of([key_of([fingerprint(folder), {"depth": 3}]), ["weights"]]))


def test_a_folder_is_current_for_its_own_key_only(tmp_path):
    assert not is_current(tmp_path, "k")
    write_receipt(tmp_path, "k", steps=3)
    assert is_current(tmp_path, "k") and not is_current(tmp_path, "other")
    assert read_receipt(tmp_path, "train")["steps"] == 3


def test_a_missing_receipt_says_how_to_make_it(tmp_path):
    with pytest.raises(MissingInputError, match=r"receipt\.json: not there; run 'make stage1'"):
        read_receipt(tmp_path, "run 'make stage1'")


@pytest.mark.parametrize("content", ["{", "[]", "{}", "3"])
def test_a_damaged_receipt_is_one_line(tmp_path, content):
    (tmp_path / NAME).write_text(content)
    for read in (lambda: read_receipt(tmp_path, "train"), lambda: is_current(tmp_path, "k")):
        with pytest.raises(InputError, match=r"receipt\.json"):
            read()


def test_the_hash_of_a_file_is_sha_256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_hash(tmp_path / "a") == "ba7816bf8f01cfea"
