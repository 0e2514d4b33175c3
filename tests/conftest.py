"""What all tests need: Ctrl-C as in a terminal, also where the tests run in the background of a shell, which ignores it."""

import importlib
import signal

import pytest
from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # how busy the machine is says nothing of a property
settings.load_profile("no deadline")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # programs that the tests start would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Clock:
    """In the place of the time module: only sleeping takes time, and it takes exactly what it says."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def monotonic(self) -> float:
        return self.now_s

    perf_counter = monotonic


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """The clock of a training in this process, of its points, and of the test that asks for it."""
    clock = Clock()
    for module in ("scroll.training.loop", "scroll.training.profiler", "tiny_task"):
        monkeypatch.setattr(importlib.import_module(module), "time", clock)
    return clock
