"""Making a training item of a segment: where its layers (or surface and volume) are, its labels beside it, and what was known of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scroll.catalogue.choose import chosen_layers, chosen_surface
from scroll.catalogue.contradictions import contradictions
from scroll.catalogue.entries import Catalogue, TracedSegment
from scroll.catalogue.files import folder_at, parent_and_name
from scroll.catalogue.find import folder_of, the_segment
from scroll.catalogue.labels import labels_of
from scroll.catalogue.level_0 import copy_level_0, copy_whole
from scroll.catalogue.record import about_segment, added_as, check_record, is_whole, known_files, write_record
from scroll.catalogue.surface_files import MAY_BE, NEEDED, scaling
from scroll.catalogue.terms import check_terms
from scroll.errors import InputError, MissingInputError
from scroll.runtime.files import remove, write_json, write_text
from scroll.runtime.links import refuse_dead_link
from scroll.runtime.names import checked_name
from scroll.runtime.progress import progress
from scroll.runtime.receipt import FETCHED
from scroll.runtime.run_lock import FileLock, who_we_are
from scroll.runtime.scroll_names import LAYERS_SOURCE, VOLUME_SOURCE

if TYPE_CHECKING:
    from scroll.volumes.remote import RemoteSettings


@dataclass(frozen=True)
class Request:
    """How segments are to be added.

    Attributes:
        to: folder that gets a folder for each.
        accepts_terms: the user accepts the terms of use; `how` says how to, where he does not.
        is_surface: the traced surface and its volume, in the place of the surface volume.
        voxel_um: which of several surface volumes is taken.
        label_version: which version of its labels; None: the greatest.
        labels: folder of folders of labels.
    """

    to: Path
    accepts_terms: bool = False
    is_surface: bool = False
    voxel_um: float | None = None
    label_version: int | None = None
    labels: str | None = None
    how: str = "run the same command with --accept-terms"
    remote: "RemoteSettings | None" = None


@dataclass(frozen=True)
class _File:
    """A file or zarr that an item gets: where it is, whether it may lack, and what is done to it before it is taken for whole."""

    address: str
    is_optional: bool = False
    finish: Callable[[Path], None] = lambda path: None


@dataclass(frozen=True)
class _Plan:
    """What an item consists of: the file that says where its voxels are, what that says, and the files beside it by name."""

    pointer: str
    address: str
    files: dict[str, _File]


def add(catalogue: Catalogue, name: str, request: Request) -> Path:
    """The folder of the segment called `name`, made where it is not there whole; the terms must be accepted.

    An interrupted call is taken up by the next one; no file that was whole is fetched again.

    Raises:
        MissingInputError: no such segment, or it lacks what is needed.
        InputError: several of that name, terms that are not accepted, something else in its place, or a server that fails.
    """
    segment = the_segment(catalogue, name)
    item = checked_name(folder_of(segment, name), f"{catalogue.source}: {segment.full_name}: its folder")
    for line in contradictions(catalogue, segment):
        print(f"contradiction: {line}")
    for path in (request.to, request.to / item):
        if refuse_dead_link(path).exists() and not path.is_dir():
            raise InputError(f"{path}: is a file; expected a folder: move it away, or give another --to")
    twin = added_as(request.to, segment, item)
    if twin is not None:
        print(f"{segment.full_name}: is there as {twin}, which is kept; name it so")
        return twin
    accepted = check_terms(request.to, catalogue, segment.scroll, request.accepts_terms, request.how)
    folder = request.to / item
    with _alone(request.to, item):
        plan = _planned(catalogue, segment, item, request)
        stage = folder if folder.exists() else request.to / f".{item}.adding"
        check_record(stage, segment)
        fetched = _filled(stage, plan, request)
        addresses = {name: file.address for name, file in plan.files.items()}
        about = about_segment(catalogue, segment, name, accepted)
        write_record(stage, addresses, (plan.pointer, plan.address), about, fetched)
        if stage != folder:
            stage.rename(folder)
    print(f"{folder}: {_said(folder, plan, fetched)}")
    return folder


def _planned(catalogue: Catalogue, segment: TracedSegment, item: str, request: Request) -> _Plan:
    files: dict[str, _File] = {}
    if request.is_surface:
        surface, factor, address = chosen_surface(catalogue, segment)
        for name in (*NEEDED, *MAY_BE):
            files[name] = _File(f"{surface.address}/{name}", name in MAY_BE, scaling(name, factor))
        pointer = VOLUME_SOURCE
    else:
        pointer, address = LAYERS_SOURCE, chosen_layers(catalogue, segment, request.voxel_um).address
    _check_zarr(address, request)
    for label in labels_of(segment, request.labels, request.label_version, request.remote):
        files[label.file_name(item)] = _File(label.address)
    if not any("_inklabels" in name for name in files):
        print(
            f"{segment.full_name}: no ink label is published beside it; a training needs one: put it into the folder, or give --labels"
        )
    return _Plan(pointer, address, files)


def _check_zarr(address: str, request: Request) -> None:
    """A few requests now rather than an error in the middle of a training.

    Raises:
        InputError: no readable zarr there.
    """
    from scroll.volumes import ome_zarr

    ome_zarr.open_array(address, remote=request.remote)


def _filled(stage: Path, plan: _Plan, request: Request) -> list[str]:
    """Fetch what is not there whole; the names of what was fetched."""
    stage.mkdir(parents=True, exist_ok=True)
    _check_pointer(stage, plan)
    is_new = stage.name.startswith(".")
    if is_new:
        _take_up(stage, plan)
    known = known_files(stage)
    missing = [name for name in plan.files if not is_whole(stage / name, known.get(name, {}), is_new)]
    fetched = []
    with progress(stage.name.strip("."), len(plan.files), "file", start=len(plan.files) - len(missing)) as advance:
        for name in missing:
            if _fetch(plan.files[name], stage / name, request):
                fetched.append(name)
            advance(note=name)
    if not (stage / plan.pointer).exists():
        write_text(stage / plan.pointer, f"{plan.address}\n")
        fetched.append(plan.pointer)
    return fetched


def _take_up(stage: Path, plan: _Plan) -> None:
    """Keep of an interrupted call what is still requested from the same place, and write down what is requested now."""
    known = known_files(stage)
    for path in stage.iterdir():
        planned = plan.files.get(path.name)
        is_same = planned is not None and known.get(path.name, {}).get("address") == planned.address
        if not is_same and not path.name.startswith(".") and path.name not in (FETCHED, plan.pointer):
            remove(path)
    write_json(stage / FETCHED, {"files": {name: {"address": file.address} for name, file in plan.files.items()}})


def _fetch(file: _File, to: Path, request: Request) -> bool:
    """Whether there was something to fetch.

    Raises:
        MissingInputError: there was not, and it is needed.
    """
    if to.suffix == ".zarr":
        copy_level_0(file.address, to, request.remote)
        return True
    parent, name = parent_and_name(file.address)
    source = folder_at(parent, request.remote)

    def write(aside: Path) -> bool:
        is_there = source.copy(name, aside)
        if is_there:
            file.finish(aside)
        return is_there

    if copy_whole(write, to):
        return True
    if file.is_optional:
        return False
    raise MissingInputError(
        f"{file.address}: not there, though the catalogue names it; come back later, or take another segment"
    )


def _check_pointer(stage: Path, plan: _Plan) -> None:
    """Refuse to make of what is there something else."""
    other = LAYERS_SOURCE if plan.pointer == VOLUME_SOURCE else VOLUME_SOURCE
    if (stage / other).exists():
        raise InputError(f"{stage}: holds {other}, so it is of the other kind; add it to another folder, with --to")
    path = stage / plan.pointer
    if path.exists() and (before := path.read_text(encoding="utf-8").strip()) != plan.address:
        raise InputError(
            f"{path}: says {before}; expected {plan.address}: nothing is overwritten, so move the folder away or give another --to"
        )


def _said(folder: Path, plan: _Plan, fetched: list[str]) -> str:
    there = [name for name in (plan.pointer, *plan.files) if (folder / name).exists()]
    return (
        f"{len(fetched)} of {len(there)} files fetched ({', '.join(there)})"
        if fetched
        else f"all there ({', '.join(there)})"
    )


@contextmanager
def _alone(to: Path, item: str) -> Iterator[None]:
    """Be the only one who adds an item; whoever comes second waits, and finds it there."""
    lock, is_printed = FileLock(to / f".{item}.lock"), False
    while not lock.take():
        if not is_printed:
            print(f"{to / item}: waiting for {lock.holder()}, who adds it")
            is_printed = True
        time.sleep(0.2)
    try:
        lock.write(who_we_are())
        yield
    finally:
        lock.give_up()
