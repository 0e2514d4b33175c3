"""A process ends with the one that started it, however that ends; one that dies is one line; two Ctrl-C always end a command."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scroll.errors import WorkerDiedError
from scroll.runtime.children import PARENT, family
from scroll.runtime.processes import in_order

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0


def started(folder: Path, program: str, *arguments: str, **more: object) -> subprocess.Popen[str]:
    """The program as a file of its own, as a spawned process imports it again; what it writes comes back as text."""
    path = folder / "job.py"
    path.write_text(textwrap.dedent(program))
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    return subprocess.Popen([sys.executable, str(path), str(folder), *arguments], **pipes, **more)  # type: ignore[call-overload, no-any-return]


def wait_until(is_so: Callable[[], bool]) -> bool:
    last_call = time.monotonic() + PATIENCE_S
    while not is_so() and time.monotonic() < last_call:
        time.sleep(0.02)
    return is_so()


def runs(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1][:3]
    except (FileNotFoundError, ProcessLookupError):  # gone before the file was opened, or between that and the reading
        return False


def started_by(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])


NAP = """
    import os, pathlib, sys, time
    from scroll.runtime.children import family
    from scroll.runtime.processes import in_order
    def nap(n):
        pathlib.Path(n, str(os.getpid())).touch()
        while True: time.sleep(0.05)
    if __name__ == "__main__":
        folder, method = sys.argv[1:3]
        os.mkdir(folder + "/marks")
        if method == "pool":
            list(in_order(nap, [folder + "/marks"] * 4, 2))
        for _ in range(2):
            family(method).Process(target=nap, args=(folder + "/marks",), daemon=True).start()
        time.sleep(1000)
"""


@pytest.mark.parametrize("method", ["pool", "spawn", "fork", "forkserver"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_the_one_that_started_them(tmp_path, method, number):
    parent = started(tmp_path, NAP, method, start_new_session=True)
    marks = tmp_path / "marks"
    assert wait_until(lambda: marks.is_dir() and len(list(marks.iterdir())) == 2)
    children = [int(mark.name) for mark in marks.iterdir()]
    children += {started_by(child) for child in children} - {parent.pid}  # the fork server, where there is one
    assert all(map(runs, children)) and len(children) == 2 + (method == "forkserver")
    if number == signal.SIGTERM:
        os.killpg(parent.pid, number)  # as a terminal, docker and SLURM do
    else:
        parent.kill()
    parent.wait()
    assert wait_until(lambda: not any(map(runs, children)))
    parent.communicate()


def test_a_command_ends_with_the_command_that_started_it(tmp_path):
    program = f"""
        import os, subprocess, sys, time
        from scroll.runtime.children import command_environment
        from scroll.runtime.command_line import run_command
        def main():
            print(os.getpid(), "{PARENT}" in os.environ, flush=True)
            time.sleep(1000)
        if len(sys.argv) == 3:
            run_command(main)
        subprocess.run([sys.executable, *sys.argv, "child"], env=command_environment())
    """
    parent = started(tmp_path, program)
    assert parent.stdout is not None
    child, is_passed_on = parent.stdout.readline().split()
    assert runs(int(child)) and is_passed_on == "False"
    parent.kill()
    parent.wait()
    assert wait_until(lambda: not runs(int(child)))
    parent.communicate()


@pytest.mark.parametrize(("number", "ends"), [(signal.SIGKILL, 1), (signal.SIGINT, 2)])
def test_a_program_of_others_ends_with_the_command_that_started_it(tmp_path: Path, number: int, ends: int) -> None:
    program = """
        import sys
        from scroll.runtime.children import run_module
        begin = "import os, subprocess, sys, time; nap = subprocess.Popen(['sleep', '100'])"
        begin += f"; open({sys.argv[1]!r} + '/pids', 'w').write(f'{{os.getpid()}} {{nap.pid}} ')"
        run_module("timeit", "-n", "1", "-r", "1", "-s", begin, "time.sleep(1000)")
    """
    parent, pids = started(tmp_path, program), tmp_path / "pids"
    assert wait_until(lambda: pids.exists() and pids.read_text().endswith(" "))
    children = [int(number) for number in pids.read_text().split()]
    assert all(map(runs, children))
    parent.send_signal(number)
    parent.communicate()
    assert wait_until(
        lambda: not any(map(runs, children[:ends]))
    )  # what others start is theirs where only they are killed
    if ends == 1:
        os.kill(children[1], signal.SIGKILL)


def test_one_that_dies_before_it_has_read_its_work_does_not_leave_the_other_waiting(tmp_path):
    program = """
        import os
        from scroll.runtime.children import family
        from scroll.errors import WorkerDiedError
        if __name__ != "__main__": os._exit(7)
        try:
            family().Process(target=print, args=(bytes(2**21),)).start()
        except WorkerDiedError as error:
            print(error)
    """
    message, trouble = started(tmp_path, program).communicate(timeout=PATIENCE_S)
    assert "died while it started (exit code 7)" in message and message.count("\n") == 1 and not trouble


SERVED = """
    import os, sys
    from pathlib import Path
    from scroll.runtime.children import family
    folder = Path(sys.argv[1])
    def look():
        import heavy
        threads = len(os.listdir(f"/proc/{os.getppid()}/task"))
        print(os.getppid(), heavy.IMPORTED_BY, threads, os.environ.get("SAID"), "PYTHONPATH" in os.environ, flush=True)
    def run():
        process = family("forkserver", ["__main__", "heavy"]).Process(target=look)
        process.start()
        process.join()
        assert process.exitcode == 0
    if __name__ == "__main__":
        (folder / "heavy.py").write_text("import os; IMPORTED_BY = os.getpid()")
        del os.environ["PYTHONPATH"]
        run()
        os.environ["SAID"] = "later"
        os.dup2(os.open(folder / "later.txt", os.O_CREAT | os.O_WRONLY), 1)
        run()
"""


def test_a_fork_server_imports_once_and_its_processes_have_environment_and_outputs_of_the_one_that_asks(tmp_path):
    process = started(tmp_path, SERVED)
    message, trouble = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0 and not trouble
    server = message.split()[0]
    assert message.split() == [server, server, "1", "None", "False"]
    assert (tmp_path / "later.txt").read_text().split() == [server, server, "1", "later", "False"]
    assert wait_until(lambda: not runs(int(server)))


def end_this_one(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_one_of_a_pool_that_dies_is_one_line():
    with pytest.raises(WorkerDiedError, match="one of 2 processes died") as message:
        list(in_order(end_this_one, [1, 2], 2))
    assert "\n" not in str(message.value)


def test_terminate_ends_one_that_leaves_signals_to_its_parent():
    process = family().Process(target=time.sleep, args=(1000,))
    process.start()
    process.terminate()
    process.join(PATIENCE_S)
    assert process.exitcode == -signal.SIGKILL


def test_a_second_request_to_stop_ends_what_the_first_could_not(tmp_path):
    program = """
        import os, scroll.runtime.interrupts
        scroll.runtime.interrupts.GRACE_S, scroll.runtime.interrupts.SAME_S = 0.2, 0.5
        with scroll.runtime.interrupts.stop_flag() as should_stop:
            print("begun", flush=True)
            os.read(os.pipe()[0], 1)  # as a write that nobody reads: Python's own handler lets it go on
    """
    process = started(tmp_path, program)
    assert process.stdout is not None and process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)  # passed on by a launcher: the same request
    time.sleep(1.0)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    message = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 130 and "last checkpoint" in message and message.count("\n") == 1
