"""A folder with metadata of Zarr v2 and of Zarr v3, as is left where a volume was converted in place: both must say the same."""

from pathlib import Path
from typing import Any

from scroll.errors import InputError
from scroll.runtime.files import read_json
from scroll.volumes.multiscales import read_multiscales


def check_formats_agree(where: Any, array: Any) -> None:
    """Refuse a zarr on this machine whose v2 and v3 metadata say different levels, scales or shapes.

    Raises:
        InputError: they do; names both files.
    """
    root = getattr(array.store, "root", None)
    if not isinstance(root, Path):
        return
    pairs = [(root / name, root / "zarr.json") for name in (".zgroup", ".zarray")]
    pairs.append((root / array.path / ".zarray", root / array.path / "zarr.json"))
    for old, new in pairs:
        if old.is_file() and new.is_file() and _said(where, old) != _said(where, new):
            raise InputError(
                f"{where}: {old.relative_to(root)} (Zarr v2) and {new.relative_to(root)} (v3) say different volumes; expected one of them: "
                "move away the one that is not meant"
            )


def _said(where: Any, file: Path) -> Any:
    """The shape of an array, or the levels of an image."""
    content = read_json(file)
    if file.name == ".zarray" or "shape" in content:
        return content.get("shape")
    if file.name == "zarr.json":
        return read_multiscales(where, content.get("attributes") or {})
    attributes = file.with_name(".zattrs")
    return read_multiscales(where, read_json(attributes) if attributes.is_file() else {})
