"""Links that lead nowhere: a data set that was not fetched, a share that is not mounted."""

from pathlib import Path

from scroll.errors import MissingInputError


def refuse_dead_link(path: Path) -> Path:
    """The path again; that nothing is there for another reason is no error here.

    Raises:
        MissingInputError: it, or a folder above it, is a link, and what that leads to is not there.
    """
    if path.exists():
        return path
    for place in (path, *path.parents):
        if place.is_symlink() and not place.exists():
            raise MissingInputError(
                f"{place}: leads to {place.readlink()}, which is not there; fetch the data, mount the disk, or mend the link"
            )
    return path
