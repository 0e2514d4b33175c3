"""Processes that train one network together, each on its own GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import nn


def leave_the_group() -> None:
    """Left standing when Python ends, torch's process group now and then aborts a process that had done all its work."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@contextmanager
def no_sync(accelerator: Accelerator, model: nn.Module, is_open: bool) -> Iterator[None]:
    """While `is_open`, gradients stay with their process: more are added before they are exchanged."""
    if is_open:
        with accelerator.no_sync(model):
            yield
    else:
        yield
