"""nnU-Net v2 folders: plans, data set and checkpoints as the package `nnunetv2` writes them, and prediction by its arithmetic.

Probabilities of an item are those of the package's own predictor, whose sums over windows are float16; nothing of that package is
imported. Networks are built by `dynamic-network-architectures`, as there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.ndimage import binary_fill_holes, gaussian_filter
from torch import Tensor, nn

from scroll.errors import InputError, MissingInputError
from scroll.inference.fold_ensemble import device
from scroll.runtime.bounded import plain_file
from scroll.runtime.files import read_mapping
from scroll.runtime.reading import reading

Size = tuple[int, int, int]
PLANS, DATASET = "plans.json", "dataset.json"
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
ARCHITECTURES = "dynamic_network_architectures.architectures."
PARTS = ("torch.nn.", "dynamic_network_architectures.")  # nothing else is looked up by a name in a file
STEP = 0.5  # of a window
CENTRE_WEIGHT, SIGMA = 10.0, 1 / 8  # of a window's Gaussian
WRAPPED = ("module.", "_orig_mod.")  # before the names of tensors: several GPUs, torch.compile


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


@dataclass(frozen=True)
class Scaling:
    """Grey values -> what the network sees, (Z, Y, X) float32, as the class of that name in nnU-Net."""

    scheme: str
    grey: Grey
    is_masked: bool

    def __call__(self, image: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """`mask`: what is not the empty surroundings; the z-score may be of that alone."""
        if self.scheme == "ZScoreNormalization":
            seen = image[mask] if self.is_masked else image
            scaled = (image - seen.mean()) / max(seen.std(), 1e-8)
            return np.where(mask, scaled, image) if self.is_masked else scaled
        if self.scheme == "CTNormalization":
            clipped = np.clip(image, self.grey.percentile_00_5, self.grey.percentile_99_5)
            return (clipped - np.float32(self.grey.mean)) / np.float32(max(self.grey.std, 1e-8))
        if self.scheme == "RescaleTo01Normalization":
            lifted = image - image.min()
            return lifted / np.clip(lifted.max(), 1e-8, None)
        return image / np.float32(255) if self.scheme == "RGBTo01Normalization" else image


SCHEMES = ("ZScoreNormalization", "CTNormalization", "NoNormalization", "RescaleTo01Normalization", "RGBTo01Normalization")


@dataclass(frozen=True)
class Nnunet:
    """A trained configuration: one network for each fold, all built alike.

    Attributes:
        patch: size of a window, in the axes of the network.
        axes: which axis of an item each axis of the network is (`transpose_forward`).
        mirrors: axes of the network that may be mirrored.
        networks: by fold.
    """

    patch: Size
    axes: Size
    mirrors: tuple[int, ...]
    scaling: Scaling
    networks: Mapping[str, nn.Module]

    @torch.inference_mode()
    def probabilities(self, image: NDArray[Any], folds: Sequence[str]) -> NDArray[np.float32]:
        """Probability of the surface, (Z, Y, X) like the image; 0 in the empty surroundings (where all is 0 to the border).

        Memory: about eight times the image in float32.
        """
        turned = image.astype(np.float32).transpose(self.axes)  # not copied: a mean depends on the order in memory
        filled = binary_fill_holes(turned != 0)
        box = _box_of(filled)
        data = torch.from_numpy(np.ascontiguousarray(self.scaling(turned[box], filled[box])))[None]
        logits = torch.stack([self._logits(self.networks[fold], data) for fold in folds]).sum(0)
        if len(folds) > 1:
            logits /= len(folds)  # in float16, as they are added up there
        found = np.zeros(turned.shape, np.float32)
        found[box] = torch.softmax(logits.float(), 0)[1].numpy()
        return found.transpose(np.argsort(self.axes))

    def _logits(self, network: nn.Module, data: Tensor) -> Tensor:
        """Mean of the windows, (2, Z, Y, X) float16 on the CPU; windows are spread evenly, and a small image is padded with 0 about it."""
        low = [max(0, p - n) // 2 for p, n in zip(self.patch, data.shape[1:], strict=True)]
        shape = [max(p, n) for p, n in zip(self.patch, data.shape[1:], strict=True)]
        kept = (slice(None), *(slice(a, a + n) for a, n in zip(low, data.shape[1:], strict=True)))
        padded = data.new_zeros((1, *shape))
        padded[kept] = data
        sums, weights = torch.zeros((2, *shape), dtype=torch.half), torch.zeros(shape, dtype=torch.half)
        bell = gaussian(self.patch)
        for corner in product(*(even_starts(n, p) for n, p in zip(shape, self.patch, strict=True))):
            place = tuple(slice(c, c + p) for c, p in zip(corner, self.patch, strict=True))
            seen = self._mirrored(network, padded[(slice(None), *place)][None].to(device()))[0].cpu()
            sums[(slice(None), *place)] += seen * bell
            weights[place] += bell
        return (sums / weights)[kept]

    def _mirrored(self, network: nn.Module, windows: Tensor) -> Tensor:
        """Mean over all mirrorings, the plain view first."""
        with torch.autocast(device().type, enabled=device().type == "cuda"):
            total = network(windows)
            views = [view for count in range(1, len(self.mirrors) + 1) for view in combinations(self.mirrors, count)]
            for view in views:
                axes = [axis + 2 for axis in view]
                total += torch.flip(network(torch.flip(windows, axes)), axes)
        return total / (len(views) + 1)


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


def read_nnunet(folder: Path, folds: Sequence[str] = (), is_mirrored: bool = True) -> Nnunet:
    """A trained model's folder (with plans.json and dataset.json) with the given folds, or all that are there.

    Raises:
        MissingInputError: a file or a fold is not there.
        InputError: it is of a kind that is not read here (a cascade, regions, several classes or channels, 2D), a name in it leads
            outside torch and the package of the networks, or tensors are missing.
    """
    ours = [*(f"fold_{fold}" for fold in folds)] or sorted(path.name for path in folder.glob("fold_*") if _weights_in(path))
    if not ours:
        raise MissingInputError(f"{folder}: no fold_<k>/{CHECKPOINTS[0]} in it; give the folder that nnU-Net trained into")
    plans, dataset = (read_mapping(folder / name) for name in (PLANS, DATASET))
    _check_dataset(folder / DATASET, dataset)
    checkpoints = {name.removeprefix("fold_"): _checkpoint(folder / name) for name in ours}
    first = next(iter(checkpoints.values()))
    path = folder / PLANS
    with reading(path, "plans as nnU-Net 2 writes them", "copy the folder again", also=(ValidationError,)):
        name = str(first["init_args"]["configuration"])
        configuration = Configuration.model_validate(_inherited(path, plans["configurations"], name))
        axes = tuple(int(axis) for axis in plans["transpose_forward"])
        grey = Grey.model_validate(plans["foreground_intensity_properties_per_channel"]["0"])
    _check_configuration(path, name, configuration)
    mirrors = first.get("inference_allowed_mirroring_axes") or () if is_mirrored else ()
    scaling = Scaling(configuration.normalization_schemes[0], grey, configuration.use_mask_for_norm[0])
    networks = {}
    for fold, checkpoint in checkpoints.items():
        networks[fold] = _filled(path, build(path, configuration.architecture), checkpoint["network_weights"])
    return Nnunet(configuration.patch_size, axes, tuple(mirrors), scaling, networks)


def _weights_in(folder: Path) -> Path | None:
    return next((folder / name for name in CHECKPOINTS if (folder / name).exists()), None)


def _checkpoint(folder: Path) -> dict[str, Any]:
    """What a fold's checkpoint holds; read without executing what is in it."""
    path = _weights_in(folder)
    if path is None:
        raise MissingInputError(f"{folder}: no {' or '.join(CHECKPOINTS)} in it; copy the fold, or give others")
    return safe_checkpoint(path, ("network_weights", "init_args"))


def safe_checkpoint(path: Path, needed: Sequence[str]) -> dict[str, Any]:
    """A pickled checkpoint: tensors, plain values and numpy's numbers; nothing in it is executed.

    Raises:
        InputError: it holds code or objects, is damaged, or lacks one of the `needed` entries.
    """
    import pickle

    scalars = [np.dtype, np.ndarray, np._core.multiarray.scalar, np._core.multiarray._reconstruct]
    scalars += [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "u1", "?")]
    old = [(np._core.multiarray.scalar, "numpy.core.multiarray.scalar"), (np._core.multiarray._reconstruct, "numpy.core.multiarray._reconstruct")]
    remedy = "ask for a checkpoint of tensors and numbers alone"
    with torch.serialization.safe_globals([*scalars, *old]), reading(path, "a checkpoint", "copy it again", also=(RuntimeError, EOFError)):
        try:
            found = torch.load(plain_file(path), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise InputError(f"{path}: holds more than tensors and numbers ({_culprit(error)}), which would be run on reading; {remedy}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds a {type(found).__name__}; expected a checkpoint with {', '.join(needed)}; give another file")
    for name in needed:
        if name not in found:
            raise InputError(f"{path}: no '{name}' in it, but {', '.join(map(str, list(found)[:6]))}; expected a checkpoint of nnU-Net 2")
    return found


def _culprit(error: Exception) -> str:
    words = str(error).replace("`", " ").split()
    return next((word for word in words if "." in word and word.replace(".", "").replace("_", "").isalnum()), "code")


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
        raise InputError(f"{path}: labels {labels}; expected background 0, one class 1 and, if any, ignore; a member predicts one thing")
    channels = dataset.get("channel_names", dataset.get("modality", {}))
    if len(channels) != 1:
        raise InputError(f"{path}: {len(channels)} channels; expected one, the CT")


def _check_configuration(path: Path, name: str, configuration: Configuration) -> None:
    spacing = configuration.spacing
    if max(spacing) > 1.01 * min(spacing):
        raise InputError(f"{path}: {name} was trained at a spacing of {spacing}; expected cubic voxels: export it for those")
    if configuration.previous_stage:
        raise InputError(f"{path}: {name} is the second half of a cascade; give a configuration that needs no other")
    if configuration.normalization_schemes[0] not in SCHEMES:
        raise InputError(f"{path}: intensity scaling '{configuration.normalization_schemes[0]}' is not known; there are {', '.join(SCHEMES)}")


def build(path: Path, architecture: Architecture) -> nn.Module:
    """The network of the plans, for one channel and two classes, randomly initialised.

    Raises:
        InputError: a name leads outside torch and the package of the networks, or is not there.
    """
    kwargs = dict(architecture.arch_kwargs)
    for key in architecture.kw_requires_import:
        if kwargs.get(key) is not None:
            kwargs[key] = _named(path, str(kwargs[key]), PARTS)
    network_class = _named(path, architecture.network_class_name, (ARCHITECTURES,))
    with reading(path, "an architecture that its class can build", "copy the folder again", also=(TypeError, AssertionError)):
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
        raise InputError(f"{path}: {name} is not in the installed dynamic-network-architectures; install a newer one") from None


def _filled(path: Path, network: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    names = {name: _unwrapped(name) for name in weights}
    state = {names[name]: tensor for name, tensor in weights.items()}
    wanted = network.state_dict()
    missing = [name for name in wanted if name not in state]
    if missing:
        raise InputError(f"{path.parent}: {len(missing)} of {len(wanted)} tensors are missing, first {missing[0]}; copy the checkpoint again")
    shaped = [name for name in wanted if wanted[name].shape != state[name].shape]
    if shaped:
        name = shaped[0]
        raise InputError(f"{path.parent}: {name} is {tuple(state[name].shape)}; the plans build {tuple(wanted[name].shape)}: plans and checkpoint do not belong together")
    network.load_state_dict({name: state[name] for name in wanted})
    return network.to(device()).eval()


def _unwrapped(name: str) -> str:
    for prefix in WRAPPED:
        name = name.removeprefix(prefix)
    return name
