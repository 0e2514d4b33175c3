"""A trained member as a folder that nnU-Net v2 reads: plans, data set and checkpoints, for its own predictor and commands."""

import io
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from scroll.config.schema import MemberSettings, Settings
from scroll.data.folds import make_folds
from scroll.data.intensity import Intensity
from scroll.data.kinds import kind_of, training_items
from scroll.data.members.card import Card, FoldCard
from scroll.errors import InputError
from scroll.runtime.files import write_json, written_aside
from stage1_3d.external.nnunet import CHECKPOINTS, CT, DATASET, PLANS, SCHEMES, STEP, build
from stage1_3d.external.ours import seen_by, trained_member
from stage1_3d.external.raw_dataset import dataset_of
from stage1_3d.models.resenc_unet import Options
from stage1_3d.network import about_network, divisor_of, legal_size
from stage1_3d.weights import weights_path

CONFIGURATION, TRAINER = "3d_fullres", "nnUNetTrainer"
NETWORK = "resenc_unet"
LAYERS = {
    "conv_op": "torch.nn.modules.conv.Conv3d",
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
    "dropout_op": "torch.nn.modules.dropout.Dropout3d",
    "nonlin": "torch.nn.LeakyReLU",
}
SPLITS = "splits_final.json"


def export_nnunet(settings: Settings, name: str, output: Path) -> Card:
    """Write <output>/plans.json, dataset.json, splits_final.json and fold_<k>/checkpoint_final.pth; returns what they say as a card.

    Voxels have a spacing of 1, as in the data sets that `export_raw` writes. Mirrors are those of `stage1.window.tta`, of which nnU-Net
    has no turns. The one logit becomes two: 0 for the background, and itself.

    Raises:
        InputError: nnU-Net does not build such a network, does not scale grey values as the member does, or does not take its window.
        MissingInputError: weights, or the training data, which say what each fold has seen, are not there.
    """
    member, items = trained_member(settings, name), training_items(settings.data)
    scheme = _checked(name, member)
    mirrors = () if settings.stage1.window.tta == "none" else (1, 2)
    card = Card(
        family="nnunet", window=member.patch_size, overlap=STEP, voxel_um=items[0].seen_um,
        intensity=Intensity() if member.intensity is None else Intensity.of_settings(member.intensity),
        options={
            "architecture": _architecture(member), "configuration": CONFIGURATION, "axes": [0, 1, 2], "mirrors": [*mirrors],
            "is_masked": member.intensity is not None and member.intensity.keeps_zero,
        },
        source=str(settings.run_dir),
    )  # fmt: skip
    folds = make_folds(items, settings.folds)
    seen = [sorted(seen_by(fold, items)) for fold in folds]
    for fold in folds:
        weights = _as_two_classes(load_file(weights_path(settings, name, fold.number)), card, output)
        _write_checkpoint(output / f"fold_{fold.number}" / CHECKPOINTS[0], weights, fold.number, mirrors)
    splits = [
        {"train": train, "val": sorted({*fold.held_out} - {*train})} for fold, train in zip(folds, seen, strict=True)
    ]
    thing = "ink" if kind_of(settings.data).has_sheets else "surface"
    description = f"{name} of {settings.run_dir.name}: voxels of {card.voxel_um:g} um, spacing 1 whatever their size"
    write_json(output / SPLITS, splits)
    write_json(output / DATASET, dataset_of(thing, len(items)) | {"description": description})
    write_json(output / PLANS, _plans(card, scheme, member.training.train_batch_size))
    weights_of = [FoldCard(weights=f"fold_{fold.number}/{CHECKPOINTS[0]}", sha256="") for fold in folds]
    return card.model_copy(update={"folds": tuple(weights_of)})


def _checked(name: str, member: MemberSettings) -> str:
    """nnU-Net's name for how the member sees grey values, where it can be handed on at all."""
    if why := _why_not(member):
        raise InputError(f"--to nnunet: member '{name}' {why}; hand it on with --to safetensors or --to onnx")
    scheme = None if member.intensity is None else scheme_of(Intensity.of_settings(member.intensity))
    if scheme is None:
        how = "ours" if member.intensity is None else f"{member.intensity.how} of the {member.intensity.of}"
        raise InputError(
            f"--to nnunet: member '{name}' sees grey values scaled by '{how}', which nnU-Net does not have; train it with "
            f"stage1.members.{name}.intensity: {{how: zscore_of_item}}, or clip_zscore with its four figures, percentiles from 0 to 100, "
            "divide with spread 255, or none, or hand it on with --to safetensors or --to onnx"
        )
    return scheme


def _why_not(member: MemberSettings) -> str:
    """What of a network nnU-Net does not have; empty where it builds the same."""
    if member.network != NETWORK:
        return f"is a {member.network}, and nnU-Net builds {NETWORK} alone"
    if legal_size(member.patch_size, divisor_of(member)) != member.patch_size:
        return f"pads its patches {member.patch_size} inside (auto_pad), which nnU-Net does not"
    options = Options.model_validate(member.options)
    if options.squeeze_excitation != "none":
        return f"has squeeze_excitation {options.squeeze_excitation}, which nnU-Net's plans do not build"
    if options.strides[0] != (1, 1, 1):
        return "has a first stride above 1, undone by interpolation, which nnU-Net does not do"
    return ""


def scheme_of(intensity: Intensity) -> str | None:
    """nnU-Net's normalisation that does the same; None where it has none."""
    if intensity.how == "clip_zscore" and not intensity.keeps_zero:
        return CT
    plain = intensity.model_copy(update={"keeps_zero": False}) if intensity.how == "zscore_of_item" else intensity
    return next((scheme for scheme, known in SCHEMES.items() if known == plain), None)


def _architecture(member: MemberSettings) -> dict[str, object]:
    """The network as nnU-Net's plans name it."""
    options = Options.model_validate(about_network(member)["options"])
    levels = len(options.channels)
    layers: dict[str, str | None] = {**LAYERS} if options.dropout else {**LAYERS, "dropout_op": None}
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
        "arch_kwargs": {
            "n_stages": levels, "features_per_stage": [*options.channels], "kernel_sizes": [[3, 3, 3]] * levels,
            "strides": [[*stride] for stride in options.strides], "n_blocks_per_stage": [*options.blocks],
            "n_conv_per_stage_decoder": [1] * (levels - 1), "conv_bias": True, **layers,
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op_kwargs": {"p": options.dropout} if options.dropout else None, "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": [*LAYERS],
    }  # fmt: skip


def _as_two_classes(weights: Mapping[str, Tensor], card: Card, where: Path) -> dict[str, Tensor]:
    """All names that nnU-Net's network has, second ones too, of weights of ours; heads that nobody trained are 0."""
    network = build(card, where)
    state = network.state_dict()
    for name, tensor in state.items():
        if ".seg_layers." in name:
            tensor.zero_()
    for name, tensor in weights.items():
        there = state[name.removeprefix("network.")]  # one storage under all of its names
        if ".seg_layers." in name:
            there[1:].copy_(tensor)
        else:
            there.copy_(tensor)
    return state


def _write_checkpoint(path: Path, weights: Mapping[str, Tensor], fold: int, mirrors: tuple[int, ...]) -> None:
    """What nnU-Net looks for when it predicts: tensors, numbers and text alone."""
    content = io.BytesIO()
    torch.save(
        {
            "network_weights": weights, "init_args": {"configuration": CONFIGURATION, "fold": fold}, "trainer_name": TRAINER,
            "inference_allowed_mirroring_axes": mirrors or None,  # of an empty list its predictor wants the last
        },
        content,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        aside.write_bytes(content.getbuffer())  # not by torch: from it a full disk is an error of another kind


def _plans(card: Card, scheme: str, batch_size: int) -> dict[str, object]:
    """One configuration of the member's window; items are not resampled, for their spacing is that of the plans."""
    resampled: dict[str, object] = {}
    for kind, is_seg, order in (("data", False, 3), ("seg", True, 1), ("probabilities", False, 1)):
        resampled[f"resampling_fn_{kind}"] = "resample_data_or_seg_to_shape"
        resampled[f"resampling_fn_{kind}_kwargs"] = {
            "is_seg": is_seg,
            "order": order,
            "order_z": 0,
            "force_separate_z": None,
        }
    configuration = {
        "data_identifier": f"nnUNetPlans_{CONFIGURATION}", "preprocessor_name": "DefaultPreprocessor", "batch_size": batch_size,
        "patch_size": [*card.window], "median_image_size_in_voxels": [float(n) for n in card.window], "spacing": [1.0, 1.0, 1.0],
        "normalization_schemes": [scheme], "use_mask_for_norm": [bool(card.options["is_masked"])], **resampled,
        "architecture": card.options["architecture"], "batch_dice": True,
    }  # fmt: skip
    seen = card.intensity
    grey = {"mean": seen.middle, "std": seen.spread, "percentile_00_5": seen.low, "percentile_99_5": seen.high}
    return {
        "dataset_name": "Dataset001_Scroll", "plans_name": "nnUNetPlans", "original_median_spacing_after_transp": [1.0, 1.0, 1.0],
        "original_median_shape_after_transp": [*card.window], "image_reader_writer": "Tiff3DIO", "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2], "configurations": {CONFIGURATION: configuration}, "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager", "foreground_intensity_properties_per_channel": {"0": grey},
    }  # fmt: skip
