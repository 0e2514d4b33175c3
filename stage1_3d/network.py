"""From a member's settings to its network; refuses patches that the network cannot take before anything heavy is loaded."""

import difflib
from importlib import import_module
from math import prod
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from pydantic import ValidationError

from scroll.config.reader import in_plain_words, load_settings
from scroll.config.schema import DataSettings, MemberSettings, Settings
from scroll.data.augment.augment import check_augment
from scroll.data.folds import check_buffer
from scroll.data.kinds import kind_of
from scroll.data.sample import Space
from scroll.errors import InputError
from stage1_3d.flatten import depth_window
from stage1_3d.models import MAPS, NETWORKS

if TYPE_CHECKING:
    from torch import nn

Size = tuple[int, int, int]


def load_checked_settings(path: Path, overrides: list[str]) -> Settings:
    """`load_settings`, and every member's network, options, patch size and test-time views checked, and the buffer between folds.

    Raises:
        InputError: also for an unknown network or option, or a patch the network cannot take; names the nearest legal sizes.
    """
    settings = load_settings(path, overrides)
    for name, member in settings.stage1.trained.items():
        try:
            check_member(member, settings.data)
        except InputError as error:
            raise InputError(f"{path}: stage1.members.{name}: {error}") from None
    try:
        check_views(settings)
        check_buffer(settings)
        if kind_of(settings.data).has_sheets:  # traced ones have a depth of their own
            depth_window(settings.stage1.flatten, settings.data.depth)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return settings


def check_member(member: MemberSettings, data: DataSettings) -> None:
    """Refuse what could not be built, or not be trained on this kind of data.

    Raises:
        InputError: unknown network, unknown option, an illegal patch, a map of the sheet where voxels are trained on, or
            depth-pooled supervision or an augmentation that has no meaning in scroll space.
    """
    module, options = _resolved(member)
    divisor: Size = module.divisor(options)
    if not member.auto_pad and legal_size(member.patch_size, divisor) != member.patch_size:
        down, up = nearest_legal(member.patch_size, divisor)
        raise InputError(
            f"patch_size {member.patch_size} does not suit '{member.network}', which needs multiples of {_said(divisor)}; "
            f"nearest: {down} or {up}; or set auto_pad: true"
        )
    check_patch(member, member.patch_size)
    kind = kind_of(data)
    check_augment(member.augment, Space.SHEET if kind.is_flattened else Space.SCROLL)
    if member.network in MAPS and not (kind.is_flattened and member.supervision == "depth_pool"):
        raise InputError(
            f"network '{member.network}' returns one map of a flattened sheet, which needs supervision: depth_pool and "
            f"data.kind: fragments, but they are {member.supervision} and {data.kind}; set them so, or choose another network"
        )
    if not kind.is_flattened:
        if member.supervision != "band":
            raise InputError(
                f"supervision is {member.supervision}, but in scroll space (data.kind: {data.kind}) no axis is depth; set it to band"
            )
        if not kind.has_sheets and data.bin_yx != 1:
            raise InputError(f"data.bin_yx is {data.bin_yx}, but {data.kind} are scored voxel by voxel; leave it at 1")
        return
    depth = data.depth[1] - data.depth[0]
    if member.patch_size[0] > depth:
        raise InputError(
            f"patch_size {member.patch_size} is deeper than the {depth} layers of data.depth; widen data.depth or lower patch_size"
        )


def check_patch(member: MemberSettings, patch: Size) -> None:
    """Refuse a patch of which, padded to the next legal size, too little is left to normalise, or that the network's own check refuses.

    Raises:
        InputError: it is so.
    """
    module, options = _resolved(member)
    divisor: Size = module.divisor(options)
    legal = legal_size(patch, divisor)
    if prod(legal) <= prod(divisor):
        raise InputError(
            f"patch_size {patch} leaves one voxel at the coarsest level of '{member.network}', and normalising "
            "needs two; make patch_size larger"
        )
    if hasattr(module, "check"):
        module.check(options, legal)


def check_views(settings: Settings) -> None:
    """Refuse test-time symmetries that show a member what it was never trained on.

    Raises:
        InputError: in scroll space, mirrors across the sheets for a member whose training patches were not mirrored so.
    """
    tta = settings.stage1.window.tta
    if kind_of(settings.data).is_flattened or tta == "none":
        return
    for name, member in settings.stage1.trained.items():
        if not member.augment.across_sheets:
            raise InputError(
                f"stage1.window.tta is {tta}: in scroll space (data.kind: {settings.data.kind}) it shows versos where member '{name}' "
                f"learnt rectos; set it to none, or train with stage1.members.{name}.augment.across_sheets: true"
            )


def build_network(member: MemberSettings) -> "nn.Module":
    """(B, 1, *patch_size) CT -> logits of the same shape, randomly initialised; padded inside where `auto_pad` asks for it."""
    module, options = _resolved(member)
    padded = legal_size(member.patch_size, module.divisor(options))
    network: nn.Module = module.build(options, padded)
    if padded == member.patch_size:
        return network
    from stage1_3d.models.padded import Padded

    return Padded(network, padded)


class About(TypedDict):
    """What is stored with a member's weights."""

    network: str
    options: dict[str, Any]
    patch_size: list[int]
    intensity: NotRequired[dict[str, object]]


def about_network(member: MemberSettings) -> About:
    """What is stored with the weights: the network, its full options, the patch, and the scaling where it is not the usual one."""
    _, options = _resolved(member)
    about: About = {
        "network": member.network,
        "options": options.model_dump(mode="json"),
        "patch_size": list(member.patch_size),
    }
    if member.intensity is not None:
        about["intensity"] = member.intensity.model_dump(mode="json")
    return about


def divisor_of(member: MemberSettings) -> Size:
    """Multiples that a patch of the member's network must be of, (z, y, x)."""
    module, options = _resolved(member)
    divisor: Size = module.divisor(options)
    return divisor


def legal_size(size: Size, divisor: Size) -> Size:
    """The smallest legal size that holds `size`.

    >>> legal_size((72, 136, 136), (16, 16, 16))
    (80, 144, 144)
    """
    z, y, x = (-(-s // d) * d for s, d in zip(size, divisor, strict=True))
    return z, y, x


def nearest_legal(size: Size, divisor: Size) -> tuple[Size, Size]:
    """The legal sizes just below and just above.

    >>> nearest_legal((72, 136, 136), (16, 16, 16))
    ((64, 128, 128), (80, 144, 144))
    """
    z, y, x = (max(d, s // d * d) for s, d in zip(size, divisor, strict=True))
    return (z, y, x), legal_size(size, divisor)


def _resolved(member: MemberSettings) -> tuple[ModuleType, Any]:
    if member.network not in NETWORKS:
        near = difflib.get_close_matches(member.network, NETWORKS, n=1, cutoff=0.4)
        raise InputError(
            f"unknown network '{member.network}'; "
            + (f"did you mean '{near[0]}'? " if near else "")
            + f"there are {', '.join(NETWORKS)}"
        )
    module = import_module(NETWORKS[member.network])
    try:
        return module, module.Options.model_validate(member.options)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(("options", *(str(part) for part in problem["loc"])))
        message = f"{where} for '{member.network}': {in_plain_words(problem)}"
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(problem["loc"][-1]), module.Options.model_fields, n=1, cutoff=0.5)
            message += (
                f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(module.Options.model_fields)}"
            )
        raise InputError(message) from None


def _said(divisor: Size) -> str:
    return str(divisor[0]) if len(set(divisor)) == 1 else str(divisor)
