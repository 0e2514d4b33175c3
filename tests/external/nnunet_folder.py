"""A model folder as nnU-Net 2 writes it, small and with random weights, built by the package of its networks."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn

NETWORK: dict[str, Any] = {
    "n_stages": 3,
    "features_per_stage": [4, 8, 8],
    "conv_op": "torch.nn.modules.conv.Conv3d",
    "kernel_sizes": [[3, 3, 3]] * 3,
    "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
    "n_conv_per_stage": [2, 2, 2],
    "n_conv_per_stage_decoder": [2, 2],
    "conv_bias": True,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "dropout_op": None,
    "dropout_op_kwargs": None,
    "nonlin": "torch.nn.LeakyReLU",
    "nonlin_kwargs": {"inplace": True},
}
IMPORTED = ("conv_op", "norm_op", "dropout_op", "nonlin")


def write_folder(
    folder: Path,
    folds: Sequence[int] = (0,),
    scheme: str = "ZScoreNormalization",
    is_masked: bool = False,
    mirrors: Sequence[int] = (),
    patch: Sequence[int] = (24, 32, 28),
    axes: Sequence[int] = (0, 1, 2),
    plan: Mapping[str, Any] | None = None,
    doubt: float = 0.0,
) -> Path:
    """plans.json, dataset.json and fold_<k>/checkpoint_final.pth; returns the folder. `doubt` is added to the background's logit."""
    folder.mkdir(parents=True, exist_ok=True)
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2, "patch_size": [*patch],
        "median_image_size_in_voxels": [64.0, 64.0, 64.0], "spacing": [1.0, 1.0, 1.0], "normalization_schemes": [scheme],
        "use_mask_for_norm": [is_masked], "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": NETWORK, "_kw_requires_import": [*IMPORTED],
        },
        "batch_dice": False,
    } | dict(plan or {})  # fmt: skip
    grey = {
        "mean": 110.0,
        "std": 30.0,
        "percentile_00_5": 40.0,
        "percentile_99_5": 190.0,
        "median": 108.0,
        "min": 0.0,
        "max": 255.0,
    }
    plans = {
        "dataset_name": "Dataset501_Cubes", "plans_name": "nnUNetPlans", "original_median_spacing_after_transp": [1.0, 1.0, 1.0],
        "original_median_shape_after_transp": [64, 64, 64], "image_reader_writer": "Tiff3DIO", "transpose_forward": [*axes],
        "transpose_backward": np.argsort(axes).tolist(), "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner", "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": grey},
    }  # fmt: skip
    dataset = {
        "channel_names": {"0": "CT"}, "labels": {"background": 0, "surface": 1, "ignore": 2}, "numTraining": 6, "file_ending": ".tif",
    }  # fmt: skip
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    for fold in folds:
        write_checkpoint(folder / f"fold_{fold}" / "checkpoint_final.pth", weights(fold, doubt), mirrors)
    return folder


def weights(seed: int, doubt: float = 0.0) -> dict[str, torch.Tensor]:
    """Random ones that say something: three times what a network begins with."""
    torch.manual_seed(seed)
    named = {"conv_op": nn.Conv3d, "norm_op": nn.InstanceNorm3d, "nonlin": nn.LeakyReLU}
    network = PlainConvUNet(1, num_classes=2, **NETWORK | named, deep_supervision=True)
    state = {name: tensor * 3 for name, tensor in network.state_dict().items()}
    return {
        name: t + torch.tensor([doubt, 0.0]) if name.endswith("seg_layers.1.bias") else t for name, t in state.items()
    }


def write_checkpoint(path: Path, tensors: Mapping[str, Any], mirrors: Sequence[int] = ()) -> None:
    """With all that nnU-Net writes beside the weights, numpy's numbers among it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "network_weights": dict(tensors), "optimizer_state": {}, "grad_scaler_state": None, "current_epoch": 5,
        "logging": {"mean_fg_dice": [np.float32(0.5), np.float64(0.25)]}, "_best_ema": np.float64(0.3),
        "init_args": {"configuration": "3d_fullres", "fold": 0}, "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": tuple(mirrors),
    }  # fmt: skip
    torch.save(content, path)
