"""Progress: counts, rate and time left, on a terminal and in a log, and nothing on standard output."""

import io
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scroll.runtime import progress as module
from scroll.runtime.progress import pace, progress


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.floats(1e-3, 1e6))
def test_what_is_left_takes_as_long_as_the_rate_says(done, left, elapsed_s):
    minutes, seconds = pace(done, left, elapsed_s, "step").split(", ")[1].removesuffix(" left").split(":")
    assert int(seconds) < 60
    assert abs(int(minutes) * 60 + int(seconds) - left * elapsed_s / done) <= 0.5 + 1e-6 * left * elapsed_s / done


def test_before_the_first_step_no_time_is_promised():
    assert pace(0, 10, 5.0, "step") == "" == pace(3, 10, 0.0, "step")


def test_a_log_gets_lines_and_the_rate_counts_only_this_run(capsys, monkeypatch):
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    with progress("train", total=100, unit="step", start=90) as advance:
        advance(2, note="loss 0.5")
        advance(8)
    message = capsys.readouterr()
    assert message.out == ""
    assert message.err.splitlines() == [
        "train: 92/100  10.0 s a step, 1:20 left  loss 0.5",
        "train: 100/100  4.0 s a step, 0:00 left",
    ]


def test_a_short_task_says_nothing_in_a_log(capsys):
    with progress("quick", total=1000) as advance:
        for _ in range(1000):
            advance()
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    """Standard error as a terminal shows it."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_with_the_note(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    with progress("train", total=4, unit="step") as advance:
        advance(3, note="loss 0.5")
    assert "3/4" in terminal.getvalue() and "loss 0.5" in terminal.getvalue()


def test_an_error_inside_gets_out():
    with pytest.raises(KeyError), progress("train", total=4):
        raise KeyError
