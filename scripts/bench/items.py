"""A training item beside what users would pick instead, at the same strength and every step always done, one thread each.

The strengths are those of `configs/surface.yaml`: turns of 15 degrees, zoom by a tenth, blur of up to a voxel, noise, contrast, brightness
and mirrors, of image, label and ignore mask. The peers turn about one axis as ours does; nnU-Net's row has its own chances and strengths.
"""

import argparse
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from scripts.bench.kernels import SURFACE, draw_sample
from scripts.bench.timing import Times, beside, in_turns
from scroll.config.schema import LossSettings
from scroll.data.augment.augment import augmented
from scroll.data.sample import Sample, Space, as_item

Item = Callable[[], object]
OURS = "ours"
TURN = np.pi / 12


def run(arguments: argparse.Namespace) -> None:
    """Print a table for each size of patch: medians, and means beside them, for nnU-Net mostly does nothing."""
    torch.set_num_threads(1)
    for size in ((128, 128, 128), (72, 136, 136)):
        sample = _sample(size)
        calls = {name: make(sample) for name, (package, make) in WAYS.items() if find_spec(package)}
        times = in_turns(calls, arguments.item_runs)
        print(f"\na training item of {size}, {arguments.item_runs} items of each\n{beside(times, OURS, _mean)}")


def _mean(one: Times) -> str:
    return f"mean {sum(one.cpu) / len(one.cpu):.3f} s"


def _sample(size: tuple[int, int, int]) -> Sample:
    """Sheets with noise, and their label, cut to the size."""
    whole = draw_sample(max(size))
    box = tuple(slice(0, length) for length in size)
    image, target, ignore = (np.ascontiguousarray(part[box]) for part in (whole.image, whole.target, whole.ignore))
    return Sample(image, target, ignore)


def _ours(sample: Sample) -> Item:
    rng, loss = np.random.default_rng(0), LossSettings()

    def item() -> object:
        changed = augmented(rng, lambda _, __: sample, SURFACE, Space.SCROLL)
        return as_item(changed, Space.SCROLL, loss)

    return item


def _segmentation(sample: Sample) -> torch.Tensor:
    """(1, Z, Y, X) int16: 1 on sheets, 2 where nothing is known."""
    label = sample.target.astype(np.int16)
    label[sample.ignore] = 2
    return torch.from_numpy(label)[None]


def _applied(transforms: list[Any], sample: Sample) -> Item:
    """Transforms of batchgeneratorsv2, one after the other."""
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

    chain, image, label = ComposeTransforms(transforms), torch.from_numpy(sample.image)[None], _segmentation(sample)
    return lambda: chain(image=image.clone(), segmentation=label.clone())


def _batchgenerators(sample: Sample) -> Item:
    from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
    from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
    from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

    spatial = SpatialTransform(
        sample.image.shape, 0, False, p_rotation=1, rotation=(-TURN, TURN), p_scaling=1, scaling=(0.9, 1.1),
        p_synchronize_scaling_across_axes=1, mode_seg="nearest",
    )  # fmt: skip
    return _applied(
        [
            spatial,
            GaussianNoiseTransform((0.0, 0.15**2), 1, True),
            GaussianBlurTransform((0.0, 1.0), True, True, 1),
            MultiplicativeBrightnessTransform((0.8, 1.2), True, 1),
            ContrastTransform((0.8, 1.2), False, True, 1),
            MirrorTransform((0, 1, 2)),
        ],
        sample,
    )


def _nnunet(sample: Sample) -> Item:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    chain = nnUNetTrainer.get_training_transforms(sample.image.shape, (-np.pi / 6, np.pi / 6), None, (0, 1, 2), False)
    image, label = torch.from_numpy(sample.image)[None], _segmentation(sample)
    return lambda: chain(image=image.clone(), segmentation=label.clone())


def _monai(sample: Sample) -> Item:
    from monai.transforms.compose import Compose
    from monai.transforms.intensity.dictionary import (
        RandAdjustContrastd,
        RandGaussianNoised,
        RandGaussianSmoothd,
        RandScaleIntensityd,
    )
    from monai.transforms.spatial.dictionary import RandAffined, RandFlipd

    both, image = ["image", "label"], ["image"]
    sigma = (0.0, 1.0)
    chain = Compose(
        [
            RandAffined(
                both,
                prob=1,
                rotate_range=(TURN, 0, 0),
                scale_range=0.1,
                mode=("bilinear", "nearest"),
                padding_mode="border",
            ),
            *(RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(3)),
            RandGaussianNoised(image, prob=1, std=0.15),
            RandGaussianSmoothd(image, prob=1, sigma_x=sigma, sigma_y=sigma, sigma_z=sigma),
            RandScaleIntensityd(image, prob=1, factors=0.2),
            RandAdjustContrastd(image, prob=1, gamma=(0.8, 1.2)),
        ]
    )
    content = {"image": torch.from_numpy(sample.image)[None], "label": _segmentation(sample)}
    return lambda: chain({name: part.clone() for name, part in content.items()})


WAYS: Mapping[str, tuple[str, Callable[[Sample], Item]]] = {
    OURS: ("numpy", _ours),
    "batchgeneratorsv2, always": ("batchgeneratorsv2", _batchgenerators),
    "MONAI, always": ("monai", _monai),
    "nnU-Net, its own chances": ("nnunetv2", _nnunet),
}
