"""Links that lead nowhere: a data set that was not fetched, a share that is not mounted."""

from pathlib import Path

from scroll.errors import MissingInputError


def refuse_dead_link(path: Path) -> Path:
    """The path again; whether anything is there, if it is no link, is not looked at.

    Raises:
        MissingInputError: it is a link, and what it leads to is not there.
    """
    if path.is_symlink() and not path.exists():
        raise MissingInputError(
            f"{path}: leads to {path.readlink()}, which is not there; fetch the data, mount the disk, or mend the link"
        )
    return path
