"""The open-data catalogue, `metadata.json`: metadata.samples.<scroll>.{scans, volumes, segments}, each with its `data`.

Newer copies have `samples` at the top, sizes under `properties`, and types with "-" in place of "_"; both are read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scroll.catalogue.entries import (
    LABEL_TYPES,
    Artifact,
    Catalogue,
    Fault,
    ScanVolume,
    ScrollEntry,
    TracedSegment,
    unique,
    when,
)
from scroll.catalogue.notes import Notes, WrongPartError, mapping, named_parts, numbered_parts, size, text
from scroll.errors import InputError
from scroll.runtime.scroll_names import scroll_name
from scroll.volumes.url import SCHEMES

NAMING = ("id", "long_id", "suffix", "name", "sample_id", "description", "type", "created_at", "updated_at", "creation")
SAMPLE_KEYS = (*NAMING, "sample", "scans", "volumes", "segments", "properties", "data", "license", "terms")
SCAN_KEYS = (*NAMING, "properties", "data", "pixel_size_um", "energy_kev", "energy_keV", "detector_distance_mm")
VOLUME_KEYS = (*SCAN_KEYS, "scan_id", "data_format", "shape", "transforms", "license")
SEGMENT_KEYS = (*NAMING, "original_volume_id", "width", "height", "properties", "data", "volume_coverage", "license")
DATA_KEYS = (*NAMING, "origins", "properties", "parameters", "creation_info", "license")
ORIGIN_KEYS = ("path", "url", "uri", "access_roots", "properties", "type")
ROOT_KEYS = ("type", "url", "usage", "region", "description")
PRIVATE = ("internal", "private")  # usages of roots that the public cannot read
EXPECTED = 'expected {"metadata": {"samples": {"<scroll>": {"scans": ..., "volumes": ..., "segments": ...}}}}'


def is_open_data(content: Any) -> bool:
    """Whether a mapping has the keys of this catalogue."""
    return isinstance(content, dict) and ("metadata" in content or "samples" in content)


def read_open_data(content: Mapping[str, Any], source: str, base: Path | None) -> Catalogue:
    """The catalogue; parts that are not as they should be are passed over and noted. For `base` see `Notes`.

    Raises:
        InputError: it has no samples at all.
    """
    notes, where, samples, terms = Notes(base), "samples", content.get("samples"), _terms(content)
    try:
        if "metadata" in content:
            inner = mapping(content["metadata"], "metadata")
            where, samples, terms = "metadata.samples", inner.get("samples", samples), _terms(inner) or terms
        samples = mapping(samples, where, "a mapping from names of scrolls to scrolls")
    except WrongPartError as error:
        message = error.fault.message.partition(": passed over")[0]
        raise InputError(f"{source}: {error.fault.where} {message}; {EXPECTED}: check that it is a catalogue") from None
    scrolls: dict[str, ScrollEntry] = {}
    for key, part in samples.items():
        try:
            entry = _scroll(scroll_name(key), part, f"{where}.{key}", notes)
        except WrongPartError as error:
            notes.faults.append(error.fault)
            continue
        if entry.id in scrolls:
            notes.passed_over(f"{where}.{key}", f"names {entry.id}, as {scrolls[entry.id].where} does: passed over")
            continue
        scrolls[entry.id] = entry
    return Catalogue(source, scrolls, tuple(notes.faults), terms)


def _scroll(name: str, part: Any, where: str, notes: Notes) -> ScrollEntry:
    content = mapping(part, where)
    notes.check_keys(content, SAMPLE_KEYS, "sample", where)
    scans: dict[str, Mapping[str, Any]] = {}
    volumes: dict[str, ScanVolume] = {}
    segments: dict[str, TracedSegment] = {}
    for key, place, inner in _parts(content, "scans", where, notes):
        notes.check_keys(inner, SCAN_KEYS, "scan", place)
        scans[key] = inner
    for key, place, inner in _parts(content, "volumes", where, notes):
        notes.check_keys(inner, VOLUME_KEYS, "volume", place)
        _kept(volumes, key, place, notes, lambda k=key, i=inner, p=place: _volume(k, name, i, p, scans, notes))
    for key, place, inner in _parts(content, "segments", where, notes):
        notes.check_keys(inner, SEGMENT_KEYS, "segment", place)
        _kept(segments, key, place, notes, lambda k=key, i=inner, p=place: _segment(k, name, i, p, notes))
    inner_sample = content.get("sample")
    terms = _terms(content) or _terms(inner_sample if isinstance(inner_sample, dict) else {})
    return ScrollEntry(name, where, volumes, segments, terms or _terms_of_volumes(content))


def _parts(content: Mapping[str, Any], key: str, where: str, notes: Notes) -> list[tuple[str, str, dict[str, Any]]]:
    """The entries under a key that are mappings and have an id."""
    found = []
    try:
        for name, place, part in named_parts(content.get(key), f"{where}.{key}"):
            try:
                inner = mapping(part, place)
                name = text({"id": name}, "id", place) or ""
            except WrongPartError as error:
                notes.faults.append(error.fault)
                continue
            if name:
                found.append((name, place, inner))
            else:
                notes.passed_over(place, "has no id: passed over")
    except WrongPartError as error:
        notes.faults.append(error.fault)
    return found


def _kept(entries: dict[str, Any], key: str, where: str, notes: Notes, read: Any) -> None:
    """Keep what `read` gives under its key, or note why not."""
    try:
        if key in entries:
            raise WrongPartError(Fault(where, f"is called '{key}', as {entries[key].where} is: passed over"))
        entries[key] = read()
    except WrongPartError as error:
        notes.faults.append(error.fault)


def _properties(content: Mapping[str, Any], where: str) -> tuple[str, Mapping[str, Any]]:
    inner = content.get("properties")
    return f"{where}.properties", {} if inner is None else mapping(inner, f"{where}.properties")


def _created(content: Mapping[str, Any]) -> Any:
    creation = content.get("creation")
    return creation.get("date") if isinstance(creation, dict) else None


def _volume(
    key: str, scroll: str, content: Mapping[str, Any], where: str, scans: Mapping[str, Mapping[str, Any]], notes: Notes
) -> ScanVolume:
    scan_id = text(content, "scan_id", where)
    scan = scans.get(scan_id or "", {})
    names = unique(text(content, name, where) for name in ("long_id", "suffix", "name"))
    return ScanVolume(
        key, scroll, where, names, scan_id,
        scanned=when(_created(scan), scan_id, key, *names, scan.get("created_at")),
        voxel_um=size([(where, content), _properties(content, where)], "pixel_size_um"),
        artifacts=_artifacts(content, where, notes),
    )  # fmt: skip


def _segment(key: str, scroll: str, content: Mapping[str, Any], where: str, notes: Notes) -> TracedSegment:
    names = unique(text(content, name, where) for name in ("long_id", "suffix", "name"))
    both = [_properties(content, where), (where, content)]
    return TracedSegment(
        key, scroll, where, names,
        made=when(_created(content), key, *names, content.get("created_at")),
        volume_id=text(content, "original_volume_id", where),
        downscale=size(both, "original_volume_downscale"),
        stated_um=size(both, "pixel_size_um"),
        artifacts=_artifacts(content, where, notes),
        raw=content,
    )  # fmt: skip


def _artifacts(content: Mapping[str, Any], where: str, notes: Notes) -> tuple[Artifact, ...]:
    """What `data` names, an artifact for each origin; a wrong one is passed over, the others are kept."""
    found: list[Artifact] = []
    for place, part in numbered_parts(content.get("data"), f"{where}.data"):
        try:
            inner = mapping(part, place)
            notes.check_keys(inner, DATA_KEYS, "data entry", place)
            kind = text(inner, "type", place)
            if kind is None:
                raise WrongPartError(
                    Fault(f"{place}.type", "not there; expected a type such as layers_zarr: passed over")
                )
            kind, um = (
                kind.lower().replace("_", "-").replace(" ", "-"),
                size([_properties(inner, place)], "pixel_size_um"),
            )
            origins = list(numbered_parts(inner.get("origins"), f"{place}.origins"))
            if not origins:
                raise WrongPartError(
                    Fault(f"{place}.origins", "says no place; expected [{path, access_roots}]: passed over")
                )
        except WrongPartError as error:
            notes.faults.append(error.fault)
            continue
        for at, origin in origins:
            try:
                found.append(Artifact(kind, _address(origin, at, notes), at, um))
            except WrongPartError as error:
                notes.faults.append(error.fault)
    return tuple(found)


def _address(origin: Any, where: str, notes: Notes) -> str:
    """Path or address: the origin's path below the first of its roots that everybody may read."""
    content = mapping(origin, where)
    notes.check_keys(content, ORIGIN_KEYS, "origin", where)
    path = next((found for key in ("path", "url", "uri") if (found := text(content, key, where))), None)
    if path is None:
        raise WrongPartError(Fault(f"{where}.path", "not there; expected the path below an access root: passed over"))
    if path.partition("://")[0].lower() not in SCHEMES:
        if ".." in path.split("/"):
            raise WrongPartError(Fault(f"{where}.path", f"is {path!r:.80}, which leads elsewhere: passed over"))
        path = f"{_root(content, where, notes)}/{path.lstrip('/')}"
    return notes.address(path, where)


def _root(origin: Mapping[str, Any], where: str, notes: Notes) -> str:
    for place, part in numbered_parts(origin.get("access_roots"), f"{where}.access_roots"):
        root = mapping(part, place)
        notes.check_keys(root, ROOT_KEYS, "access root", place)
        url, usage = text(root, "url", place), text(root, "usage", place) or ""
        if url is not None and not any(word in usage.lower() for word in PRIVATE):
            return url.rstrip("/")
    raise WrongPartError(Fault(f"{where}.access_roots", "names no public url; expected one: passed over"))


def _terms(content: Mapping[str, Any]) -> str:
    """Terms of use in words: a text, or a mapping with a text, a name or an address."""
    for key in ("terms", "terms_of_use", "license"):
        value = content.get(key)
        if isinstance(value, str) and value.strip():
            return " ".join(value.split())
        if isinstance(value, dict):
            words = [
                str(value[part]).strip()
                for part in ("text", "name", "title", "url")
                if isinstance(value.get(part), str)
            ]
            if words:
                return " ".join(" ".join(words).split())
    return ""


def _terms_of_volumes(content: Mapping[str, Any]) -> str:
    """What the volumes of a scroll say in their properties, each text once."""
    volumes = content.get("volumes")
    parts = volumes.values() if isinstance(volumes, dict) else volumes if isinstance(volumes, list) else ()
    inner = [part.get("properties") for part in parts if isinstance(part, dict)]
    return " ".join(unique(_terms(one) for one in inner if isinstance(one, dict)))


def label_kind(artifact: Artifact) -> str | None:
    """The kind of label that the type of an artifact says; None of anything else."""
    return LABEL_TYPES.get(artifact.type)
