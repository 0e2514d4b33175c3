"""A sheet that was looked at is not looked at again, as long as it, the training and the settings are the same."""

import json
from pathlib import Path

import pytest

from ensemble.preflight import checked
from scroll.config.schema import Settings
from scroll.data.fragments import Fragment
from scroll.phantom.fragment import draw_fragment
from scroll.phantom.settings import fragment_settings
from scroll.phantom.write import write_fragment
from scroll.preflight.training_span import training_reference
from scroll.runtime.files import write_sealed

MARK = "as the file says"


@pytest.fixture(scope="module")
def drawn():
    return [draw_fragment(fragment_settings("default", (65, 384, 384)), seed) for seed in (1, 2, 3)]


@pytest.fixture
def looked_at(drawn, tmp_path):
    """(settings, fragment, reference, output), and how the fragment lies after a first look."""
    reference = training_reference([(one.volume, one.mask, str(n)) for n, one in enumerate(drawn[:2])])
    write_fragment(drawn[2], tmp_path / "new")
    settings = Settings.model_validate(
        {
            "run_dir": tmp_path / "run",
            "data": {"cache_dir": tmp_path / "cache"},
            "stage1": {"members": {"a": {"network": "cnn3d"}}},
        }
    )
    asked = settings, Fragment("new", tmp_path / "new", settings.data), {"key": "k", **reference}, tmp_path / "out"
    return asked, checked(*asked)


def note_of(asked) -> Path:
    return asked[3] / "new" / "preflight.json"


def mark(asked) -> None:
    """Make what was found tell whether it was read."""
    content = json.loads(note_of(asked).read_text())
    del content["checksum"]
    write_sealed(note_of(asked), content | {"why": MARK})


def test_the_same_is_read_and_says_the_same(looked_at, capsys):
    asked, first = looked_at
    before = note_of(asked).read_bytes()
    capsys.readouterr()
    assert checked(*asked) == first
    assert note_of(asked).read_bytes() == before
    mark(asked)
    checked(*asked)
    assert MARK in capsys.readouterr().out


@pytest.mark.parametrize("what", ["sheet", "reference", "settings"])
def test_anything_else_is_looked_at(looked_at, drawn, capsys, what):
    (settings, fragment, reference, output), _ = looked_at
    mark(looked_at[0])
    if what == "sheet":
        write_fragment(drawn[1], fragment.folder)
        fragment = Fragment("new", fragment.folder, settings.data)
    if what == "reference":
        other = training_reference([(drawn[1].volume, drawn[1].mask, "b")])
        reference = {"key": "k", **other}
    if what == "settings":
        settings = settings.model_copy(update={"preflight": settings.preflight.model_copy(update={"mode": "warn"})})
    checked(settings, fragment, reference, output)
    assert MARK not in capsys.readouterr().out


@pytest.mark.parametrize("damage", [b"{", b'{"key": 3}', None])
def test_what_is_damaged_is_looked_at_again(looked_at, capsys, damage):
    asked, first = looked_at
    whole = note_of(asked).read_bytes()
    changed = whole.replace(b'"is_flipped": false', b'"is_flipped": true', 1)
    assert changed != whole
    note_of(asked).write_bytes(damage or changed)
    assert checked(*asked) == first
    assert note_of(asked).read_bytes() == whole
    if damage != b'{"key": 3}':
        assert "the sheet is looked at again" in capsys.readouterr().out
