"""Processes beside this one: one thread each, and no trace of them afterwards."""

import os

import pytest

from scroll.runtime.processes import THREADS, single_threaded_processes


def variables(names):
    return {name: os.environ.get(name) for name in names}


def test_the_processes_have_one_thread_and_this_one_keeps_its_own(monkeypatch):
    monkeypatch.setenv(THREADS[0], "7")
    monkeypatch.delenv(THREADS[1], raising=False)
    names = (*THREADS, "SCROLL_TEST")
    before = variables(names)
    with single_threaded_processes(2, SCROLL_TEST="here") as pool:
        there = pool.submit(variables, names).result()
        process = pool.submit(os.getpid).result()
    assert there == dict.fromkeys(THREADS, "1") | {"SCROLL_TEST": "here"}
    assert process != os.getpid()
    assert variables(names) == before


def test_an_error_there_arrives_here_and_still_nothing_stays_behind(monkeypatch):
    monkeypatch.delenv(THREADS[1], raising=False)
    with pytest.raises(ZeroDivisionError), single_threaded_processes(1) as pool:
        pool.submit(divmod, 1, 0).result()
    assert THREADS[1] not in os.environ
