"""Cross-entropy on those mistakes alone that change how many pieces, holes or cavities there are."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from scroll.training.loss_terms.voxels import Voxels


def topology(voxels: Voxels) -> Tensor:
    """Sum of the critical voxels' BCE over the number of known voxels, both by weight; logits (B, Y, X) or (B, Z, Y, X).

    Which voxels are critical is decided sample by sample on the CPU from the prediction cut at 1/2
    (`critical_components`), where what is proposed is known like the rest, and carries no gradient; their BCE does. The sum is
    divided by the known voxels and not by the critical ones, so that a share s means: a critical voxel counts s more often in the
    mean BCE than another. The term fades as mistakes are mended, and one speck of a wrong label cannot weigh as much as a whole
    patch; but critical voxels are few, so that useful shares lie well above those of the other terms: begin with 5.
    """
    weight = voxels.weighed(_critical_voxels(voxels).float())
    summed = functional.binary_cross_entropy_with_logits(voxels.logits, voxels.target, weight=weight, reduction="sum")
    return summed / voxels.total_weight


@torch.no_grad()
def _critical_voxels(voxels: Voxels) -> Tensor:
    """Where the critical mistakes of each sample lie, bool, in the shape of the logits and on their device."""
    from scroll.training.loss_terms.critical_components import (
        critical_mistakes,  # numba's compiler, which most runs need not
    )

    shape = voxels.logits.shape
    as_volumes = (shape[0], *(1,) * (4 - len(shape)), *shape[1:])  # (B, Z, Y, X); a picture is one layer
    parts = (voxels.logits > 0, voxels.target >= 0.5, voxels.known == 0)
    arrays = [part.reshape(as_volumes).cpu().numpy() for part in parts]
    threads = min(shape[0], torch.get_num_threads())
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            found = np.stack(list(pool.map(critical_mistakes, *arrays)))
    else:
        found = np.stack(list(map(critical_mistakes, *arrays)))
    return torch.from_numpy(found).reshape(shape).to(voxels.logits.device)
