"""What is written down beside fetched data (`catalogue.json`): what they are, where they are from, and how large they were."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scroll.catalogue.contradictions import contradictions, volume_of
from scroll.catalogue.entries import Catalogue, TracedSegment
from scroll.errors import InputError
from scroll.runtime.files import read_json, read_mapping, write_json
from scroll.runtime.receipt import FETCHED, made_by


def check_record(stage: Path, segment: TracedSegment) -> None:
    """Refuse a folder whose record, of us or of the user, is of something else: it would be written over.

    Raises:
        InputError: says of what.
    """
    path = stage / FETCHED
    if stage.name.startswith(".") or not path.exists():
        return
    content = read_mapping(path)
    if (content.get("scroll"), content.get("segment")) != (segment.scroll, segment.id):
        there = f"scroll {content.get('scroll')!r:.60}, segment {content.get('segment')!r:.60}"
        raise InputError(
            f"{path}: says {there}; expected {segment.full_name}: nothing is overwritten, so move the file or the folder away"
        )


def known_files(stage: Path) -> dict[str, dict[str, Any]]:
    """What the record in a folder says of its files, by name."""
    if not (stage / FETCHED).exists():
        return {}
    files = read_mapping(stage / FETCHED).get("files")
    return {name: one for name, one in files.items() if isinstance(one, dict)} if isinstance(files, dict) else {}


def is_whole(path: Path, before: dict[str, Any], is_new: bool) -> bool:
    """Whether a file is there; one of another size than was written down is not ours to overwrite.

    Raises:
        InputError: it has another size.
    """
    if not path.exists():
        return False
    size = before.get("bytes")
    if not is_new and isinstance(size, int) and size != bytes_of(path):
        raise InputError(
            f"{path}: holds {bytes_of(path)} bytes, and {size} were written; nothing is overwritten: move it away to have it fetched again"
        )
    return True


def bytes_of(path: Path) -> int:
    """Of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def about_segment(catalogue: Catalogue, segment: TracedSegment, name: str, accepted: str) -> dict[str, Any]:
    """What is written down of a segment that was asked for as `name`, its terms accepted on a date."""
    volume = volume_of(catalogue, segment)
    return {
        "name": name, "scroll": segment.scroll, "segment": segment.id, "source": catalogue.source,
        "entry": {"place": segment.where, "content": dict(segment.raw)},
        "volume": None if volume is None else {"id": volume.id, "voxel_um": volume.voxel_um, "address": volume.address},
        "contradictions": contradictions(catalogue, segment),
        "terms": {"text": catalogue.terms_of(segment.scroll), "accepted": accepted},
    }  # fmt: skip


def added_as(to: Path, segment: TracedSegment, item: str) -> Path | None:
    """The folder under which a segment was added by another of its names."""
    for path in sorted(to.glob(f"*/{FETCHED}")):
        content = read_json(path)
        is_it = isinstance(content, dict) and (content.get("scroll"), content.get("segment")) == (
            segment.scroll,
            segment.id,
        )
        if is_it and path.parent.name != item:
            return path.parent
    return None


def write_record(
    stage: Path, addresses: Mapping[str, str], voxels: tuple[str, str], about: Mapping[str, Any], fetched: Sequence[str]
) -> None:
    """Write down what a folder holds: files by name with their addresses, and the file that says where its `voxels` are, with what it says.

    A folder that was whole already, of which nothing was `fetched`, is left as it is.
    """
    if not fetched and not stage.name.startswith("."):
        return
    files = known = known_files(stage)
    for name, address in addresses.items():
        is_known = name not in fetched and "bytes" in known.get(name, {})
        if not is_known and (stage / name).exists():
            files = {**files, name: {"address": address, "bytes": bytes_of(stage / name)}}
    pointer, voxels_at = voxels
    content = {
        **about,
        "voxels": {"file": pointer, "address": voxels_at},
        "files": {n: f for n, f in files.items() if "bytes" in f},
    }
    write_json(stage / FETCHED, {**content, "added": time.strftime("%Y-%m-%d"), "made_by": made_by()})
