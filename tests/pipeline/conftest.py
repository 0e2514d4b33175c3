"""One phantom goes through every command once; the tests beside this file look at what is left."""

import sys
from collections.abc import Callable, Iterator
from contextlib import chdir

import pytest
import torch
from pipeline_run import REPOSITORY, Call, Run, own_ink_run

from scroll.runtime.command_line import run_command


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Phantom, stage one, stage two, calibration and prediction, each was a process of its own."""
    return own_ink_run(tmp_path_factory)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes above: sums in another order would be other bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Go through a command in this process: (module's main, arguments) -> exit code, standard output, standard error."""

    def go(main: Callable[[], int | None], *arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["command", *(str(part) for part in arguments)])
        with chdir(REPOSITORY), pytest.raises(SystemExit) as left:
            run_command(main)
        message = capsys.readouterr()
        return int(left.value.code or 0), message.out, message.err

    return go
