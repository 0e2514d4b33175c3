"""Whether the trackers that a run names are installed, asked without loading them."""

from importlib.util import find_spec

from scroll.config.schema import Settings
from scroll.errors import InputError


def check_trackers(settings: Settings) -> None:
    """Refuse a training whose curves would go to a tracker that is not there; predicting needs none.

    Raises:
        InputError: one of `trackers` is not installed.
    """
    for name in settings.trackers:
        found = find_spec(name)
        if (
            found is None or found.origin is None
        ):  # a folder of that name, which trackers leave where they ran, is no package
            raise InputError(
                f"trackers: '{name}' is not installed; run pip install 'scroll-ensemble[track]', or leave it out of trackers"
            )
