"""How the measurements time: processor and wall-clock seconds of calls in turn, and their lines beside a yardstick's."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Times:
    """Seconds of several calls of one thing: of the processor, by all threads of this process, and of the wall clock."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take the time of a block."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.cpu.append(time.process_time() - cpu)
        self.wall.append(time.perf_counter() - wall)

    @property
    def median(self) -> float:
        """Processor seconds of a call."""
        return statistics.median(self.cpu)

    @property
    def in_words(self) -> str:
        """Median, least and most processor seconds."""
        return f"{self.median:8.3f} CPU s  [{min(self.cpu):.3f}..{max(self.cpu):.3f}]"


def repeated(call: Callable[[], object], runs: int) -> Times:
    """One call several times."""
    times = Times()
    for _ in range(runs):
        with times.one():
            call()
    return times


def in_turns(calls: Mapping[str, Callable[[], object]], runs: int, warm: int = 1) -> dict[str, Times]:
    """Every call once per round, after `warm` rounds that are not counted: a busy minute of the machine then meets all of them."""
    times = {name: Times() for name in calls}
    for turn in range(warm + runs):
        for name, call in calls.items():
            with (times[name] if turn >= warm else Times()).one():
                call()
    return times


def beside(times: Mapping[str, Times], yardstick: str, more: Callable[[Times], str] = lambda _: "") -> str:
    """A line each: processor seconds, how many times those of the yardstick, and what `more` says of it."""
    base, width = times[yardstick].median, max(map(len, times))
    return "\n".join(
        f"  {name:<{width}} {one.in_words:<38} x {one.median / base:6.2f}  {more(one)}".rstrip()
        for name, one in times.items()
    )
