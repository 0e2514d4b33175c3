"""Terms of use of the data: shown, accepted once, and remembered in a small file beside the data."""

import time
from pathlib import Path

from scroll.catalogue.entries import Catalogue
from scroll.errors import InputError
from scroll.runtime.files import read_mapping, write_json

NAME = "terms.json"


def check_terms(to: Path, catalogue: Catalogue, scroll: str, accepts: bool, how: str) -> str:
    """The date on which the terms of a scroll's data were accepted for the data in `to`; kept where they are accepted now.

    They are printed where they were not accepted before. `how` says what the user has to do to accept them.

    Raises:
        InputError: they are not accepted.
    """
    text, path = catalogue.terms_of(scroll), to / NAME
    accepted = _accepted(path)
    if text in accepted:
        return accepted[text]
    print(f"terms of use of {scroll}: {text}")
    if not accepts:
        raise InputError(f"{path}: the terms of use above are not accepted yet; read them, then {how}")
    accepted[text] = time.strftime("%Y-%m-%d")
    write_json(path, {"accepted": [{"terms": one, "date": date} for one, date in accepted.items()]})
    return accepted[text]


def _accepted(path: Path) -> dict[str, str]:
    """Date by text."""
    if not path.exists():
        return {}
    content = read_mapping(path, accepted=[{"terms": str, "date": str}])
    return {entry["terms"]: entry["date"] for entry in content["accepted"]}
