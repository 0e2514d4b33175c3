"""What all tests need: Ctrl-C as in a terminal, also where the tests run in the background of a shell, which ignores it."""

import gc
import importlib
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from made_once import SHARED

from tests.steps import on_one_core

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


class FoldersOfFixtures:
    """What a fixture put into the folder of this session's files goes when the fixture goes: two thousand files of tests would
    fill a small disk. It stays, to be looked at, where a test failed meanwhile; so does `tmp_path`, which pytest removes itself."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.made: dict[object, tuple[int, set[Path]]] = {}  # fixture -> tests that had failed, folders

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef, request: pytest.FixtureRequest) -> Iterator[None]:
        before, failed = set(self.base.iterdir()), request.session.testsfailed
        try:
            return (yield)
        finally:
            of_others = {self.base / SHARED}.union(*(folders for _, folders in self.made.values()))
            self.made[fixturedef] = (failed, set(self.base.iterdir()) - before - of_others)

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef, request: pytest.FixtureRequest) -> None:
        failed, folders = self.made.pop(fixturedef, (0, set()))
        if fixturedef.argname != "tmp_path" and request.session.testsfailed == failed:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)


on_one_core()
gc.disable()  # what is imported while tests are collected stays: looking through it again and again takes a quarter of that time


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()


def pytest_sessionstart(session: pytest.Session) -> None:
    base = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    session.config.pluginmanager.register(FoldersOfFixtures(base))
