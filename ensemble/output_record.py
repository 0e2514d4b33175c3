"""What the files that people carry away tell of themselves: the run, the weights, how members were blended, how it was looked at."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scroll.config.schema import Settings
from scroll.data.sheets import Sheet, provenance_of
from scroll.errors import InputError
from scroll.runtime.file_record import code_and_packages, run_name
from scroll.runtime.receipt import NAME, Receipt, key_of, read_receipt, weights_in
from scroll.volumes.read_record import read_record

HINT = "predict it again: python ensemble/predict.py"
SHOWN = ("is_flipped", "shift_layers", "normal_sign")  # of where a sheet comes from; the rest are paths


def run_record(settings: Settings, what: str, items: Sequence[str]) -> dict[str, object]:
    """What every file of a run tells: `what` it is, of which items, made by which code."""
    return {
        "what": what,
        "run": run_name(settings.run_dir),
        "kind": settings.data.kind,
        "items": list(items),
        "made_by": code_and_packages(),
    }


def blended_record(
    settings: Settings, what: str, item: str, weights: Mapping[str, float], folders: Mapping[str, Path]
) -> dict[str, Any]:
    """Of what is blended with these weights, and made of the predictions in `folders`, by name; those without a receipt are passed over.

    Of each member its weight and a hash of the weights of all its folds; `receipts` holds the keys by item and name.
    """
    receipts = {name: read_receipt(folder, HINT) for name, folder in folders.items() if (folder / NAME).exists()}
    members = sorted(weights, key=lambda name: -weights[name])
    window = {"stage1": settings.stage1.window, "stage2": settings.stage2.window}
    return {
        **run_record(settings, what, [item]),
        "members": {name: {"weight": weights[name], **_hash_of(receipts.get(name))} for name in members},
        "window": {stage: how.model_dump(mode="json", exclude={"batch_size"}) for stage, how in window.items()},
        "receipts": {f"{item}/{name}": str(receipt["key"]) for name, receipt in receipts.items()},
    }


def _hash_of(receipt: Receipt | None) -> dict[str, str]:
    hashes = sorted(weights_in(receipt).values()) if receipt else []
    return {"weights_hash": str(key_of(hashes))} if hashes else {}


def sheet_record(settings: Settings, sheet: Sheet, folder: Path, weights: Mapping[str, float]) -> dict[str, object]:
    """Of a sheet's blend of the predictions in `folder`: depth, direction and shift too."""
    folders = {name: folder / name for name in weights}
    return {
        **blended_record(settings, "probability of ink", sheet.id, weights, folders),
        "depth_layers": settings.data.depth,
        "voxel_um": sheet.pixel_um,
        **{name: value for name, value in provenance_of(sheet).items() if name in SHOWN},
    }


def joined_record(settings: Settings, what: str, items: Sequence[str], files: Iterable[Path]) -> dict[str, object]:
    """Of a picture of several items: what the records in `files` agree on, and the receipts of all of them."""
    parts = []
    for path in files:
        try:
            parts.append(read_record(path))
        except InputError:  # made before files had a record, or put there by somebody else
            continue
    first = parts[0] if len(parts) == len(items) else {}
    common = {name: value for name, value in first.items() if all(part.get(name) == value for part in parts)}
    receipts = {name: key for part in parts for name, key in part.get("receipts", {}).items()}
    return {**common, **run_record(settings, what, items), **({"receipts": receipts} if receipts else {})}
