"""The ensemble where a surface passes, for flattening on the fly: only windows that hold a sample, each computed once if memory allows."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ensemble.whole_scroll.grey_values import measured, sample_about
from ensemble.whole_scroll.members import check_voxels_of
from ensemble.whole_scroll.plan import ScrollRequest, key_of_request, open_scroll
from ensemble.whole_scroll.run import EnsemblePredictor, EnsembleRecipe
from scroll.config.schema import Settings
from scroll.geometry import Size
from scroll.inference.window_memory import LIMIT_BYTES, RememberedWindows
from scroll.runtime.receipt import key_of
from scroll.surfaces.surface import Surface
from stage1_3d.segments.flatten_on_the_fly import BoxPrediction, IsSeen

BLEND = "ensemble"


def prediction_about(
    settings: Settings, request: ScrollRequest, surface: Surface, weights: dict[str, float], is_blended: bool
) -> tuple[BoxPrediction, "SeenBoxes"]:
    """What flattening on the fly needs of a run, and the predictor in it, which counts its windows.

    One channel, the members blended by their weights, or with `is_blended` false one a member. The grey scale is that
    about the surface unless `request` gives one.

    Raises:
        MissingInputError: weights of a fold are not there.
        InputError: the surface has no valid point, the grey scale cannot be, or a member was trained on other voxels.
    """
    request.check()
    volume = open_scroll(request, settings)
    check_voxels_of(settings, weights, volume)
    figures = measured(settings, weights, lambda: sample_about(volume, [surface]), request.grey_scale)
    recipe = EnsembleRecipe(settings, request.source, request.level, figures.grey_scale, weights, figures.seen_as)
    boxes = SeenBoxes(recipe(), is_blended)
    others = [{name: how.model_dump() for name, how in figures.seen_as.items()}] if figures.seen_as else []
    key = key_of([key_of_request(settings, request), weights, figures.grey_scale, is_blended, *others])
    channels = (BLEND,) if is_blended else tuple(weights)
    return BoxPrediction(boxes, channels, volume.shape, volume.place, key), boxes


class SeenBoxes:
    """An `EnsemblePredictor` that leaves out windows without a sample and remembers the others."""

    def __init__(self, ensemble: EnsemblePredictor, is_blended: bool, limit_bytes: int = LIMIT_BYTES) -> None:
        self.ensemble, self.is_blended = ensemble, is_blended
        share = limit_bytes // max(1, len(ensemble.sweeps))
        self.windows = {
            name: RememberedWindows(sweep, ensemble.forwards[name], share) for name, sweep in ensemble.sweeps.items()
        }

    @torch.inference_mode()
    def __call__(self, corner: Size, size: Size, is_seen: IsSeen) -> NDArray[np.float32] | None:
        """Probabilities (K, *size) of a box; None where the scan is empty there.

        Raises:
            UnreadableError: the CT cannot be read, or is no number.
            InputError: a network gave NaN or infinity.
        """
        block = self.ensemble.block(corner, size)
        if block is None:
            return None
        found: list[Tensor] = []
        for name, windows in self.windows.items():
            prob = windows.predict_box(self.ensemble.reader(name, block), corner, size, is_seen)
            if not self.is_blended:
                found.append(prob)
            elif found:
                found[0].add_(prob.mul_(self.ensemble.recipe.weights[name]))
            else:
                found.append(prob.mul_(self.ensemble.recipe.weights[name]))
        return np.asarray(torch.cat(found).cpu().numpy())

    def counts(self) -> str:
        """How many windows each member looked at, and how many would have done."""
        computed = [f"{name} {one.computed} ({one.distinct} different)" for name, one in self.windows.items()]
        return "windows computed: " + ", ".join(computed)
