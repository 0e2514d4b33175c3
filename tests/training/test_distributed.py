"""Processes that train together: one group of one process here, two of them in the tests of the training loop."""

import threading
import time
import weakref

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from scroll.errors import WorkerDiedError
from scroll.training import distributed as together
from scroll.training.distributed import any_is, leave_the_group, naming_dead_ranks


@pytest.fixture
def group(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1)
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def test_the_group_is_left_only_when_nothing_holds_what_was_sent_round(group, monkeypatch):
    """As the group's own thread holds it, now and then, after its result is out."""
    held = [torch.zeros(1)]
    monkeypatch.setattr(together, "_in_flight", [weakref.ref(held[0])])
    waiting = threading.Thread(target=leave_the_group)
    waiting.start()
    time.sleep(0.2)
    assert waiting.is_alive() and torch.distributed.is_initialized()
    held.clear()
    waiting.join(timeout=30)
    assert not waiting.is_alive() and not torch.distributed.is_initialized()


def test_a_tensor_that_is_never_let_go_of_holds_nothing_up_for_ever(group, monkeypatch):
    held = torch.zeros(1)
    monkeypatch.setattr(together, "_in_flight", [weakref.ref(held)])
    monkeypatch.setattr(together, "LET_GO_S", 0.1)
    leave_the_group()
    assert not torch.distributed.is_initialized()


def test_one_process_alone_is_asked_without_a_group():
    AcceleratorState._reset_state()
    accelerator = Accelerator(cpu=True)
    assert any_is(True, accelerator) and not any_is(False, accelerator)


def test_the_end_of_another_process_is_one_line(group):
    """What gloo says of a process that does not come, as `monitored_barrier` raises it."""
    with pytest.raises(WorkerDiedError, match="another of the 2 processes") as caught, naming_dead_ranks(2):
        raise RuntimeError(
            "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] Connection closed\nby peer [127.0.0.1]:3"
        )
    assert "\n" not in str(caught.value)
    with pytest.raises(torch.distributed.DistError), naming_dead_ranks(1):
        raise torch.distributed.DistError("of no other process")
    with pytest.raises(RuntimeError, match="a matrix"), naming_dead_ranks(2):
        raise RuntimeError("a matrix of another shape")
