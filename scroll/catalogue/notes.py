"""Reading what others wrote: values of the expected type, and a note of every place that holds something else."""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from scroll.catalogue.entries import Fault
from scroll.errors import InputError
from scroll.volumes.url import Url, path_or_url

MOST_SHOWN = 60  # characters of a value in a message


class WrongPartError(Exception):
    """A part of a catalogue that cannot be used; what holds it decides whether it is passed over."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class Notes:
    """What was found wrong in a catalogue so far; an unknown key is noted once for each kind of part.

    `base` is the folder that paths in the catalogue are relative to; None of one that came over the network, which names none.
    """

    def __init__(self, base: Path | None = None) -> None:
        self.base = base
        self.faults: list[Fault] = []
        self._unknown: set[tuple[str, str]] = set()

    def passed_over(self, where: str, message: str) -> None:
        """Note a part that is passed over."""
        self.faults.append(Fault(where, message))

    def address(self, address: str, where: str) -> str:
        """A path or an address as it is used from here.

        Raises:
            WrongPartError: no sound address, or a path where only addresses can be meant.
        """
        try:
            place = path_or_url(address)
        except InputError as error:
            raise WrongPartError(Fault(where, f"{error}: passed over")) from None
        if isinstance(place, Url):
            return str(place)
        if self.base is None:
            raise WrongPartError(Fault(where, f"is {address!r:.80}, a path; expected an address: passed over"))
        return str(self.base / place)

    def check_keys(self, content: Mapping[str, Any], known: Iterable[str], what: str, where: str) -> None:
        """Note the keys that nothing reads: a slip of the pen, or something new."""
        known = tuple(known)
        for key in content:
            if key in known or (what, key) in self._unknown:
                continue
            self._unknown.add((what, key))
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.75)
            hint = f"did you mean '{near[0]}'?" if near else "nothing reads it"
            self.passed_over(f"{where}.{key}", f"unknown key of a {what}, passed over wherever it stands; {hint}")


def mapping(value: Any, where: str, expected: str = "a mapping") -> dict[str, Any]:
    """The value, which is a mapping.

    Raises:
        WrongPartError: it is something else.
    """
    if not isinstance(value, dict):
        raise _wrong(value, where, expected)
    return {str(key): part for key, part in value.items()}


def named_parts(value: Any, where: str) -> Iterator[tuple[str, str, Any]]:
    """(id, place, part) of a mapping by id, or of a list of parts that say their `id`; none where there is no value.

    Raises:
        WrongPartError: it is something else.
    """
    if value is None:
        return
    if isinstance(value, list):
        for number, part in enumerate(value):
            own = part.get("id") if isinstance(part, dict) else None
            yield ("" if own is None else str(own)), f"{where}[{number}]", part
        return
    for key, part in mapping(value, where, "a mapping from ids to entries").items():
        yield key, f"{where}.{key}", part


def numbered_parts(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """(place, part) of a list; none where there is no value.

    Raises:
        WrongPartError: it is something else.
    """
    if value is None:
        return
    if isinstance(value, dict):
        yield from ((f"{where}.{key}", part) for key, part in value.items())
        return
    if not isinstance(value, list):
        raise _wrong(value, where, "a list")
    yield from ((f"{where}[{number}]", part) for number, part in enumerate(value))


def text(content: Mapping[str, Any], key: str, where: str) -> str | None:
    """The text under a key, or a number as text; None where there is none.

    Raises:
        WrongPartError: it is something else, or holds signs that no name has.
    """
    value = content.get(key)
    if value is None or isinstance(value, bool | list | dict):
        if value is None:
            return None
        raise _wrong(value, f"{where}.{key}", "a text")
    stripped = str(value).strip()
    if not stripped.isprintable():
        raise _wrong(value, f"{where}.{key}", "a text of printable signs")
    return stripped or None


def size(contents: Iterable[tuple[str, Mapping[str, Any]]], key: str) -> float | None:
    """A number above 0, which the first of some mappings (each with its place) that has the key says; None where none has it.

    Raises:
        WrongPartError: it is something else.
    """
    for where, content in contents:
        value = content.get(key)
        if value is None:
            continue
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not 0 < number < math.inf:
            raise _wrong(value, f"{where}.{key}", "a number above 0")
        return number
    return None


def _wrong(value: Any, where: str, expected: str) -> WrongPartError:
    found = f"a {type(value).__name__}" if isinstance(value, dict | list) else f"{value!r:.{MOST_SHOWN}}"
    return WrongPartError(Fault(where, f"holds {found}; expected {expected}: passed over"))
