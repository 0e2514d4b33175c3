"""Training items that a configuration names as scroll/segment: their folders, added from the catalogue where they are not there."""

from pathlib import Path

from scroll.config.schema import DataSettings
from scroll.errors import InputError
from scroll.runtime.scroll_names import folder_name


def with_catalogued(folder: Path, data: DataSettings) -> tuple[str, ...]:
    """The ids of `data.train` as names of folders; those of `data.catalogue` that are not in `folder` are added to it.

    Nothing is asked of the network where all of them are there.

    Raises:
        MissingInputError: the catalogue has no such segment, or it lacks what is needed.
        InputError: the terms of use were not accepted before, the segment is there under another name, or a server fails.
    """
    missing = [name for name in data.train if "/" in name and not (folder / folder_name(name)).is_dir()]
    if missing and data.catalogue is not None:
        _add(missing, folder, data, data.catalogue)
    return tuple(map(folder_name, data.train))


def _add(names: list[str], folder: Path, data: DataSettings, source: str) -> None:
    from scroll.catalogue.add import Request, add
    from scroll.catalogue.read import read_catalogue

    catalogue, is_surface = read_catalogue(source), data.kind == "segments"
    how = f"run python scripts/catalogue.py add {' '.join(names)} --to {folder} --source {source}"
    how += f"{' --surface' if is_surface else ''} --accept-terms"
    voxel_um = data.voxel_um if "voxel_um" in data.model_fields_set else None
    request = Request(folder, is_surface=is_surface, voxel_um=None if is_surface else voxel_um, how=how)
    for name in names:
        added = add(catalogue, name, request)
        if added.name != folder_name(name):
            raise InputError(f"data.train: '{name}' is there as {added}; write '{added.name}' in its place")
