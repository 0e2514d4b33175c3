"""However a command is asked to end, it leaves nothing half done and says no more than one line."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# Asleep at length, a Python to which a signal comes just before it falls asleep hears of it only when it wakes: so in short naps.
AT_WORK = """
import sys, tempfile, time
from pathlib import Path
from scroll.runtime.command_line import run_command
from scroll.runtime.files import written_aside
def main():
    with tempfile.TemporaryDirectory(dir=sys.argv[1]), written_aside(Path(sys.argv[1], "map")) as aside:
        aside.touch()
        print("at work", flush=True)
        for _ in range(6000): time.sleep(0.01)
run_command(main)
"""
OVER = """
import atexit, time
from scroll.runtime.command_line import run_command
def late():
    print("over", flush=True)
    for _ in range(6000): time.sleep(0.01)
run_command(lambda: atexit.register(late) and None)
"""
DROPPED = """
import os, sys, time
from scroll.runtime.command_line import run_command
class Dropping:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        for _ in range(100): pass
def main():
    print("at work", flush=True)
    Dropping()
    for _ in range(6000): time.sleep(0.01)
run_command(main)
"""
IMPORTING = """
import os, sys
from pathlib import Path
from scroll.runtime.command_line import run_command
folder, number = sys.argv[1:]
Path(folder, "asking.py").write_text(f"import os; os.kill(os.getpid(), {number})\\nfor _ in range(9999): pass\\nprint('imported')")
def main():
    print("at work", flush=True)
    sys.path.insert(0, folder)
    import asking, time
    for _ in range(6000): time.sleep(0.01)
run_command(main)
"""


def sent(number: int, program: str, *arguments: str) -> tuple[int, str]:
    """Exit code and complaints of a program that is sent a signal after its first line; 0: it sends one itself."""
    command = [sys.executable, "-c", program, *arguments]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline()
    process.send_signal(number)
    rest, message = process.communicate(timeout=50)
    return process.returncode, rest + message


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_stopped_at_work_says_one_line_and_leaves_nothing_aside(
    tmp_path: Path, number: int, code: int
) -> None:
    found, message = sent(number, AT_WORK, str(tmp_path))
    assert found == code and message.startswith("stopped; nothing is lost") and message.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_over_ends_at_once_without_a_word(number: int) -> None:
    assert sent(number, OVER) == (-number, "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_request_that_python_drops_in_a_finaliser_is_made_again(number: int, code: int) -> None:
    found, message = sent(0, DROPPED, str(int(number)))
    assert found == code and message.startswith("stopped; nothing is lost") and message.count("\n") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_import_is_over_before_a_command_is_stopped(tmp_path: Path, number: int, code: int) -> None:
    found, message = sent(0, IMPORTING, str(tmp_path), str(int(number)))
    assert found == code and message.startswith("imported\nstopped; nothing is lost") and message.count("\n") == 2
