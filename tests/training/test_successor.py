"""A finished training stays usable until the next one is finished; what changed is said first."""

import dataclasses
import shutil
from pathlib import Path

import pytest
from tiny_task import tiny_task, training

from scroll.errors import InputError
from scroll.runtime.files import read_json
from scroll.training.checkpoint import trained_weights
from scroll.training.loop import fit
from scroll.training.successor import NEXT, changed_since, take_over


def task_of(folder: Path, key: str, settings=None, **points):
    settings = settings or training()
    made_with = {
        "axes": "x",
        "settings": {"training": settings.model_dump(mode="json")},
        "data": {"1": f"hash of {key}"},
    }
    return dataclasses.replace(tiny_task(folder, key, **points), made_with=made_with)


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    fit(task_of(folder, "old"), training())
    return folder


@pytest.fixture
def finished(trained, tmp_path) -> Path:
    shutil.copytree(trained, tmp_path / "fold0")
    return tmp_path / "fold0"


def test_it_stays_in_use_while_another_is_trained_and_says_first_what_changed(finished, capsys):
    before, settings = content(finished), training(learning_rate=0.1, checkpoint_every=2)
    with pytest.raises(InputError):
        fit(task_of(finished, "new", settings, broken_from=4 * 6), settings)
    assert trained_weights(finished, "") == finished / "weights.safetensors" and content(finished) == before
    message = capsys.readouterr().out
    assert "settings.training.learning_rate was 0.003, is 0.1; data.1 changed since it was trained" in message
    assert "checkpoint_every" not in message
    fit(task_of(finished, "old"), training())  # the settings of before are as good as ever
    assert "already trained" in capsys.readouterr().out and content(finished) == before


def test_stopped_and_started_again_aside_it_ends_in_the_same_bits_and_takes_the_place(finished, tmp_path, capsys):
    settings = training(learning_rate=0.1)
    with pytest.raises(InputError):
        fit(task_of(finished, "new", settings, broken_from=4 * 8), settings)
    fit(task_of(finished, "new", settings), settings)
    assert "goes on at step 5" in capsys.readouterr().out
    fit(task_of(tmp_path / "undisturbed", "new", settings), settings)
    assert {p.name for p in finished.iterdir()} == {p.name for p in (tmp_path / "undisturbed").iterdir()}
    name = "weights.safetensors"
    assert (finished / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()
    assert read_json(finished / "receipt.json")["key"] == "new" and trained_weights(finished, "")


@pytest.mark.parametrize("moved", [(), ("history.jsonl",), ("history.jsonl", "weights.safetensors")])
def test_killed_while_it_takes_the_place_the_next_call_does_the_rest(finished, tmp_path, moved):
    settings = training(learning_rate=0.1)
    fit(task_of(tmp_path / "other", "new", settings), settings)
    shutil.copytree(tmp_path / "other", finished / NEXT)
    (finished / NEXT / "resume.pt").touch()
    for name in moved:
        (finished / NEXT / name).replace(finished / name)
    take_over(finished)
    assert content(finished) == content(tmp_path / "other") and not (finished / NEXT).exists()


def test_damaged_weights_are_trained_again_and_said_so(finished, capsys):
    before, path = content(finished), finished / "weights.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 1
    path.write_bytes(damaged)
    fit(task_of(finished, "old"), training())
    assert "is not the file that receipt.json speaks of: it is trained again" in capsys.readouterr().out
    assert path.read_bytes() == before[path.name] and trained_weights(finished, "")
    fit(task_of(finished, "old"), training())
    assert "already trained" in capsys.readouterr().out


def test_a_receipt_that_says_less_is_read_too():
    settings = training()
    assert changed_since({"key": "k"}, {"seed": 3}, settings) == ["seed was None, is 3"]
    assert changed_since({"key": "k"}, {}, settings) == []
