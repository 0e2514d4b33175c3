"""Properties are judged by what they say, and so is what takes time: not by how busy the machine is."""

import importlib

import pytest
from hypothesis import settings

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


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
    for module in ("scroll.fit", "scroll.step_clock", "tiny_task"):
        monkeypatch.setattr(importlib.import_module(module), "time", clock)
    return clock
