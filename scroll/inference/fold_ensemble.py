"""Trained networks as one function from windows to scores."""

import os
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn


def device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def is_main_process() -> bool:
    """Whether this process is the only one, or the first of those that torchrun started."""
    return int(os.environ.get("RANK", "0")) == 0


def resolved_precision(wish: str) -> Literal["fp32", "bf16", "fp16"]:
    """What "auto" means on this machine: bf16 on a GPU that computes in it, else fp16 on a GPU, fp32 on a CPU.

    Not bf16 on a CPU, though some compute in it twice as fast: torch 2.13 gives NaN there for a small DynUNet.
    """
    if wish == "fp32" or wish == "bf16" or wish == "fp16":
        return wish  # type: ignore[return-value]
    if torch.cuda.is_available():
        return "bf16" if has_bf16() else "fp16"
    return "fp32"


def has_bf16() -> bool:
    """Whether the device computes in bf16 itself; where it does not, torch does so in software, several times slower than fp32."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def mean_of(networks: Sequence[nn.Module], precision: str, average: str) -> Callable[[Tensor], Tensor]:
    """Windows (B, C, ...) on any device -> logits of the networks' mean, float32, computed in `precision`.

    `average` says of what the mean is taken: "logits" or "probabilities".
    """
    chosen = resolved_precision(precision)
    dtype = torch.float16 if chosen == "fp16" else torch.bfloat16

    def forward(windows: Tensor) -> Tensor:
        windows = windows.to(device())
        with torch.autocast(device().type, dtype, enabled=chosen != "fp32"):
            logits = torch.stack([network(windows).float() for network in networks])
        if average == "logits" or len(networks) == 1:
            return logits.mean(0)
        return torch.logit(torch.sigmoid(logits).mean(0), eps=1e-7)

    return forward
