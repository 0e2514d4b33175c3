"""What a prediction is asked for: a folder of fragments or segments, one of them, or a bare volume; all of it, or a part."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from scroll.config.schema import Settings

Item = TypeVar("Item")


@dataclass(frozen=True)
class Part:
    """Every `count`-th of the things to predict, from the `number`-th on (from 1): what one of several processes takes."""

    number: int = 1
    count: int = 1

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Its share of them, which may be none.

        >>> Part(2, 3).of("abcdefg")
        ['b', 'e']
        """
        return list(items)[self.number - 1 :: self.count]


@dataclass(frozen=True)
class Request:
    """What a prediction is asked for.

    Attributes:
        source, output: what is predicted, and into which folder.
        submission: where what is submitted is written too, if anywhere.
        truth: folder with the labels that it is scored against, if any.
        part: only some of the items.
        hours: what does not fit into them is given up, if they are given.
        is_late_empty: of cubes: what the hours leave no time for is submitted empty, and named.
        is_tidy: of cubes: what a mask was made from is removed once the mask is there.
        is_resumed: of cubes: what an earlier prediction finished is kept.
        command: what was typed, for the report.
    """

    source: Path
    output: Path
    submission: Path | None = None
    truth: Path | None = None
    part: Part = Part()
    hours: float | None = None
    is_late_empty: bool = False
    is_tidy: bool = False
    is_resumed: bool = True
    command: tuple[str, ...] = ()


def parse_part(text: str) -> Part:
    """The part that "K/N" names.

    >>> parse_part("2/3")
    Part(number=2, count=3)

    Raises:
        InputError: it names none.
    """
    from scroll.errors import InputError

    number, slash, count = text.partition("/")
    is_number = slash and number.isdecimal() and count.isdecimal()
    if not is_number or not 1 <= int(number) <= int(count):
        raise InputError(f"--part {text}: expected K/N with 1 <= K <= N, such as 1/2 and 2/2 for two processes")
    return Part(int(number), int(count))


def input_sheets(settings: "Settings", source: Path) -> "list[Any]":
    """The fragments (or traced segments, by `data.kind`) at `source`: a folder of them, a single one, or a bare layer stack.

    Raises:
        MissingInputError: nothing is there.
    """
    from scroll.data.kinds import kind_of
    from scroll.errors import MissingInputError
    from scroll.runtime.links import refuse_dead_link
    from scroll.volumes.url import Url, path_or_url

    if isinstance(path_or_url(source), Url):
        return kind_of(settings.data).at(source, settings.data)
    source = source.absolute()  # "." has no name
    if not refuse_dead_link(source).exists():
        raise MissingInputError(f"{source}: not there; expected a folder of fragments, one fragment, or a volume")
    return kind_of(settings.data).at(source, settings.data)
