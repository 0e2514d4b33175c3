"""What OME-Zarr says of an image, versions 0.1 to 0.6: axes and their units, and of every level its path, scale and translation."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scroll.errors import InputError
from scroll.volumes.place import Numbers

SPACE = "zyx"
KNOWN_VERSION = re.compile(r"0\.[1-6](?!\d)")
LARGEST = 1e12  # number that stands for a length in any unit
OLDEST_AXES = tuple("tczyx")  # of versions 0.1 and 0.2, which name none


@dataclass(frozen=True)
class Level:
    """A level: the `path` of its array, edges of a voxel and centre of the first one, an entry for each axis.

    `scale` is None where nothing is written.
    """

    path: str
    scale: tuple[float, ...] | None
    translation: tuple[float, ...] | None


@dataclass(frozen=True)
class Multiscales:
    """The first image of a group; `axes` in lower case, () where the file names none; `units` "" where there is none."""

    axes: tuple[str, ...]
    units: tuple[str, ...]
    levels: tuple[Level, ...]

    def space(self, values: Sequence[Any], missing: Any) -> tuple[Any, Any, Any]:
        """Those of the axes z, y, x; of an array whose axes have no names those of the last three."""
        if not self.axes:
            z, y, x = (*[missing] * 3, *values)[-3:]
            return z, y, x
        z, y, x = (values[self.axes.index(axis)] if axis in self.axes else missing for axis in SPACE)
        return z, y, x

    def scale(self, level: int) -> Numbers | None:
        """Edges of a voxel of a level along z, y, x, in the units of the axes."""
        scale = self.levels[level].scale
        return None if scale is None else self.space(scale, 1.0)

    def translation(self, level: int) -> Numbers:
        """Where the first voxel of a level is centred."""
        found = self.levels[level].translation
        return (0.0, 0.0, 0.0) if found is None else self.space(found, 0.0)


def entries_of(attributes: Mapping[str, Any]) -> list[Any]:
    """The images of a group; from version 0.5 on they stand under `ome`. One that stands alone, out of its list, counts."""
    ome = attributes.get("ome")
    entries = attributes.get("multiscales") or (ome.get("multiscales") if isinstance(ome, Mapping) else None)
    return [entries] if isinstance(entries, Mapping) else list(entries or [])


def read_multiscales(where: Any, attributes: Mapping[str, Any]) -> Multiscales | None:
    """What the attributes of a group at `where` say; None where they describe no image.

    Raises:
        InputError: another version, a transformation other than scale and translation, or what is no such description.
    """
    entries = entries_of(attributes)
    if not entries:
        return None
    entry, ome = entries[0], attributes.get("ome")
    if not isinstance(entry, Mapping) or not isinstance(entry.get("datasets"), list) or not entry["datasets"]:
        raise InputError(
            f"{where}: its multiscales list no datasets; expected an OME-Zarr image: write its metadata again"
        )
    version = entry.get("version") or (ome.get("version") if isinstance(ome, Mapping) else None)
    if version is not None and not KNOWN_VERSION.match(str(version)):
        raise InputError(f"{where}: OME-Zarr version {version}; expected 0.1 to 0.6: save it as one of these")
    if "coordinateSystems" in entry or str(version).startswith("0.6"):
        return _Description(where, version or "0.6", entry).of_systems()
    return _Description(where, version, entry).of_axes()


@dataclass(frozen=True)
class _Description:
    """One entry of `multiscales`."""

    where: Any
    version: Any
    entry: Mapping[str, Any]

    def of_axes(self) -> Multiscales:
        """Versions 0.1 to 0.5: what stands beside the datasets is done after what stands in each."""
        axes = self.entry.get("axes") or []
        if not axes and str(self.version).startswith(("0.1", "0.2")):
            axes = OLDEST_AXES
        names, units = self._axes(axes)
        outer = self.entry.get("coordinateTransformations")
        levels = [self._level(part, outer, len(names)) for part in self.entry["datasets"]]
        return Multiscales(names, units, tuple(levels))

    def of_systems(self) -> Multiscales:
        """Version 0.6: the axes are those of the coordinate system that every dataset leads to.

        What leads on from there to other systems must change nothing: which of them is meant, no file says.
        """
        for move in _listed(self.entry.get("coordinateTransformations")):
            if not isinstance(move, Mapping) or move.get("type") != "identity":
                kind = move.get("type") if isinstance(move, Mapping) else move
                raise InputError(
                    f"{self.where}: OME-Zarr {self.version} with a further coordinate system ({kind}); expected scale and translation in "
                    "its datasets alone: save it as version 0.5"
                )
        leads_to = {
            _end(move) for part in self.entry["datasets"] for move in _listed(part.get("coordinateTransformations"))
        }
        systems = [s for s in _listed(self.entry.get("coordinateSystems")) if isinstance(s, Mapping)]
        fitting = [s for s in systems if s.get("name") in leads_to] if len(systems) > 1 else systems
        if len(fitting) != 1:
            named = ", ".join(str(s.get("name")) for s in systems) or "none"
            raise InputError(
                f"{self.where}: OME-Zarr {self.version} with coordinate systems {named}; expected one that its datasets lead to: save it "
                "as version 0.5"
            )
        names, units = self._axes(fitting[0].get("axes") or [])
        levels = [self._level(part, None, len(names)) for part in self.entry["datasets"]]
        return Multiscales(names, units, tuple(levels))

    def _axes(self, axes: Sequence[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        named = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in axes]
        return (
            tuple(str(axis.get("name", "")).lower() for axis in named),
            tuple(str(axis.get("unit") or "") for axis in named),
        )

    def _level(self, part: Any, outer: Any, count: int) -> Level:
        if not isinstance(part, Mapping) or not isinstance(part.get("path"), str):
            raise InputError(
                f"{self.where}: a dataset without a path; expected one for each level: write its metadata again"
            )
        moves = [*_listed(part.get("coordinateTransformations")), *_listed(outer)]
        scale, translation = self._composed(moves, count, part["path"])
        return Level(part["path"].strip("/"), scale, translation)

    def _composed(
        self, moves: Sequence[Any], count: int, path: str
    ) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
        """One scale, and one translation after it, that do what all of them do one after the other."""
        scale: list[float] | None = None
        shift: list[float] | None = None
        for move in self._flat(moves):
            kind, values = move["type"], move.get(str(move["type"]))
            is_scale = kind == "scale"
            length = count or (len(values) if isinstance(values, list) else 0)
            if not (isinstance(values, list) and len(values) == length and all(_is_good(v, is_scale) for v in values)):
                raise InputError(
                    f"{self.where}: the {kind} of level {path} is {values!s:.60}; expected {count or 'its'} numbers"
                    f"{' above 0' if is_scale else ''}, one for each axis: mend its metadata"
                )
            if is_scale:
                scale = [a * b for a, b in zip(scale or [1.0] * length, values, strict=True)]
                shift = None if shift is None else [a * b for a, b in zip(shift, values, strict=True)]
            else:
                shift = [a + b for a, b in zip(shift or [0.0] * length, values, strict=True)]
        return None if scale is None else tuple(scale), None if shift is None else tuple(shift)

    def _flat(self, moves: Sequence[Any]) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        for move in moves:
            kind = move.get("type") if isinstance(move, Mapping) else None
            if kind == "sequence":
                found += self._flat(_listed(move.get("transformations")))
            elif kind in ("scale", "translation"):
                found.append(move)
            elif kind != "identity":
                version = "" if self.version is None else f" {self.version}"
                raise InputError(
                    f"{self.where}: OME-Zarr{version} with a transformation of type {kind}; expected scale and translation alone: "
                    "resample the volume onto its axes"
                )
        return found


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _end(move: Any) -> Any:
    """The name of the system that a transformation of version 0.6 leads to."""
    output = move.get("output") if isinstance(move, Mapping) else None
    return output.get("name") if isinstance(output, Mapping) else output


def _is_good(value: Any, is_scale: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST < value < LARGEST:  # NaN neither
        return False
    return value > 1 / LARGEST or not is_scale
