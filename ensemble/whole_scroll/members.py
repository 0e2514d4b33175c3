"""Which members of a run look at whole volumes, with which weights, and whether a volume is one for them."""

from collections.abc import Container

from ensemble.kinds import steps_of
from scroll.config.schema import Settings
from scroll.data.members.others import of_others
from scroll.data.members.suits import check_voxels
from scroll.errors import InputError
from scroll.volumes.volume import Volume


def volume_members(settings: Settings) -> list[str]:
    """The members that give voxels of whatever volume they see: all but maps of a sheet and predictions that are there already.

    Raises:
        InputError: none is left.
    """
    found = [name for name in settings.stage1.members if name not in _left_out(settings)]
    if not found:
        raise InputError(
            f"{settings.run_dir}: every member gives maps of a sheet, or predictions that are there already; expected one that gives "
            "voxels of what it sees: add one to stage1.members"
        )
    return found


def message_on_left_out(settings: Settings) -> str:
    """A line that names the members that cannot look at volumes; empty where there are none."""
    named = [f"{name} ({why})" for name, why in _left_out(settings).items()]
    if not named:
        return ""
    return f"left out of whole volumes: {', '.join(named)}; the others' weights are raised until they sum to one"


def _left_out(settings: Settings) -> dict[str, str]:
    """Members that cannot look at volumes, and why."""
    found = {}
    for name, other in of_others(settings).items():
        if other.card.ready:
            found[name] = "predictions that are there already"
        elif other.gives_map:
            found[name] = "gives a map of a sheet"
    return found


def member_weights(settings: Settings) -> dict[str, float]:
    """The run's fitted weights of the members of stage one that count, summing to one.

    Of segments, stage two has a weight too; it sees sheets, not volumes, and is left out here, as are members that give maps.
    Where only those have one, the members count alike.

    Raises:
        MissingInputError: the run was not fitted.
        InputError: no member looks at volumes.
    """
    fitted = steps_of(settings.data).fitted_weights(settings)
    found = {name: float(fitted.get(name, 0.0)) for name in volume_members(settings)}
    found = {name: weight for name, weight in found.items() if weight > 0} or dict.fromkeys(found, 1.0)
    total = sum(found.values())
    return {name: weight / total for name, weight in found.items()}


def check_voxels_of(settings: Settings, names: Container[str], volume: Volume) -> None:
    """Refuse a volume whose voxels are not of the size that a member was trained on; one that says no size has that of the run.

    Raises:
        InputError: more than 1 % larger or smaller.
    """
    for name, other in of_others(settings).items():
        if name in names:
            check_voxels(other, voxel_um_of(settings, volume))


def voxel_um_of(settings: Settings, volume: Volume) -> float:
    """The edge of a volume's voxels in micrometres; one that says none has those of the run."""
    return settings.data.voxel_um * volume.place.edge if volume.voxel_um is None else volume.voxel_um
