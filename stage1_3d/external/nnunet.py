"""nnU-Net v2 folders: plans, data set and checkpoints as the package `nnunetv2` writes them, and prediction by its arithmetic.

Probabilities of an item are those of the package's own predictor, whose sums over windows are float16; nothing of that package is
imported. Networks are built by `dynamic-network-architectures`, as there.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import load_file
from scipy.ndimage import binary_fill_holes, gaussian_filter
from torch import Tensor, nn

from scroll.data.intensity import Intensity
from scroll.data.members.card import NAME, Card, FoldCard
from scroll.errors import InputError, MissingInputError
from scroll.geometry import Size
from scroll.inference.fold_ensemble import device
from scroll.runtime.files import read_json
from scroll.runtime.reading import reading
from scroll.training.foreign_checkpoint import read_checkpoint
from stage1_3d.external.checkpoint import fitting, write_tensors

PLANS, DATASET = "plans.json", "dataset.json"
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
ARCHITECTURES = "dynamic_network_architectures.architectures."
PARTS = ("torch.nn.", "dynamic_network_architectures.")  # nothing else is looked up by a name in a file
STEP = 0.5  # of a window
CENTRE_WEIGHT, SIGMA = 10.0, 1 / 8  # of a window's Gaussian


class Foreign(BaseModel):
    """A JSON of another program: what is used of it has its type; the rest is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Architecture(Foreign):
    """How a network is built."""

    network_class_name: str
    arch_kwargs: dict[str, Any]
    kw_requires_import: tuple[str, ...] = Field((), alias="_kw_requires_import")


class Configuration(Foreign):
    """One of the plans, such as 3d_fullres."""

    patch_size: Size
    spacing: tuple[float, float, float]
    normalization_schemes: tuple[str, ...]
    use_mask_for_norm: tuple[bool, ...]
    architecture: Architecture
    previous_stage: str | None = None


class Grey(Foreign):
    """Grey values of the training set's foreground."""

    mean: float
    std: float
    percentile_00_5: float
    percentile_99_5: float


def intensity_of(scheme: str, grey: Grey) -> Intensity:
    """nnU-Net's normalisation of that name, for one channel."""
    if scheme == CT:
        spread = max(grey.std, 1e-8)
        return Intensity(
            how="clip_zscore", low=grey.percentile_00_5, high=grey.percentile_99_5, middle=grey.mean, spread=spread
        )
    return SCHEMES[scheme]


CT = "CTNormalization"
SCHEMES = {
    "ZScoreNormalization": Intensity(how="zscore_of_item"),
    "NoNormalization": Intensity(),
    "RescaleTo01Normalization": Intensity(how="percentiles", low=0.0, high=100.0),
    "RGBTo01Normalization": Intensity(how="divide", spread=255.0),
}


class Windows(nn.Module):
    """One of its networks over windows (B, 1, Z, Y, X) along the axes of an item: the mean over its mirrors."""

    def __init__(self, network: nn.Module, card: Card) -> None:
        super().__init__()
        self.network, self.axes, self.mirrors = network, axes_of(card), _ints(card, "mirrors")

    def forward(self, windows: Tensor) -> Tensor:
        """Two classes as one logit, (B, 1, Z, Y, X): that of the class less that of the background."""
        turned = windows.permute(0, 1, *(axis + 2 for axis in self.axes))
        both = self.of_both(turned)
        return (both[:, 1:] - both[:, :1]).permute(0, 1, *(int(axis) + 2 for axis in np.argsort(self.axes)))

    def of_both(self, turned: Tensor) -> Tensor:
        """Windows along the network's own axes -> logits of background and class, (B, 2, ...), the plain view first."""
        with torch.autocast(device().type, enabled=device().type == "cuda"):
            total = self.network(turned)
            views = [view for count in range(1, len(self.mirrors) + 1) for view in combinations(self.mirrors, count)]
            for view in views:
                axes = [axis + 2 for axis in view]
                total += torch.flip(self.network(torch.flip(turned, axes)), axes)
        return total / (len(views) + 1)


def network(folder: Path, card: Card, fold: int) -> Windows:
    """One of its networks, on the GPU if there is one."""
    built = build(card, folder / NAME)
    built.load_state_dict(load_file(folder / card.folds[fold].weights))
    return Windows(built.to(device()), card).eval()


@torch.inference_mode()
def probabilities(card: Card, networks: Sequence[Windows], image: NDArray[Any]) -> NDArray[np.float32]:
    """Probability of the class in a whole item (Z, Y, X), as nnU-Net's own predictor gives it; 0 in empty surroundings.

    Memory: about eight times the image in float32.
    """
    axes = axes_of(card)
    turned = image.astype(np.float32).transpose(axes)  # not copied: a mean depends on the order in memory
    filled = binary_fill_holes(turned != 0)
    box = _box_of(filled)
    inside, mask = turned[box], filled[box]
    is_masked = bool(card.options["is_masked"])
    seen = card.intensity.of_item(inside[mask] if is_masked else inside).scaled(inside)
    seen = np.where(mask, seen, inside) if is_masked else seen
    data = torch.from_numpy(np.ascontiguousarray(seen))[None]
    window = as_size([card.window[axis] for axis in axes])
    logits = torch.stack([_logits(network, window, data) for network in networks]).sum(0)
    if len(networks) > 1:
        logits /= len(networks)  # in float16, as they are added up there
    found = np.zeros(turned.shape, np.float32)
    found[box] = torch.softmax(logits.float(), 0)[1].numpy()
    return found.transpose(np.argsort(axes))


def _logits(network: Windows, window: Size, data: Tensor) -> Tensor:
    """Mean of the windows, (2, Z, Y, X) float16 on the CPU; windows are spread evenly, and a small image is padded with 0 about it."""
    low = [max(0, p - n) // 2 for p, n in zip(window, data.shape[1:], strict=True)]
    shape = [max(p, n) for p, n in zip(window, data.shape[1:], strict=True)]
    kept = (slice(None), *(slice(a, a + n) for a, n in zip(low, data.shape[1:], strict=True)))
    padded = data.new_zeros((1, *shape))
    padded[kept] = data
    sums, weights = torch.zeros((2, *shape), dtype=torch.half), torch.zeros(shape, dtype=torch.half)
    bell = gaussian(window)
    for corner in product(*(even_starts(n, p) for n, p in zip(shape, window, strict=True))):
        place = tuple(slice(c, c + p) for c, p in zip(corner, window, strict=True))
        seen = network.of_both(padded[(slice(None), *place)][None].to(device()))[0].cpu()
        sums[(slice(None), *place)] += seen * bell
        weights[place] += bell
    return (sums / weights)[kept]


def axes_of(card: Card) -> Size:
    """Which axis of an item each axis of the network is (`transpose_forward`)."""
    return as_size(_ints(card, "axes"))


def as_size(values: Sequence[int]) -> Size:
    """Three numbers."""
    z, y, x = values
    return z, y, x


def even_starts(length: int, patch: int) -> list[int]:
    """Where windows begin along an axis: at most half a window apart, evenly spread from end to end.

    >>> even_starts(110, 64)
    [0, 23, 46]
    """
    count = int(np.ceil((length - patch) / (patch * STEP))) + 1
    return [int(np.round((length - patch) / max(count - 1, 1) * n)) for n in range(count)]


def gaussian(patch: Size) -> Tensor:
    """Weight of each voxel of a window, float16, 10 in the middle; what is 0 in float16 becomes the smallest that is not."""
    bell = np.zeros(patch)
    bell[tuple(n // 2 for n in patch)] = 1
    bell = gaussian_filter(bell, [n * SIGMA for n in patch], 0, mode="constant", cval=0)
    weight = torch.from_numpy(bell / (bell.max() / CENTRE_WEIGHT)).half()
    weight[weight == 0] = weight[weight > 0].min()
    return weight


def _box_of(filled: NDArray[np.bool_]) -> tuple[slice, ...]:
    if not filled.any():
        return tuple(slice(0, n) for n in filled.shape)
    spans = [np.flatnonzero(filled.any(axis=tuple(o for o in range(3) if o != axis))) for axis in range(3)]
    return tuple(slice(int(span[0]), int(span[-1]) + 1) for span in spans)


def import_nnunet(
    folder: Path, output: Path, splits: Sequence[Mapping[str, Sequence[str]]] = (), names: Sequence[str] = ()
) -> Card:
    """Weights of a trained model's folder (with plans.json and dataset.json) into `output`, a file a fold; returns its card.

    `names`: folds, such as "0"; all that are there, if none. `splits`: what each fold was trained on, as in splits_final.json.

    Raises:
        MissingInputError: a file or a fold is not there.
        InputError: it is of a kind that is not read here (a cascade, regions, several classes or channels, voxels that are no cubes), a
            name in it leads outside torch and the package of the networks, or tensors are missing.
    """
    folders = [folder / f"fold_{name}" for name in names] or sorted(
        path for path in folder.glob("fold_*") if _weights_in(path)
    )
    if not folders:
        raise MissingInputError(
            f"{folder}: no fold_<k>/{CHECKPOINTS[0]} in it; give the folder that nnU-Net trained into"
        )
    plans, dataset = (_mapping(folder / name) for name in (PLANS, DATASET))
    _check_dataset(folder / DATASET, dataset)
    checkpoints = {path.name.removeprefix("fold_"): _checkpoint(path) for path in folders}
    first, path = next(iter(checkpoints.values())), folder / PLANS
    with reading(path, "plans as nnU-Net 2 writes them", "copy the folder again", also=(ValidationError,)):
        name = str(first["init_args"]["configuration"])
        configuration = Configuration.model_validate(_inherited(path, plans["configurations"], name))
        axes = [int(axis) for axis in plans["transpose_forward"]]
        grey = Grey.model_validate(plans["foreground_intensity_properties_per_channel"]["0"])
    _check_configuration(path, name, configuration)
    seen = {str(n): tuple(map(str, fold["train"])) for n, fold in enumerate(splits)}
    window = as_size([configuration.patch_size[axes.index(axis)] for axis in range(3)])
    card = Card(
        family="nnunet", window=window, overlap=STEP, source=str(folder),
        intensity=intensity_of(configuration.normalization_schemes[0], grey),
        options={
            "architecture": configuration.architecture.model_dump(mode="json", by_alias=True), "configuration": name, "axes": list(axes),
            "mirrors": [int(axis) for axis in first.get("inference_allowed_mirroring_axes") or ()],
            "is_masked": configuration.use_mask_for_norm[0],
        },
        folds=tuple(FoldCard(weights=f"fold{fold}.safetensors", sha256="", trained_on=seen.get(fold, ())) for fold in checkpoints),
    )  # fmt: skip
    for fold, checkpoint in checkpoints.items():
        write_tensors(
            output / f"fold{fold}.safetensors", fitting(folder, build(card, path), checkpoint["network_weights"])
        )
    return card


def _ints(card: Card, name: str) -> list[int]:
    values = card.options[name]
    return [int(str(value)) for value in values] if isinstance(values, list) else []


def _weights_in(folder: Path) -> Path | None:
    return next((folder / name for name in CHECKPOINTS if (folder / name).exists()), None)


def _checkpoint(folder: Path) -> dict[str, Any]:
    """What a fold's checkpoint holds; read without executing what is in it."""
    path = _weights_in(folder)
    if path is None:
        raise MissingInputError(f"{folder}: no {' or '.join(CHECKPOINTS)} in it; copy the fold, or give others")
    return read_checkpoint(path, ("network_weights", "init_args"))


def _mapping(path: Path) -> dict[str, Any]:
    with reading(path, "a JSON as nnU-Net 2 writes it", "copy the folder again"):
        content = read_json(path)
        if not isinstance(content, dict):
            raise ValueError(f"holds a {type(content).__name__}")
        return content


def _inherited(path: Path, configurations: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A configuration with what it takes from its parents."""
    found, seen = dict(configurations[name]), {name}
    while "inherits_from" in found:
        parent = found.pop("inherits_from")
        if parent in seen:
            raise InputError(f"{path}: configuration {name} inherits from itself; copy the folder again")
        seen.add(parent)
        found = {**configurations[parent], **found}
    return found


def _check_dataset(path: Path, dataset: Mapping[str, Any]) -> None:
    labels = dataset.get("labels", {})
    classes = [value for name, value in labels.items() if name != "ignore"]
    if sorted(map(str, classes)) != ["0", "1"]:
        raise InputError(
            f"{path}: labels {labels}; expected background 0, one class 1 and, if any, ignore; a member predicts one thing"
        )
    channels = dataset.get("channel_names", dataset.get("modality", {}))
    if len(channels) != 1:
        raise InputError(f"{path}: {len(channels)} channels; expected one, the CT")


def _check_configuration(path: Path, name: str, configuration: Configuration) -> None:
    spacing = configuration.spacing
    if max(spacing) > 1.01 * min(spacing):
        raise InputError(
            f"{path}: {name} was trained at a spacing of {spacing}; expected cubic voxels: export it for those"
        )
    if configuration.previous_stage:
        raise InputError(f"{path}: {name} is the second half of a cascade; give a configuration that needs no other")
    scheme = configuration.normalization_schemes[0]
    if scheme not in (CT, *SCHEMES):
        raise InputError(
            f"{path}: intensity scaling '{scheme}' is not known; there are {CT}, {', '.join(SCHEMES)}: train with one of these"
        )


def build(card: Card, where: Path) -> nn.Module:
    """The network of the plans, for one channel and two classes, randomly initialised; `where` is for messages.

    Raises:
        InputError: a name leads outside torch and the package of the networks, or is not there.
    """
    with reading(where, "an architecture as nnU-Net 2 writes it", "copy the folder again", also=(ValidationError,)):
        architecture = Architecture.model_validate(card.options["architecture"])
    kwargs = dict(architecture.arch_kwargs)
    for key in architecture.kw_requires_import:
        if kwargs.get(key) is not None:
            kwargs[key] = _named(where, str(kwargs[key]), PARTS)
    network_class = _named(where, architecture.network_class_name, (ARCHITECTURES,))
    with reading(
        where, "an architecture that its class can build", "copy the folder again", also=(TypeError, AssertionError)
    ):
        network: nn.Module = network_class(input_channels=1, num_classes=2, **kwargs, deep_supervision=False)
    return network


def _named(path: Path, name: str, allowed: tuple[str, ...]) -> Any:
    """What a dotted name stands for, if it may be asked for."""
    from importlib import import_module

    module, _, last = name.rpartition(".")
    if not name.startswith(allowed):
        raise InputError(f"{path}: names {name}; only {' and '.join(allowed)} may be looked up by a name in a file")
    try:
        return getattr(import_module(module), last)
    except (ImportError, AttributeError):
        raise InputError(
            f"{path}: {name} is not in the installed dynamic-network-architectures; install a newer one"
        ) from None


def read_splits(path: Path) -> list[dict[str, list[str]]]:
    """nnU-Net's splits_final.json: for each fold, the items it is trained on ("train") and validated on ("val").

    Raises:
        MissingInputError: not there.
        InputError: something else.
    """
    with reading(path, "splits as nnU-Net 2 writes them", "copy splits_final.json from nnUNet_preprocessed again"):
        return [{name: [str(item) for item in fold[name]] for name in ("train", "val")} for fold in read_json(path)]
