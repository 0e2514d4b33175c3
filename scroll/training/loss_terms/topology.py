"""Cross-entropy on those mistakes alone that change how many pieces, holes or cavities there are."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from scroll.training.loss_terms.critical_on_device import critical_mistakes_of
from scroll.training.loss_terms.voxels import Voxels

_is_quicker_there: dict[torch.Size, bool] = {}  # by the shape of a batch of logits: both ways find the same


def topology(voxels: Voxels) -> Tensor:
    """Sum of the critical voxels' BCE over the number of known voxels, both by weight; logits (B, Y, X) or (B, Z, Y, X).

    Which voxels are critical is decided sample by sample from the prediction cut at 1/2 (`critical_components`; on a GPU
    `critical_on_device`, which finds the same, where that is quicker), where what is proposed is known like the rest, and
    carries no gradient; their BCE does. The sum is divided by the known voxels and not by the critical ones, so that a share s
    means: a critical voxel counts s more often in the mean BCE than another. The term fades as mistakes are mended, and one
    speck of a wrong label cannot weigh as much as a whole patch; but critical voxels are few, so that useful shares lie well
    above those of the other terms: begin with 5.
    """
    weight = voxels.weighed(_critical_voxels(voxels).float())
    summed = functional.binary_cross_entropy_with_logits(voxels.logits, voxels.target, weight=weight, reduction="sum")
    return summed / voxels.total_weight


@torch.no_grad()
def _critical_voxels(voxels: Voxels) -> Tensor:
    """Where the critical mistakes of each sample lie, bool, in the shape of the logits and on their device."""
    shape = voxels.logits.shape
    as_volumes = (shape[0], *(1,) * (4 - len(shape)), *shape[1:])  # (B, Z, Y, X); a picture is one layer
    parts = [part.reshape(as_volumes) for part in (voxels.logits > 0, voxels.target >= 0.5, voxels.known == 0)]
    if voxels.logits.is_cuda and shape not in _is_quicker_there:
        _is_quicker_there[shape] = is_quicker_there(*parts)
    if _is_quicker_there.get(shape):
        return critical_mistakes_of(*parts).reshape(shape)
    return critical_mistakes_here(*parts).reshape(shape).to(voxels.logits.device)


def is_quicker_there(predicted: Tensor, truth: Tensor, ignore: Tensor) -> bool:
    """Whether the device finds the same, and sooner than the CPU; (B, Z, Y, X), tried on the first batch of a shape."""
    try:
        critical_mistakes_of(predicted, truth, ignore)  # loads what it needs
        began = time.perf_counter()
        found = critical_mistakes_of(predicted, truth, ignore).cpu()  # waits for it
        there_s = time.perf_counter() - began
    except RuntimeError:  # no memory for it, or an operation that this device has not
        return False
    began = time.perf_counter()
    known = critical_mistakes_here(predicted, truth, ignore)
    return torch.equal(found, known) and there_s < time.perf_counter() - began


def critical_mistakes_here(predicted: Tensor, truth: Tensor, ignore: Tensor) -> Tensor:
    """The same by compiled code on the CPU, (B, Z, Y, X), a thread for a sample where torch has several."""
    from scroll.training.loss_terms.critical_components import (
        critical_mistakes,  # numba's compiler, which most runs need not
    )

    arrays = [part.cpu().numpy() for part in (predicted, truth, ignore)]
    threads = min(len(predicted), torch.get_num_threads())
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            return torch.from_numpy(np.stack(list(pool.map(critical_mistakes, *arrays))))
    return torch.from_numpy(np.stack(list(map(critical_mistakes, *arrays))))
