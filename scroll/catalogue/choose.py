"""Which of several surface volumes or surfaces of a segment is taken."""

from collections.abc import Sequence

from scroll.catalogue.contradictions import volume_of
from scroll.catalogue.entries import Artifact, Catalogue, ScanVolume, TracedSegment
from scroll.errors import InputError, MissingInputError
from scroll.volumes.voxel_size import is_same


def chosen_layers(catalogue: Catalogue, segment: TracedSegment, voxel_um: float | None = None) -> Artifact:
    """The surface volume with voxels of `voxel_um`, else the one that was rendered from the volume the segment was traced in.

    Raises:
        MissingInputError: none is published.
        InputError: none has such voxels, or several of different sizes are left; names them.
    """
    there = segment.surface_volumes
    if not there:
        held = ", ".join(sorted({artifact.type for artifact in segment.artifacts})) or "nothing"
        remedy = "--surface takes its surface" if segment.surfaces else "take another segment"
        raise MissingInputError(
            f"{segment.full_name}: has no surface volume (layers_zarr); published: {held}: {remedy}"
        )
    if voxel_um is not None:
        fitting = [one for one in there if one.voxel_um is not None and is_same(one.voxel_um, voxel_um)]
        if not fitting and not (len(there) == 1 and there[0].voxel_um is None):
            raise InputError(
                f"{segment.full_name}: has surface volumes with voxels of {_sizes(there)} um; expected {voxel_um:g}: ask for one of these"
            )
        there = fitting or there
    elif len(there) > 1:
        volume = volume_of(catalogue, segment)
        there = [one for one in there if volume is not None and _is_of(one, volume)] or there
    if len({one.voxel_um for one in there}) > 1:
        raise InputError(
            f"{segment.full_name}: has surface volumes with voxels of {_sizes(there)} um; give --voxel-um and one of these"
        )
    return there[0]


def _is_of(layers: Artifact, volume: ScanVolume) -> bool:
    if layers.volume_id is not None:
        return layers.volume_id in (volume.id, *volume.also)
    return layers.voxel_um is not None and volume.voxel_um is not None and is_same(layers.voxel_um, volume.voxel_um)


def _sizes(artifacts: Sequence[Artifact]) -> str:
    return ", ".join("unknown" if one.voxel_um is None else f"{one.voxel_um:g}" for one in artifacts)


def chosen_surface(catalogue: Catalogue, segment: TracedSegment) -> tuple[Artifact, float, str]:
    """A tifxyz, what its coordinates are to be multiplied by, and path or address of the volume that they are voxels of.

    One that was transformed is in the volume that its name names; any other in `original_volume_downscale` voxels of the volume
    that it was traced in.

    Raises:
        MissingInputError: no surface, or no volume that it is in, is published.
    """
    volumes = catalogue.scrolls[segment.scroll].volumes
    transformed = [one for one in segment.surfaces if one.type == "tifxyz-transformed" and one.volume_id is not None]
    for one in sorted(transformed, key=lambda one: one.volume_id != segment.volume_id):
        volume = volumes.get(one.volume_id or "")
        if volume is not None and volume.address is not None:
            return one, 1.0, volume.address
    traced = [one for one in segment.surfaces if one.type != "tifxyz-transformed"]
    if not traced:
        raise MissingInputError(
            f"{segment.full_name}: has no surface (tifxyz) in a volume that is published; take another segment"
        )
    volume = volume_of(catalogue, segment)
    if volume is None or volume.address is None:
        raise MissingInputError(
            f"{segment.full_name}: original_volume_id is {segment.volume_id or 'not said'}, and no OME-Zarr of it is published; a surface "
            "without its volume cannot be read: take another segment"
        )
    return traced[0], segment.downscale or 1.0, volume.address
