"""What a catalogue holds, whichever shape it was published in: scrolls with their volumes and segments, and where the data lie."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from scroll.runtime.scroll_names import OTHER_NAMES, scroll_name
from scroll.volumes.voxel_size import in_name_um

OPEN_DATA = "s3://vesuvius-challenge-open-data"  # the bucket of the open-data catalogue
CLASSIC_SERVER = "https://dl.ash2txt.org"  # where addresses without a host in a classic YAML lie
DEFAULT_SOURCE = f"{OPEN_DATA}/metadata.json"
TERMS_AT = "https://scrollprize.org/data"

VOLUME, SURFACE_VOLUME, LABEL_FOLDER, INK_DETECTION = ("ome-zarr", "zarr"), "layers-zarr", "labels", "ink-detection"
SURFACES = (
    "tifxyz-transformed",
    "tifxyz-flattened",
    "tifxyz",
    "tifxyz-normalized",
)  # in the order in which one is preferred
LABEL_TYPES = {  # type of an artifact -> kind of label
    "inklabels": "inklabels", "ink-labels": "inklabels", "ink-label": "inklabels",
    "supervision-mask": "supervision_mask", "validation-mask": "validation_mask", "mask": "mask",
}  # fmt: skip
TIMESTAMP = re.compile(r"(?<!\d)((?:19|20)\d{12})(?!\d)")
VOLUME_IN_NAME = re.compile(r"(?:volume|on)-((?:19|20)\d{12})(?!\d)")


@dataclass(frozen=True)
class Artifact:
    """One thing that is published: its type as the catalogue says it (with "-" between words), its path or address, and its place
    in the catalogue."""

    type: str
    address: str
    where: str
    stated_um: float | None = None

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.address.rstrip("/").rsplit("/", 1)[-1]

    @property
    def voxel_um(self) -> float | None:
        """Edge of a voxel in micrometres: what the catalogue says, else what the name says."""
        return in_name_um(self.name) if self.stated_um is None else self.stated_um

    @property
    def volume_id(self) -> str | None:
        """The volume that its name says it was made from."""
        found = VOLUME_IN_NAME.search(self.name)
        return found[1] if found else None


@dataclass(frozen=True)
class ScanVolume:
    """A reconstructed volume of a scroll."""

    id: str
    scroll: str
    where: str
    also: tuple[str, ...] = ()
    scan_id: str | None = None
    scanned: datetime | None = None
    voxel_um: float | None = None
    artifacts: tuple[Artifact, ...] = ()

    @property
    def address(self) -> str | None:
        """Path or address of its OME-Zarr, where one is named."""
        return next((one.address for one in self.artifacts if one.type in VOLUME), None)


@dataclass(frozen=True)
class TracedSegment:
    """A segment: a surface traced in a volume of a scroll, and what was made of it.

    Attributes:
        also: other names of it within its scroll, such as its suffix.
        volume_id: `original_volume_id`.
        downscale: `original_volume_downscale`; voxels of that volume to a unit of the surface's coordinates.
        raw: the entry as it was published.
    """

    id: str
    scroll: str
    where: str
    also: tuple[str, ...] = ()
    made: datetime | None = None
    volume_id: str | None = None
    downscale: float | None = None
    stated_um: float | None = None
    artifacts: tuple[Artifact, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def surface_volumes(self) -> list[Artifact]:
        """Its layers as OME-Zarr."""
        return self.of_type(SURFACE_VOLUME)

    @property
    def surfaces(self) -> list[Artifact]:
        """Its surfaces as tifxyz, the preferred types first."""
        return [one for kind in SURFACES for one in self.of_type(kind)]

    def of_type(self, *types: str) -> list[Artifact]:
        """What is published of it of these types."""
        return [one for one in self.artifacts if one.type in types]

    @property
    def full_name(self) -> str:
        """Scroll and id, which no other segment has."""
        return f"{self.scroll}/{self.id}"


@dataclass(frozen=True)
class ScrollEntry:
    """A scroll (or fragment) with its volumes and segments by id."""

    id: str
    where: str
    volumes: Mapping[str, ScanVolume]
    segments: Mapping[str, TracedSegment]
    terms: str = ""

    @property
    def entries(self) -> "list[ScanVolume | TracedSegment]":
        """Its segments, then its volumes."""
        return [*self.segments.values(), *self.volumes.values()]

    @property
    def title(self) -> str:
        """Its name, with the challenge's number where it has one.

        >>> ScrollEntry("PHercParis4", "", {}, {}).title
        'PHercParis4 (Scroll1)'
        """
        number = OTHER_NAMES.get(self.id)
        return f"{self.id} ({number})" if number else self.id


@dataclass(frozen=True)
class Fault:
    """What a catalogue says wrong: where in it, and what."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass(frozen=True)
class Catalogue:
    """A catalogue as it was read; `faults` are the parts that were passed over."""

    source: str
    scrolls: Mapping[str, ScrollEntry]
    faults: tuple[Fault, ...] = ()
    terms: str = ""

    def scroll(self, name: str) -> ScrollEntry | None:
        """A scroll by any of its names."""
        requested = scroll_name(name).casefold()
        return next((entry for entry in self.scrolls.values() if entry.id.casefold() == requested), None)

    def terms_of(self, scroll: str) -> str:
        """The terms of use of a scroll's data, in words."""
        own = self.scrolls[scroll].terms if scroll in self.scrolls else ""
        return own or self.terms or f"The terms of use of the scroll data are at {TERMS_AT}; read them there."


def when(*texts: Any) -> datetime | None:
    """The first of these that says a time: an ISO date, or 14 digits in a name; None where none does.

    >>> when(None, "20260311120000-w016").isoformat(), when("2025-06-11T15:42:56+00:00Z").isoformat()
    ('2026-03-11T12:00:00+00:00', '2025-06-11T15:42:56+00:00')
    """
    for text in texts:
        if not isinstance(text, str):
            continue
        digits = TIMESTAMP.search(text)
        try:
            found = datetime.strptime(digits[1], "%Y%m%d%H%M%S") if digits else _iso(text)
        except ValueError:
            continue
        return found if found.tzinfo else found.replace(tzinfo=timezone.utc)  # noqa: UP017
    return None


def _iso(text: str) -> datetime:
    """Some published dates carry an offset and a Z."""
    plain = text.strip()
    return datetime.fromisoformat(plain.removesuffix("Z") if "+" in plain else plain)


def unique(names: Iterable[str | None]) -> tuple[str, ...]:
    """What is said of them, each once."""
    return tuple(dict.fromkeys(name for name in names if name))
