"""Members without a run: settings made of their cards, so that anybody's network can be audited on anybody's stack."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from ensemble.controls.asked import PLAIN_THRESHOLD, Asked, alone
from ensemble.ink.predictors import ENSEMBLE
from scroll.config.reader import load_settings
from scroll.config.schema import Settings
from scroll.data.members.card import Card, read_card
from scroll.errors import InputError
from scroll.runtime.files import write_text
from scroll.runtime.names import checked_name

NAME = "members.yaml"


def asked_alone(
    folders: Sequence[Path],
    source: Path,
    output: Path,
    overrides: Sequence[str],
    config: Path | None,
    threshold: float | None = None,
) -> Asked:
    """Members by their folders; `config` says how data is looked at where it is given, else their cards do.

    A `threshold` that is given is everybody's; else each has its card's, or `PLAIN_THRESHOLD`, and their mean the mean of these.

    Leaves <output>/members.yaml, the settings that were made.

    Raises:
        MissingInputError: a folder holds no card.
        InputError: two members of one name, predictions made elsewhere, or cards that want voxels of unequal size.
    """
    cards = {checked_name(folder.absolute().name, f"{folder}: the member"): read_card(folder) for folder in folders}
    if len(cards) < len(folders):
        raise InputError(f"--member: two folders are called alike in {', '.join(map(str, folders))}; rename one")
    ready = [name for name, card in cards.items() if card.ready]
    if ready:
        raise InputError(
            f"--member {ready[0]}: holds predictions that were made elsewhere, which nobody can ask of a copy; give the network itself, or "
            "audit a run that they are a member of"
        )
    members = {name: {"member": str(folder)} for name, folder in zip(cards, folders, strict=True)}
    if config is not None:
        settings = load_settings(config, overrides)
        chosen = Settings.model_validate({"run_dir": output, "stage1": {"members": members}}).stage1.members
        stage1 = settings.stage1.model_copy(update={"members": chosen})
        return alone(settings.model_copy(update={"stage1": stage1}), _thresholds(cards, threshold))
    content = {
        "run_dir": str(output / "members"),
        "data": _data(list(cards.values()), folders, source, output),
        "stage1": {"members": members},
        "preflight": {"mode": "off"},
    }
    write_text(output / NAME, yaml.safe_dump(content))
    return alone(load_settings(output / NAME, overrides), _thresholds(cards, threshold))


def _thresholds(cards: Mapping[str, Card], given: float | None) -> dict[str, float]:
    """Of every member and of their plain mean."""
    thresholds = {name: given or card.threshold or PLAIN_THRESHOLD for name, card in cards.items()}
    return {**thresholds, ENSEMBLE: sum(thresholds.values()) / len(thresholds)}


def _data(cards: Sequence[Card], folders: Sequence[Path], source: Path, output: Path) -> dict[str, object]:
    """How a stack is looked at: as deep as the deepest member, and of members that give maps at the size of voxel they were trained at;
    others may have been trained on binned voxels, so --set data.voxel_um and data.bin_yx say it, and `check_voxels` looks."""
    sizes = {card.voxel_um for card in cards if card.voxel_um is not None and card.returns == "map"}
    if len(sizes) > 1:
        of_each = ", ".join(
            f"{folder}: {card.voxel_um:g}" for folder, card in zip(folders, cards, strict=True) if card.voxel_um
        )
        raise InputError(f"--member: trained at unequal sizes of voxels ({of_each} um); audit them one by one")
    depth = max(card.window[0] for card in cards)
    size: dict[str, object] = {"voxel_um": sizes.pop()} if sizes else {}
    return {
        **size,
        "root": str(source),
        "cache_dir": str(output / "cache"),
        "depth": [-(depth // 2), depth - depth // 2],
    }
