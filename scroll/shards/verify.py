"""An output against its ledger: sizes always, for a listing tells them; contents when asked, for that reads everything."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from scroll.errors import InputError
from scroll.runtime.manifest import FileSum, sum_of
from scroll.shards.grid import Index
from scroll.shards.ledger import Ledger, as_noted


class Stored(Protocol):
    """What is looked at: a `ShardOutput`, or what behaves like one."""

    def files(self, level: int) -> Mapping[Index, Mapping[str, int]]:
        """The files of each shard of a level, and their sizes in bytes."""

    def content(self, level: int, name: str) -> bytes | None:
        """The bytes of a file of a level; None where there is none."""


@dataclass(frozen=True)
class Damage:
    """A shard that is noted as done and is not as it was written, and why."""

    level: int
    index: Index
    why: str

    def __str__(self) -> str:
        return f"level {self.level}, shard {'-'.join(map(str, self.index))}: {self.why}"


def damaged_in_size(ledger: Ledger, output: Stored, levels: int) -> Iterator[Damage]:
    """Shards whose files are gone, cut off or emptied; the notes are read first, so that a writer is not overtaken."""
    for level in range(levels):
        lines = list(ledger.notes(level))
        there = output.files(level) if lines else {}
        for index, files in lines:
            if not as_noted(files, there.get(index, {})):
                yield Damage(level, index, "files of it are gone or cut off")


def damaged_in_content(ledger: Ledger, output: Stored, levels: int) -> Iterator[Damage]:
    """Shards any of whose files is not, byte for byte, what was written; reads them one after the other."""
    for level in range(levels):
        for index, files in ledger.notes(level):
            for name, was in files.items() if isinstance(files, Mapping) else ():
                try:
                    content = output.content(level, name)
                except (InputError, OSError) as error:
                    yield Damage(level, index, f"{name} cannot be read ({' '.join(str(error).split())})")
                    break
                if content is None or sum_of(content) != FileSum(*was):
                    yield Damage(level, index, f"{name} is {'lost' if content is None else 'damaged'}")
                    break


def unverifiable(ledger: Ledger, levels: int) -> int:
    """How many shards were written before checksums were noted."""
    return sum(not isinstance(files, Mapping) for level in range(levels) for _, files in ledger.notes(level))


def strike_out(ledger: Ledger, damaged: list[Damage], levels: int) -> None:
    """Let these shards be made again by the command that made them, and what was made from them in coarser levels too."""
    for one in damaged:
        for up in range(levels - one.level):
            z, y, x = (number >> up for number in one.index)
            ledger.strike_out(one.level + up, (z, y, x))
