"""Files appear whole or not at all, whatever happens in between."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scroll.errors import InputError, MissingInputError
from scroll.runtime.command_line import run_command
from scroll.runtime.files import NODE, read_json, remove, write_json, write_text, written_aside


class Mishap(Exception):
    """Something that goes wrong in the middle of writing."""


def fill_folder(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / text).write_text(text)


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_failure_leaves_the_old_file_whole_and_no_part(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(Mishap), written_aside(tmp_path / "a.txt") as aside:
        aside.write_text("half of the n")
        raise Mishap
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "old"}


def test_the_name_is_given_only_at_the_end_and_folders_are_made(tmp_path):
    path = tmp_path / "deep" / "er" / "a.txt"
    with written_aside(path) as aside:
        aside.write_text("new")
        assert not path.exists()
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"] and path.read_text() == "new"


def test_a_folder_replaces_a_folder_whole(tmp_path):
    fill_folder(tmp_path / "map", "old")
    with written_aside(tmp_path / "map") as aside:
        fill_folder(aside, "new")
        assert [p.name for p in (tmp_path / "map").iterdir()] == ["old"]
    assert [p.name for p in tmp_path.rglob("*")] == ["map", "new"]


def test_a_failure_leaves_the_old_folder_whole_and_no_part(tmp_path):
    fill_folder(tmp_path / "map", "old")
    with pytest.raises(Mishap), written_aside(tmp_path / "map") as aside:
        fill_folder(aside, "new")
        raise Mishap
    assert [p.name for p in tmp_path.rglob("*")] == ["map", "old"]


def test_what_killed_processes_left_is_cleared_up_and_what_others_are_writing_is_not(tmp_path):
    names = {
        "killed": f".a.txt.{NODE}.{dead_process()}.part",
        "alive": f".a.txt.{NODE}.{os.getppid()}.part",
        "on another machine": f".a.txt.not-{NODE}.{dead_process()}.part",
        "another file": f".b.txt.{NODE}.{dead_process()}.part",
    }
    for name in names.values():
        (tmp_path / name).touch()
    write_text(tmp_path / "a.txt", "new")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a.txt", *names.values()} - {names["killed"]}


def test_a_folder_whose_replacing_was_killed_half_way_comes_back(tmp_path):
    fill_folder(tmp_path / f".map.{NODE}.old.{dead_process()}.part", "old")
    with pytest.raises(Mishap), written_aside(tmp_path / "map"):
        raise Mishap
    assert [p.name for p in tmp_path.rglob("*")] == ["map", "old"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_that_names_the_file(tmp_path, number):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(InputError) as caught, written_aside(tmp_path / "a.txt") as aside:
        aside.write_text("half")
        raise OSError(number, os.strerror(number))
    assert "a.txt: no space left" in str(caught.value) and "\n" not in str(caught.value)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "old"}


def test_another_error_of_the_system_stays_what_it_is(tmp_path):
    with pytest.raises(PermissionError), written_aside(tmp_path / "a.txt"):
        raise PermissionError(errno.EACCES, "no")


ON_A_TINY_DISK = """
import sys
from pathlib import Path
import torch
from scroll.training.checkpoint import save_state, save_weights
from scroll.errors import InputError
from scroll.runtime.files import write_text

disk, model = Path(sys.argv[1]), torch.nn.Linear(200, 200)  # 160 kB
writers = {
    "text": lambda path: write_text(path, "x" * 100_000),
    "weights": lambda path: save_weights(model, path, {}),
    "training state": lambda path: save_state(path, {"key": "k", "model": model.state_dict()}),
}
(disk / "result").write_text("old")
for kind, write in writers.items():
    try:
        write(disk / "result")
    except InputError as error:
        print(kind, {path.name: path.read_text() for path in disk.iterdir()}, error)
"""


def test_on_a_disk_that_is_really_full_every_writer_says_so_in_one_line(tmp_path):
    """The disk of 64 KiB is seen by this one process only, and goes with it."""
    own_mounts = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = 'mount -t tmpfs -o size=64k tmpfs "$0"'
    if not shutil.which("unshare") or subprocess.run([*own_mounts, mount, tmp_path], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    command = [*own_mounts, f'{mount} && exec "$1" -c "$2" "$0"', tmp_path, sys.executable, ON_A_TINY_DISK]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split(" {")[0] for line in lines] == ["text", "weights", "training state"]
    assert all("{'result': 'old'}" in line and "no space left" in line for line in lines)


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (InputError("a: wrong;\n mend it"), 2, "error: a: wrong; mend it\n"),
        (OSError(errno.ENOSPC, "No space left on device", "x.zarr/0"), 2, "No space left on device: 'x.zarr/0'; free"),
        (KeyboardInterrupt(), 130, "nothing is lost"),
    ],
)
def test_a_command_ends_in_one_line_and_a_code(capsys, raised, code, message):
    def main() -> None:
        raise raised

    with pytest.raises(SystemExit) as left:
        run_command(main)
    printed = capsys.readouterr().err
    assert left.value.code == code and message in printed and printed.count("\n") == 1


def test_a_command_that_fails_by_our_own_fault_shows_where(capsys):
    for fault in (FileNotFoundError("x"), ValueError("x")):

        def main(fault: Exception = fault) -> None:
            raise fault

        with pytest.raises(type(fault)):
            run_command(main)


def test_json_comes_back_as_it_went(tmp_path):
    content = {"name": "é", "rows": [1, 2.5, None, True]}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content


def test_json_that_is_missing_or_damaged_is_one_line(tmp_path):
    with pytest.raises(MissingInputError, match=r"a\.json: not there; run it"):
        read_json(tmp_path / "a.json", "run it")
    for content in (b'{"half": ', b"\xff\xfe", b""):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.json: not readable as JSON"):
            read_json(tmp_path / "a.json")


def test_removing_takes_files_folders_and_links_but_not_what_a_link_points_to(tmp_path):
    fill_folder(tmp_path / "folder", "kept")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    write_text(tmp_path / "file", "")
    for name in ("link", "file", "nothing"):
        remove(tmp_path / name)
    assert [p.name for p in tmp_path.rglob("*")] == ["folder", "kept"]
    remove(tmp_path / "folder")
    assert not list(tmp_path.iterdir())
