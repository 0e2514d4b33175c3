"""What end-to-end training asks of the settings, checked before anything heavy is loaded."""

import difflib
from math import lcm

from scroll.config.schema import EndToEndSettings, MemberSettings, Settings
from scroll.data.kinds import kind_of
from scroll.errors import InputError
from stage1_3d.network import divisor_of, legal_size, nearest_legal

STAGE2_DIVISOR = 32
FIXED_SIZE = ("unetr", "primus", "timesformer")  # networks that take patches of the size they were built for only


def end_to_end_of(settings: Settings) -> EndToEndSettings:
    """The settings of end-to-end training.

    Raises:
        InputError: there are none.
    """
    if settings.end_to_end is None:
        example = next(iter(settings.stage1.trained), "unet3d")
        raise InputError(
            f"end_to_end is not set; say which member is trained on together with stage two: end_to_end: {{member: {example}}}"
        )
    return settings.end_to_end


def check_end_to_end(settings: Settings) -> None:
    """Refuse what could not be trained end to end.

    Raises:
        InputError: end_to_end is not set, the data is not of flattened fragments, no such member, a member whose patch is not the
            whole depth window, or a patch that does not suit both networks.
    """
    end_to_end, members = end_to_end_of(settings), settings.stage1.trained
    if not kind_of(settings.data).is_flattened:
        raise InputError(
            f"end_to_end: needs flattened layer stacks (data.kind: fragments), and data.kind is {settings.data.kind}; remove end_to_end"
        )
    if end_to_end.member not in members:
        near = difflib.get_close_matches(end_to_end.member, members, n=1, cutoff=0.4)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(members)}"
        raise InputError(f"end_to_end.member '{end_to_end.member}' is no member of stage one; {hint}")
    if end_to_end.member not in settings.stage1.fitted:
        raise InputError(
            f"end_to_end.member '{end_to_end.member}' has an equal share, so stage two does not see it; give one that is fitted"
        )
    if members[end_to_end.member].intensity is not None:
        raise InputError(
            f"end_to_end.member '{end_to_end.member}' has an intensity of its own, and training end to end shows robust z-scores; choose a "
            "member without, or train it without"
        )
    try:
        _check_patch(end_to_end.patch_size_yx, members[end_to_end.member], settings.data.depth)
    except InputError as error:
        raise InputError(f"end_to_end, member '{end_to_end.member}': {error}") from None


def _check_patch(patch_yx: tuple[int, int], member: MemberSettings, window: tuple[int, int]) -> None:
    """The patch (depth window, *patch_yx) must suit the member as it was trained, and stage two."""
    depth, divisor = window[1] - window[0], divisor_of(member)
    if member.patch_size[0] != depth:
        raise InputError(
            f"its patch is {member.patch_size[0]} layers deep, but training end to end takes the {depth} layers of data.depth "
            f"{window} at once; train it with a patch_size of {depth} layers, or choose another member"
        )
    if legal_size(member.patch_size, divisor) != member.patch_size:
        raise InputError(
            f"its patches {member.patch_size} are padded (auto_pad); choose a member that needs no padding"
        )
    if member.network in FIXED_SIZE and patch_yx != member.patch_size[1:]:
        raise InputError(
            f"'{member.network}' takes patches of {member.patch_size[1:]} (y, x) only; set end_to_end.patch_size_yx to that"
        )
    both = (1, lcm(divisor[1], STAGE2_DIVISOR), lcm(divisor[2], STAGE2_DIVISOR))
    if legal_size((depth, *patch_yx), both) != (depth, *patch_yx):
        down, up = nearest_legal((depth, *patch_yx), both)
        raise InputError(
            f"end_to_end.patch_size_yx {patch_yx} does not suit '{member.network}' and stage two, which need multiples of {both[1:]}; "
            f"nearest: {down[1:]} or {up[1:]}"
        )
