"""A catalogue as a table to read, as plain data for machines, and one entry of it with all that belongs to it."""

import fnmatch
from collections.abc import Sequence
from typing import Any

from scroll.catalogue.contradictions import contradictions, volume_of
from scroll.catalogue.entries import LABEL_FOLDER, VOLUME, Artifact, Catalogue, ScanVolume, ScrollEntry, TracedSegment
from scroll.catalogue.find import Hit, names_of
from scroll.catalogue.labels import LabelFile, declared_labels, predictions_of
from scroll.runtime.scroll_names import OTHER_NAMES, scroll_name

Row = tuple[str, str, str, str, str, str]
HEAD: Row = ("scroll", "kind", "name", "voxel um", "made", "what")


def matching(catalogue: Catalogue, pattern: str | None) -> list[tuple[ScrollEntry, list[ScanVolume | TracedSegment]]]:
    """The scrolls that a pattern fits with all their entries, and of the others the entries that it fits; `*` and `?` stand for signs.

    A pattern without `*` and `?` fits what holds it.
    """
    found = []
    for scroll in catalogue.scrolls.values():
        is_whole = pattern is None or _fits(pattern, [scroll.id, OTHER_NAMES.get(scroll.id, "")])
        entries = [entry for entry in scroll.entries if is_whole or _fits(pattern or "", _spellings(entry))]
        if is_whole or entries:
            found.append((scroll, entries))
    return found


def _fits(pattern: str, names: Sequence[str]) -> bool:
    requested = pattern.casefold()
    scroll, slash, own = requested.partition("/")
    requested = f"{scroll_name(scroll)}{slash}{own}".casefold()
    if not any(sign in requested for sign in "*?"):
        requested = f"*{requested}*"
    return any(fnmatch.fnmatchcase(name.casefold(), requested) for name in names if name)


def _spellings(entry: ScanVolume | TracedSegment) -> list[str]:
    names = sorted(names_of(entry))
    return [*names, *(f"{entry.scroll}/{name}" for name in names)]


def table(found: Sequence[tuple[ScrollEntry, Sequence[ScanVolume | TracedSegment]]]) -> str:
    """Scrolls, and below each its volumes, segments, surface volumes and labels, a line each."""
    rows: list[Row] = [HEAD]
    for scroll, entries in found:
        rows.append((scroll.title, "", "", "", "", ""))
        for entry in entries:
            rows += _volume_rows(entry) if isinstance(entry, ScanVolume) else _segment_rows(entry)
    widths = [max(len(row[column]) for row in rows) for column in range(1, len(HEAD) - 1)]
    first = 2 + max(len(HEAD[0]), *(len(row[0]) if not row[1] else 0 for row in rows))
    lines = []
    for title, *cells, last in rows:
        padded = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        lines.append(f"{title.ljust(first)}{padded}  {last}".rstrip())
    return "\n".join(lines)


def _volume_rows(volume: ScanVolume) -> list[Row]:
    made = "" if volume.scanned is None else f"{volume.scanned:%Y-%m-%d}"
    return [("", "volume", _with_suffix(volume), _um(volume.voxel_um), made, volume.address or "no OME-Zarr")]


def _segment_rows(segment: TracedSegment) -> list[Row]:
    made = "" if segment.made is None else f"{segment.made:%Y-%m-%d}"
    of = f"of volume {segment.volume_id}" if segment.volume_id else ""
    rows: list[Row] = [("", "segment", _with_suffix(segment), _um(segment.stated_um), made, of)]
    rows += [("", "  surface", one.type, _um(one.voxel_um), "", one.address) for one in segment.surfaces]
    rows += [("", "  surface volume", one.name, _um(one.voxel_um), "", one.address) for one in segment.surface_volumes]
    rows += [("", "  labels", one.name, "", "", one.address) for one in segment.of_type(LABEL_FOLDER)]
    rows += [("", "  label", _label(one), "", "", one.address) for one in declared_labels(segment)]
    return rows


def _label(label: LabelFile) -> str:
    return label.kind if label.version is None else f"{label.kind} v{label.version}"


def _with_suffix(entry: ScanVolume | TracedSegment) -> str:
    short = [name for name in entry.also if entry.id not in name]
    return f"{entry.id} ({', '.join(short)})" if short else entry.id


def _um(um: float | None) -> str:
    return "" if um is None else f"{um:g}"


def plain(
    catalogue: Catalogue, found: Sequence[tuple[ScrollEntry, Sequence[ScanVolume | TracedSegment]]]
) -> list[dict[str, Any]]:
    """The same for machines."""
    listed = []
    for scroll, entries in found:
        volumes = [plain_entry(catalogue, one) for one in entries if isinstance(one, ScanVolume)]
        segments = [plain_entry(catalogue, one) for one in entries if isinstance(one, TracedSegment)]
        own = {"scroll": scroll.id, "also": OTHER_NAMES.get(scroll.id)}
        listed.append({**own, "volumes": volumes, "segments": segments})
    return listed


def plain_entry(catalogue: Catalogue, entry: Hit, labels: Sequence[LabelFile] | None = None) -> dict[str, Any]:
    """One entry for machines; `labels` are those found beside it, else those that the catalogue names."""
    if isinstance(entry, ScrollEntry):
        return plain(catalogue, [(entry, entry.entries)])[0]
    made = entry.scanned if isinstance(entry, ScanVolume) else entry.made
    own = {"id": entry.id, "scroll": entry.scroll, "also": list(entry.also), "made": made and made.isoformat()}
    if isinstance(entry, ScanVolume):
        return {**own, "scan_id": entry.scan_id, "voxel_um": entry.voxel_um, "address": entry.address}
    found = declared_labels(entry) if labels is None else labels
    return {
        **own, "volume": entry.volume_id, "voxel_um": entry.stated_um, "downscale": entry.downscale,
        "surfaces": _plain(entry.surfaces), "surface_volumes": _plain(entry.surface_volumes),
        "label_folders": _plain(entry.of_type(LABEL_FOLDER)),
        "labels": [{"kind": one.kind, "version": one.version, "address": one.address} for one in found],
        "ink_detections": _plain(predictions_of(entry)), "contradictions": contradictions(catalogue, entry),
    }  # fmt: skip


def _plain(artifacts: Sequence[Artifact]) -> list[dict[str, Any]]:
    return [{"type": one.type, "voxel_um": one.voxel_um, "address": one.address} for one in artifacts]


def entry_text(catalogue: Catalogue, entry: Hit, labels: Sequence[LabelFile] = ()) -> str:
    """All that belongs together with an entry, in lines; `labels` are those that were found beside a segment."""
    if isinstance(entry, ScrollEntry):
        lines = [table([(entry, entry.entries)])]
        lines += [
            f"contradiction: {line}" for one in entry.segments.values() for line in contradictions(catalogue, one)
        ]
        return "\n".join(lines)
    if isinstance(entry, ScanVolume):
        made = f", scanned {entry.scanned:%Y-%m-%d}" if entry.scanned else ""
        lines = [f"volume {entry.scroll}/{_with_suffix(entry)}: voxels of {_um(entry.voxel_um) or '?'} um{made}"]
        lines += [f"  {one.type}: {one.address}" for one in entry.artifacts if one.type in VOLUME]
        within = [
            one.id
            for one in catalogue.scrolls[entry.scroll].segments.values()
            if one.volume_id in (entry.id, *entry.also)
        ]
        return "\n".join([*lines, f"  segments: {', '.join(within) or 'none'}"])
    return "\n".join(_segment_lines(catalogue, entry, labels))


def _segment_lines(catalogue: Catalogue, segment: TracedSegment, labels: Sequence[LabelFile]) -> list[str]:
    made = f", made {segment.made:%Y-%m-%d}" if segment.made else ""
    volume = volume_of(catalogue, segment)
    volume_line = (
        "no volume is named" if segment.volume_id is None else f"volume {segment.volume_id}: not in the catalogue"
    )
    if volume is not None:
        volume_line = f"volume {volume.scroll}/{volume.id}: voxels of {_um(volume.voxel_um) or '?'} um: {volume.address or 'no OME-Zarr'}"
    lines = [f"segment {segment.scroll}/{_with_suffix(segment)}{made}", f"  {volume_line}"]
    lines += [f"  surface {one.type}: {one.address}" for one in segment.surfaces]
    lines += [
        f"  surface volume, voxels of {_um(one.voxel_um) or '?'} um: {one.address}" for one in segment.surface_volumes
    ]
    lines += [f"  label {_label(one)}: {one.address}" for one in labels]
    if not labels:
        lines.append("  no label beside it; --labels names a folder of folders of labels")
    lines += [f"  ink seen by a network (no label): {one.address}" for one in predictions_of(segment)]
    return [*lines, *(f"contradiction: {line}" for line in contradictions(catalogue, segment))]
