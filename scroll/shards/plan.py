"""What a whole-volume prediction will do, written down before it starts: shards, bytes, windows, hours."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from scroll.errors import InputError
from scroll.runtime.files import read_mapping, write_sealed
from scroll.runtime.reading import DAMAGE, reason
from scroll.shards.grid import Index, Shard, part_of, refuse_shared_shards, shard_at
from scroll.volumes.sharded.format import OutputFormat, format_from

FORMAT = 1  # to be raised when the meaning of a plan changes


@dataclass(frozen=True)
class Plan:
    """Everything a worker, a resumed run and `status` have to agree on.

    Attributes:
        key: hash of the volume, the networks, the settings and the choice of shards.
        how: the output.
        indices: the requested shards of level 0, numbered along z, y, x.
        bytes_read: of the volume, decoded, the halos counted each time they are read.
        windows: how many windows each network will look at.
        window_s: seconds for one window of each network, measured; empty where nobody measured.
        about: what else the run needs to know or a reader may want to.
    """

    key: str
    how: OutputFormat
    indices: tuple[Index, ...]
    bytes_read: int
    windows: Mapping[str, int] = field(default_factory=dict)
    window_s: Mapping[str, float] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def shards(self) -> list[Shard]:
        """The requested shards of level 0."""
        return [shard_at(self.how.shape, self.how.shard_vox, index) for index in self.indices]

    def part(self, part: int, parts: int) -> list[Shard]:
        """Those of one part of several, in the order they are gone through."""
        return part_of(self.shards, part, parts)

    @property
    def bytes_written(self) -> int:
        """Of level 0, before compression."""
        return sum(prod(shard.size) for shard in self.shards)

    @property
    def hours(self) -> float | None:
        """Of one device, for the networks alone; None where nobody measured."""
        if self.windows.keys() != self.window_s.keys():
            return None
        return sum(count * self.window_s[name] for name, count in self.windows.items()) / 3600

    def check(self) -> None:
        """Refuse a plan in which two pieces of work would write one shard of the output.

        Raises:
            InputError: names the shard.
        """
        refuse_shared_shards(((s.corner, s.size) for s in self.shards), self.how.shape, self.how.shard_vox)

    def lines(self) -> Iterator[str]:
        """What `--plan-only` prints."""
        total = prod(-(-n // self.how.shard_vox) for n in self.how.shape)
        yield f"volume     {' x '.join(map(str, self.how.shape))} voxels (z, y, x)"
        yield f"shards     {len(self.indices)} of {total}, {self.how.shard_vox} voxels a side, chunks of {self.how.chunk_vox}"
        yield f"read       {in_bytes(self.bytes_read)} decoded, halos included"
        yield f"write      {in_bytes(self.bytes_written)} before compression, level 0 of {self.how.levels}"
        for name, count in self.windows.items():
            seconds = f", {self.window_s[name]:.4f} s each" if name in self.window_s else ""
            yield f"windows    {count} of {name}{seconds}"
        if self.hours is not None:
            yield f"time       {self.hours:.3g} hours of one such device, networks alone"
        yield f"settings   {self.key}"


def in_bytes(count: float) -> str:
    """A number of bytes for people.

    >>> in_bytes(1_310_000_000_000)
    '1.31 TB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan as JSON, aside and renamed."""
    content = {"format": FORMAT, **asdict(plan), "indices": ["-".join(map(str, index)) for index in plan.indices]}
    write_sealed(path, content)


def read_plan(path: Path) -> Plan:
    """Read and check a plan.

    Raises:
        MissingInputError: it is not there.
        InputError: it is no plan of this format, or two pieces of its work would write one shard.
    """
    content = read_mapping(path, "start the prediction first: scripts/predict_scroll.py", key=str, bytes_read=int)
    try:
        if content.pop("format") != FORMAT:
            raise ValueError("another format")
        how, names = content.pop("how"), content.pop("indices")
        indices = tuple(_index(name) for name in names)
        plan = Plan(how=format_from(how), indices=indices, **content)
        _check_numbers(plan)
    except DAMAGE as error:
        raise InputError(f"{path}: not a plan ({reason(error)}); delete it and start the prediction again") from None
    plan.check()
    return plan


def _check_numbers(plan: Plan) -> None:
    if any(type(count) is not int for count in plan.windows.values()):
        raise ValueError("the number of windows of a network is none")
    if any(type(seconds) not in (int, float) for seconds in plan.window_s.values()):
        raise ValueError("the seconds of a window are no number")
    if not isinstance(plan.about, dict):
        raise ValueError("'about' is no mapping")


def _index(name: str) -> Index:
    z, y, x = (int(number) for number in name.split("-"))
    return z, y, x
