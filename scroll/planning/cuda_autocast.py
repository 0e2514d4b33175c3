"""CUDA's rules of mixed precision, applied to tensors on the CPU, so that no GPU is needed to see what it would keep.

CPU and CUDA have different lists of what autocast computes in 32 bit: on CUDA softmax, layer and group normalisation and
interpolation, on a CPU none of them. `cuda_rules` puts CUDA's rule over the CPU's for those that differ.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.library import Library
from torch.utils._pytree import tree_map

# of CUDA's list (ATen/autocast_mode.h), those that a network or a loss may call and a CPU computes in what comes
IN_32_BIT = (
    "softmax.int", "log_softmax.int", "layer_norm", "group_norm", "upsample_trilinear3d", "upsample_nearest3d",
    "upsample_bilinear2d", "upsample_nearest2d", "logsumexp", "exp", "log", "softplus", "pow.Tensor_Scalar", "rsqrt",
    "reciprocal", "sum", "sum.dim_IntList", "cumsum", "norm.Scalar", "cosine_similarity",
)  # fmt: skip
AS_IT_COMES = ("avg_pool3d", "adaptive_avg_pool3d")  # a CPU computes these in 32 bit, CUDA in what comes


@contextmanager
def cuda_rules() -> Iterator[None]:
    """Meanwhile autocast on the CPU follows CUDA's rules; open during the backward pass too, for checkpointing computes again in it."""
    library = Library("aten", "IMPL")
    try:
        with warnings.catch_warnings(action="ignore"):  # torch says that a rule is replaced, which is the purpose
            for rules, cast in ((IN_32_BIT, _as_float32), (AS_IT_COMES, lambda value: value)):
                for name in rules:
                    library.impl(name, _rule(name, cast), "AutocastCPU", allow_override=True)
        yield
    finally:
        library._destroy()


def _rule(name: str, cast: Callable[[Any], Any]) -> Callable[..., Any]:
    packet, _, overload = name.partition(".")
    operation = getattr(getattr(torch.ops.aten, packet), overload or "default")
    autocast = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU)

    def rule(*arguments: Any, **options: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(autocast):
            return operation(*tree_map(cast, arguments), **tree_map(cast, options))

    return rule


def _as_float32(value: Any) -> Any:
    is_short = isinstance(value, torch.Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if is_short else value
