"""Trained networks as one function from windows to scores."""

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scroll.config.schema import WindowSettings
from scroll.errors import InputError
from scroll.inference.compiled_networks import compiled_if_alike

DEVICE = "SCROLL_DEVICE"  # an environment variable: "mps" tries the GPU of a Mac


def device() -> torch.device:
    """The GPU if CUDA finds one, else the CPU. The GPU of a Mac (mps) only where SCROLL_DEVICE=mps asks for it.

    Not by itself: mps has no float64, and not every 3D operation of every torch. What is taken on a Mac is said once.

    Raises:
        InputError: SCROLL_DEVICE is something else, or there is no such GPU.
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    requested, has_mps = os.environ.get(DEVICE, ""), torch.backends.mps.is_available()
    if requested not in ("", "mps") or (requested and not has_mps):
        raise InputError(
            f"{DEVICE}={requested}: only mps can be asked for, on a Mac whose GPU torch can use; leave it out"
        )
    if has_mps:
        _say_once("this Mac's GPU (mps)" if requested else f"the CPU ({DEVICE}=mps tries this Mac's GPU)")
    return torch.device(requested or "cpu")


def placed(windows: NDArray[Any]) -> Tensor:
    """An array as a tensor on that device, without waiting for what the device still computes."""
    here, where = torch.from_numpy(windows), device()
    return (here.pin_memory() if where.type == "cuda" else here).to(where, non_blocking=True)


@cache
def _say_once(chosen: str) -> None:
    if is_main_process():
        print(f"device: {chosen}")


def is_main_process() -> bool:
    """Whether this process is the only one, or the first of those that torchrun started."""
    return int(os.environ.get("RANK", "0")) == 0


def resolved_precision(requested: str) -> Literal["fp32", "bf16", "fp16"]:
    """What "auto" means on this machine: bf16 on a GPU that computes in it, else fp16 on a GPU, fp32 on a CPU.

    Not bf16 on a CPU, though some compute in it twice as fast: torch 2.13 gives NaN there for a small DynUNet.
    """
    if requested == "fp32" or requested == "bf16" or requested == "fp16":
        return requested  # type: ignore[return-value]
    if torch.cuda.is_available():
        return "bf16" if has_bf16() else "fp16"
    return "fp32"


def has_bf16() -> bool:
    """Whether the device computes in bf16 itself; where it does not, torch does so in software, several times slower than fp32."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def mean_of(networks: Sequence[nn.Module], precision: str, window: WindowSettings) -> Callable[[Tensor], Tensor]:
    """Windows (B, C, ...) on any device -> logits of the networks' mean, float32, computed in `precision`.

    `window` says of what the mean is taken, logits or probabilities, and whether networks are compiled.
    """
    chosen, average = resolved_precision(precision), window.average
    if window.compile:
        networks = compiled_if_alike(networks, window.batch_size)
    dtype = torch.float16 if chosen == "fp16" else torch.bfloat16

    def forward(windows: Tensor) -> Tensor:
        windows = windows.to(device())
        with torch.autocast(device().type, dtype, enabled=chosen != "fp32"):
            logits = torch.stack([network(windows).float() for network in networks])
        if average == "logits" or len(networks) == 1:
            return logits.mean(0)
        return torch.logit(torch.sigmoid(logits).mean(0), eps=1e-7)

    return forward
