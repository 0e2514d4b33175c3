"""The classic server's list, a YAML of scroll -> energy -> resolution -> {volume, segments}; `labels` may name folders of labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scroll.catalogue.entries import (
    CLASSIC_SERVER,
    LABEL_FOLDER,
    SURFACE_VOLUME,
    VOLUME,
    Artifact,
    Catalogue,
    Fault,
    ScanVolume,
    ScrollEntry,
    TracedSegment,
    when,
)
from scroll.catalogue.notes import Notes, WrongPartError, mapping, size, text
from scroll.errors import InputError
from scroll.runtime.scroll_names import scroll_name

OWN_FOLDERS = ("full-scrolls/", "other/", "fragments/")
KEYS = ("volume", "segments", "labels")
EXPECTED = "expected scroll -> energy -> resolution -> {volume, segments}"


def read_classic(content: Any, source: str, base: Path | None) -> Catalogue:
    """The catalogue; parts that are not as they should be are passed over and noted. For `base` see `Notes`.

    Raises:
        InputError: nothing in it is a scroll.
    """
    if not isinstance(content, dict) or not content:
        found = "nothing" if not content else f"a {type(content).__name__}"
        raise InputError(f"{source}: holds {found}; {EXPECTED}, or metadata.samples: check that it is a catalogue")
    notes = Notes(base)
    scrolls: dict[str, ScrollEntry] = {}
    for key, energies in content.items():
        name, where = scroll_name(str(key)), str(key)
        if name in scrolls:
            notes.passed_over(where, f"names {name}, as {scrolls[name].where} does: passed over")
            continue
        volumes: dict[str, ScanVolume] = {}
        segments: dict[str, TracedSegment] = {}
        for place, resolution, part in _resolutions(energies, where, notes):
            try:
                _read_resolution(name, place, resolution, part, volumes, segments, notes)
            except WrongPartError as error:
                notes.faults.append(error.fault)
        if volumes or segments:
            scrolls[name] = ScrollEntry(name, where, volumes, segments)
    if not scrolls:
        first = f" ({notes.faults[0]})" if notes.faults else ""
        raise InputError(f"{source}: names no scroll{first}; {EXPECTED}: check that it is a catalogue")
    return Catalogue(source, scrolls, tuple(notes.faults))


def _resolutions(energies: Any, where: str, notes: Notes) -> list[tuple[str, str, Any]]:
    found = []
    try:
        for energy, resolutions in mapping(energies, where, "a mapping from energies in keV").items():
            at = f"{where}.{energy}"
            for resolution, part in mapping(resolutions, at, "a mapping from sizes of a voxel in um").items():
                found.append((f"{at}.{resolution}", resolution, part))
    except WrongPartError as error:
        notes.faults.append(error.fault)
    return found


def _read_resolution(
    scroll: str, where: str, resolution: str, part: Any, volumes: dict[str, ScanVolume],
    segments: dict[str, TracedSegment], notes: Notes,
) -> None:  # fmt: skip
    content = mapping(part, where)
    notes.check_keys(content, KEYS, "resolution", where)
    voxel_um = volume_id = None
    try:
        voxel_um = size([(where, {"resolution": resolution})], "resolution")
        volume = _volume(scroll, where, content, voxel_um, notes)
        if volume is not None:
            volume_id, volumes[volume.id] = volume.id, volume
    except WrongPartError as error:  # its segments are there all the same
        notes.faults.append(error.fault)
    labels, addresses = (_addresses(content, key, where, notes) for key in ("labels", "segments"))
    for key in sorted(labels.keys() - addresses.keys()):
        notes.passed_over(labels[key][0], "is no segment there: passed over")
    for key, (place, address) in addresses.items():
        if key in segments:
            notes.passed_over(place, f"'{key}' stands at {segments[key].where} as well: passed over")
            continue
        artifacts = [Artifact(SURFACE_VOLUME, address, place, voxel_um)]
        if key in labels:
            artifacts.append(Artifact(LABEL_FOLDER, labels[key][1], labels[key][0]))
        raw = {"address": address}
        segments[key] = TracedSegment(
            key, scroll, place, made=when(key), volume_id=volume_id, artifacts=tuple(artifacts), raw=raw
        )


def _volume(
    scroll: str, where: str, content: Mapping[str, Any], voxel_um: float | None, notes: Notes
) -> ScanVolume | None:
    address, place = text(content, "volume", where), f"{where}.volume"
    if address is None:
        return None
    artifact = Artifact(VOLUME[0], _address(address, place, notes), place, voxel_um)
    name = artifact.name.removesuffix(".zarr")
    return ScanVolume(name, scroll, place, scanned=when(name), voxel_um=voxel_um, artifacts=(artifact,))


def _addresses(content: Mapping[str, Any], key: str, where: str, notes: Notes) -> dict[str, tuple[str, str]]:
    """(place, address) by segment of what stands under a key."""
    if content.get(key) is None:
        return {}
    found = {}
    for name in (inner := mapping(content[key], f"{where}.{key}", "a mapping from segments to addresses")):
        place = f"{where}.{key}.{name}"
        try:
            address = text(inner, name, f"{where}.{key}")
            if address is None:
                raise WrongPartError(Fault(place, "is empty; expected an address: passed over"))
            found[name] = (place, _address(address, place, notes))
        except WrongPartError as error:
            notes.faults.append(error.fault)
    return found


def _address(address: str, where: str, notes: Notes) -> str:
    """Path or address; what begins with one of the classic server's own folders is there."""
    if address.lstrip("/").startswith(OWN_FOLDERS):
        address = f"{CLASSIC_SERVER}/{address.lstrip('/')}"
    return notes.address(address, where)
