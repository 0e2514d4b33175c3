"""Names that become folders and files: of fragments, segments, cubes and members, checked wherever one enters."""

import re
from collections.abc import Iterable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

from scroll.errors import InputError

LONGEST = 100  # characters; file systems take 255 bytes, endings and parts of ours included
RULE = re.compile(rf"(?!\.)[A-Za-z0-9._-]{{1,{LONGEST}}}(?<!\.)")
FOLDERS = (
    "stage1",
    "stage2",
    "joint",
    "ensemble",
    "ct",
    "oof",
    "sheets",
    "masks",
    "patches",
    "pictures",
    "volumes",
    "pairs",
    "predict",
    "placebo",
    "kaggle",
    "checkpoint",
    "tensorboard",
)
FILES = (
    "settings.yaml",
    "wish.yaml",
    "plan.yaml",
    "receipt.json",
    "preflight.json",
    "fit.json",
    "score.json",
    "placebo.json",
    "audit.json",
    "audit.html",
    "phantom.json",
    "bundle.json",
    "report.html",
    "blocks.npz",
    "preview.png",
    "montage.png",
    "weights.safetensors",
    "history.jsonl",
    "resume.pt",
)
RESERVED = frozenset(
    (*FOLDERS, *FILES)
)  # what stands beside a fragment, a cube or a member in a run folder or a prediction
DEVICES = re.compile(r"(con|prn|aux|nul|(com|lpt)[1-9])(\..*)?", re.IGNORECASE)  # of Windows, with any ending
WANTED = f"expected 1 to {LONGEST} letters, digits, '.', '_' or '-', no '.' at the ends"


def sound_name(text: str) -> str:
    """The name itself.

    >>> sound_name("w016_flattened")
    'w016_flattened'

    Raises:
        ValueError: it could lead to another folder, or to what a run folder keeps under that name.
    """
    if not RULE.fullmatch(text):
        raise ValueError(f"no name for a folder: {WANTED}; rename it")
    if text.casefold() in RESERVED:
        raise ValueError(
            f"a name that a run folder keeps for something else, as {', '.join(FOLDERS)} and its own files; rename it"
        )
    if DEVICES.fullmatch(text):
        raise ValueError("a device on Windows, where no folder can be called so; rename it")
    return text


Names = TypeVar("Names", bound=Iterable[str])


def all_different(names: Names) -> Names:
    """The names themselves.

    Raises:
        ValueError: one of them stands there twice.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"'{name}' is given twice; keep one")
        seen.add(name)
    return names


def distinguishable(names: Names) -> Names:
    """The names themselves, of folders that we make: many disks do not tell capitals from small letters.

    Raises:
        ValueError: two of them differ in that alone.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise ValueError(f"'{other}' and '{name}' would be one folder on some disks; rename one")
    return names


Name = Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(sound_name)]  # YAML reads 1, 2, 3 as numbers


def checked_name(text: str, where: str) -> str:
    """The name itself; `where` it was read, for the message.

    Raises:
        InputError: it is none.
    """
    try:
        return sound_name(text)
    except ValueError as error:
        raise InputError(f"{where}: {text[: 2 * LONGEST]!r} is {error}") from None


def name_of_file(stem: str) -> str:
    """A name for what one file or folder, given by its path, is called: what a name cannot hold becomes '_'.

    >>> name_of_file("PHerc 139, 7.91um")
    'PHerc_139__7.91um'

    Raises:
        InputError: nothing of it is left, or the name is reserved.
    """
    return checked_name(re.sub(r"[^A-Za-z0-9._-]", "_", stem).strip(".")[:LONGEST], "name")
