"""Processes that train one network together, each on its own GPU."""

import re
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed import DistError

from scroll.errors import InputError, WorkerDiedError

OF_THE_GROUP = re.compile(r"gloo|nccl|connection (closed|reset)|broken pipe|process group|tcpstore", re.IGNORECASE)
LET_GO_S = 10.0  # far longer than a thread of the group takes, however busy the machine

_in_flight: "list[weakref.ref[Tensor]]" = []  # what was sent round last


def any_is(is_true: bool, accelerator: Accelerator) -> bool:
    """Whether it is true in any process: all hear the same, or some would wait for the others for ever."""
    if accelerator.num_processes == 1:
        return is_true
    count = torch.tensor(float(is_true), device=accelerator.device)
    torch.distributed.all_reduce(count)
    _in_flight[:] = [weakref.ref(count)]
    return bool(count > 0)


def leave_the_group() -> None:
    """Leave torch's process group, before Python ends, once its threads have let go of what was sent round.

    A thread of the group hands the result over before it drops its own hold of the tensor, for which it needs Python's lock;
    asking for that while Python ends aborts a process that had done all its work. Destroying the group does not end those
    threads where a network was wrapped for several processes.
    """
    last_call = time.monotonic() + LET_GO_S
    while any(sent() is not None for sent in _in_flight) and time.monotonic() < last_call:
        time.sleep(0.001)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@contextmanager
def naming_dead_ranks(processes: int) -> Iterator[None]:
    """Turn what the end of one of several processes does to the others into one line.

    Raises:
        WorkerDiedError: another process of this training is gone, or cannot be reached.
    """
    try:
        yield
    except RuntimeError as error:
        is_of_the_group = isinstance(error, DistError) or OF_THE_GROUP.search(str(error))
        if isinstance(error, InputError) or processes == 1 or not is_of_the_group:
            raise
        raise WorkerDiedError(
            f"another of the {processes} processes of this training ended or cannot be reached ({' '.join(str(error).split())[:120]}); "
            "its own message is above, or the system killed it for want of memory; the same command goes on from the last checkpoint"
        ) from None


@contextmanager
def no_sync(accelerator: Accelerator, model: nn.Module, is_open: bool) -> Iterator[None]:
    """While `is_open`, gradients stay with their process: more are added before they are exchanged."""
    if is_open:
        with accelerator.no_sync(model):
            yield
    else:
        yield
