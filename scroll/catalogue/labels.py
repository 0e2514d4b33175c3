"""Where a segment's labels are: named by the catalogue, beside or in its surface volume, or in a tree of labels."""

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scroll.catalogue.entries import INK_DETECTION, LABEL_FOLDER, LABEL_TYPES, Artifact, TracedSegment
from scroll.catalogue.files import folder_at, parent_and_name
from scroll.catalogue.find import names_of
from scroll.errors import InputError
from scroll.volumes.masks import INK, MASK, SUPERVISION, VALIDATION

if TYPE_CHECKING:
    from scroll.volumes.remote import RemoteSettings

KINDS = (INK, SUPERVISION, VALIDATION, MASK)
ENDINGS = ("png", "tif", "zarr")  # in the order in which one is taken: a picture is one request
NAMED = re.compile(
    r"(?P<stem>.*?)[_-]?(?P<kind>inklabels|supervision_mask|validation_mask|mask)(?:_v(?P<version>\d{1,6}))?\.(?P<ending>png|tiff?|zarr)",
    re.IGNORECASE,
)
ASKED_VERSIONS = (
    "",
    "_v1",
    "_v2",
    "_v3",
)  # of a server that lists nothing; further ones are asked for while one is found
OF_A_ZARR = (".zgroup", ".zarray", "zarr.json")
LONGEST_ASKED = 18  # characters of a name that is asked for: "w016", a timestamp, "pherc0139-w016"


@dataclass(frozen=True)
class LabelFile:
    """One published label or mask: its kind, its version (None without one), how it ends, and its path or address."""

    kind: str
    version: int | None
    ending: str
    address: str

    def file_name(self, item: str) -> str:
        """Its name beside the layers of an item.

        >>> LabelFile("inklabels", 2, "zarr", "").file_name("PHerc0139_w016")
        'PHerc0139_w016_inklabels_v2.zarr'
        """
        version = "" if self.version is None else f"_v{self.version}"
        return f"{item}_{self.kind}{version}.{self.ending}"


def labels_of(
    segment: TracedSegment,
    tree: str | None = None,
    version: int | None = None,
    settings: "RemoteSettings | None" = None,
) -> list[LabelFile]:
    """The labels and masks of a segment, of each kind the greatest version; a few requests.

    `tree` is a folder of folders of labels, `<tree>/<segment>/<segment>_inklabels.zarr`; `version` is another one.

    Raises:
        InputError: there is ink or supervision, but none of that version; or a server fails.
    """
    found = [*declared_labels(segment), *_beside(segment, tree, settings)]
    for kind in (INK, SUPERVISION) if version is not None else ():
        versions = sorted({label.version or 0 for label in found if label.kind == kind})
        if versions and version not in versions:
            there = ", ".join(map(str, versions))
            raise InputError(
                f"{segment.full_name}: versions of its {kind}: {there}; expected {version}: ask for one that both ink and supervision have"
            )
    chosen: dict[str, LabelFile] = {}
    for label in found:
        if version is not None and (label.version or 0) != version and label.kind in (INK, SUPERVISION):
            continue
        chosen[label.kind] = max(label, chosen.get(label.kind, label), key=_rank)
    return [chosen[kind] for kind in KINDS if kind in chosen]


def _rank(label: LabelFile) -> tuple[int, int]:
    return label.version or 0, -ENDINGS.index(label.ending)


def label_named(name: str, address: str, stems: Iterable[str]) -> LabelFile | None:
    """The label that a file name is one of; None where it is none, or another segment's.

    >>> label_named("w016_supervision_mask_v3.tif", "", ["w016"])
    LabelFile(kind='supervision_mask', version=3, ending='tif', address='')
    """
    found = NAMED.fullmatch(name)
    if found is None or found["stem"].casefold() not in {"", *(stem.casefold() for stem in stems)}:
        return None
    version = None if found["version"] is None else int(found["version"])
    return LabelFile(found["kind"].lower(), version, found["ending"].lower().replace("tiff", "tif"), address)


def declared_labels(segment: TracedSegment) -> list[LabelFile]:
    """What the catalogue itself names: by type, or an ink detection that is called a label."""
    labels = []
    for artifact in segment.artifacts:
        kind = LABEL_TYPES.get(artifact.type)
        if kind is None and artifact.type != INK_DETECTION:
            continue
        found = NAMED.fullmatch(artifact.name)
        if kind is None and (found is None or found["kind"].lower() != INK):
            continue  # a prediction, on which nothing is trained
        ending = artifact.name.rpartition(".")[2].lower().replace("tiff", "tif")
        if ending in ENDINGS:
            version = int(found["version"]) if found and found["version"] else None
            labels.append(LabelFile(kind or INK, version, ending, artifact.address))
    return labels


def predictions_of(segment: TracedSegment) -> list[Artifact]:
    """Ink that networks of others saw: no label."""
    labels = {label.address for label in declared_labels(segment)}
    return [one for one in segment.artifacts if one.type.startswith(INK_DETECTION) and one.address not in labels]


def _beside(segment: TracedSegment, tree: str | None, settings: "RemoteSettings | None") -> Iterator[LabelFile]:
    """What is in the folders where labels are kept."""
    stems = names_of(segment)
    for artifact in segment.of_type(LABEL_FOLDER):
        yield from _in_folder(artifact.address, {*stems, artifact.name}, settings)
    if tree is not None:
        for name in _folders_called(tree, stems, settings):
            yield from _in_folder(f"{tree.rstrip('/')}/{name}", {*stems, name}, settings)
    for artifact in segment.surface_volumes:
        parent, name = parent_and_name(artifact.address)
        own = {*stems, name.removesuffix(".zarr")}
        yield from _in_folder(artifact.address, own, settings, {"0", *OF_A_ZARR})
        is_own_folder = parent_and_name(parent)[1].casefold() in {stem.casefold() for stem in stems}
        for label in _in_folder(parent, own, settings, {name}):
            if is_own_folder or NAMED.fullmatch(label.address.rpartition("/")[2])["stem"]:  # type: ignore[index]
                yield label  # in a folder of many segments, a bare inklabels.png is nobody's


def _folders_called(tree: str, stems: Iterable[str], settings: "RemoteSettings | None") -> list[str]:
    requested = {stem.casefold() for stem in stems}
    listed = folder_at(tree, settings).names()
    return sorted(stems) if listed is None else [name for name in listed if name.casefold() in requested]


def _in_folder(
    address: str, stems: Iterable[str], settings: "RemoteSettings | None", there: Container[str] = ()
) -> list[LabelFile]:
    """The labels in one folder: from its list, else by asking for the names that they bear.

    `there` are names of which one is in it: a server's page without any of them is no list of the folder.
    """
    stems, is_zarr = sorted({*stems}), "0" in there
    listed = folder_at(address, settings).names()
    if listed is None or (there and not any(name in there for name in listed)):
        own = parent_and_name(address)[1].removesuffix(".zarr")
        likely = [own] if is_zarr else [own, *(stem for stem in stems if len(stem) <= LONGEST_ASKED)]
        listed = list(_asked(address, dict.fromkeys(likely), settings, ENDINGS[:2] if is_zarr else ENDINGS))
    found = (label_named(name, f"{address.rstrip('/')}/{name}", stems) for name in listed)
    return [label for label in found if label is not None]


def _asked(
    address: str, stems: Iterable[str], settings: "RemoteSettings | None", endings: Iterable[str]
) -> Iterator[str]:
    """The names that are there; the masks are asked for only where there is ink."""
    for stem in stems:
        inked = list(_versions(address, f"{stem}_{INK}", settings, endings))
        yield from inked
        for kind in KINDS[1:] if inked else ():
            yield from _versions(address, f"{stem}_{kind}", settings, endings)


def _versions(address: str, name: str, settings: "RemoteSettings | None", endings: Iterable[str]) -> Iterator[str]:
    for ending in endings:
        asked, number = list(ASKED_VERSIONS), len(ASKED_VERSIONS)
        while asked:
            candidate = f"{name}{asked.pop(0)}.{ending}"
            if not _is_there(f"{address}/{candidate}", settings):
                continue
            yield candidate
            if not asked:
                asked.append(f"_v{number}")
                number += 1


def _is_there(address: str, settings: "RemoteSettings | None") -> bool:
    """Of a picture its first bytes are asked for, of a zarr its metadata."""
    if address.endswith(".zarr"):
        folder = folder_at(address, settings)
        return any(folder.has(name) for name in OF_A_ZARR)
    parent, name = parent_and_name(address)
    return folder_at(parent, settings).has(name)
