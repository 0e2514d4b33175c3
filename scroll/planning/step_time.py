"""How long a step and a prediction take, as a range: traced work over the peaks of a card, of which an honest share is reached."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from scroll.planning.footprint import Work
from scroll.planning.machine import BANDWIDTH_SHARE, COMPUTE_SHARE, Gpu

CRITICAL_S_A_VOXEL = (
    0.08 / 2**20,
    0.2 / 2**20,
)  # the topology term on one core, see scroll/training/loss_terms/critical_components.py
LAUNCH_S = (5e-6, 30e-6)  # for Python to send an operation to a card; what small networks and patches wait for
MAP_BYTES = 2  # a voxel and member: probabilities are kept as float16
GB_A_WORKER = (1.0, 7.0)  # of RAM: torch alone, and what was seen at worst


@dataclass(frozen=True)
class Range:
    """Between a lower and an upper bound, in seconds unless said otherwise."""

    low: float
    high: float

    def __add__(self, other: "Range") -> "Range":
        """Both after one another."""
        return Range(self.low + other.low, self.high + other.high)

    def __mul__(self, times: float) -> "Range":
        """So many times."""
        return Range(self.low * times, self.high * times)


NOTHING = Range(0.0, 0.0)


def time_of(work: Work, samples: int, gpu: Gpu, precision: str) -> Range:
    """Seconds for a pass over so many samples on this card.

    The lower bound overlaps arithmetic, memory and launches perfectly and takes the slowest at the best share of its peak;
    the upper one does one after the other at the worst.
    """
    compute_s = samples * work.flop / (gpu.tflop_s[precision] * 1e12)
    memory_s = samples * work.moved_bytes / (gpu.gb_s * 1e9)
    fastest, slowest = (each * work.operations for each in LAUNCH_S)
    low = max(compute_s / COMPUTE_SHARE[1], memory_s / BANDWIDTH_SHARE[1], fastest)
    return Range(low, compute_s / COMPUTE_SHARE[0] + memory_s / BANDWIDTH_SHARE[0] + slowest)


def topology_time(voxels: int, share: float) -> Range:
    """Seconds that the topology term computes on the CPU for a sample whose label has so many voxels; nothing without the term."""
    return Range(voxels * CRITICAL_S_A_VOXEL[0], voxels * CRITICAL_S_A_VOXEL[1]) if share else NOTHING


def workers_for(loading_s: float, sample_s: float) -> int:
    """Loading processes that keep up with a card that takes `sample_s` for a patch which takes `loading_s` to cut; at least 1.

    >>> workers_for(loading_s=0.9, sample_s=0.25)
    4
    """
    return max(1, -int(-loading_s // sample_s))


def workers_that_fit(ram_gb: float, cpus: int) -> int:
    """The most loading processes: one core is left to the training itself, and each may take 7 GB of four fifths of the RAM.

    >>> workers_that_fit(ram_gb=170, cpus=12), workers_that_fit(ram_gb=16, cpus=12), workers_that_fit(ram_gb=4, cpus=2)
    (11, 1, 0)
    """
    return max(0, min(cpus - 1, int(0.8 * ram_gb / GB_A_WORKER[1])))


def looks_a_voxel(overlaps: Sequence[float]) -> float:
    """How many windows see a voxel away from the borders.

    >>> looks_a_voxel((0.5, 0.5, 0.5))
    8.0
    """
    return prod(1 / (1 - overlap) for overlap in overlaps)


def gigavoxel_time(per_voxel_s: Range, overlaps: Sequence[float], views: int, folds: int) -> Range:
    """Seconds for 1e9 voxels of CT by all folds of a member, each through so many views; reading and blending left out."""
    return per_voxel_s * (1e9 * looks_a_voxel(overlaps) * views * folds)


def gigavoxels_in(seconds: float, members: Sequence[Range]) -> Range:
    """How many 1e9 voxels all members get through, given what each takes for one: at worst and at best.

    >>> gigavoxels_in(3600, [Range(400, 900), Range(500, 900)])
    Range(low=2.0, high=4.0)
    """
    best, worst = sum(one.low for one in members), sum(one.high for one in members)
    return Range(seconds / worst, seconds / best)


def maps_gib(voxels: float, members: int) -> float:
    """GiB on disk of the members' out-of-fold probabilities, uncompressed: an upper bound."""
    return voxels * members * MAP_BYTES / 2**30


def in_seconds(span: Range) -> str:
    """Such as 0.25-1.4 s."""
    return f"{in_short(span.low)}-{in_short(span.high)} s"


def in_hours(span: Range) -> str:
    """Such as 3.1-12 h; in minutes what is shorter than an hour.

    >>> in_hours(Range(3600 * 3.14, 3600 * 123)), in_hours(Range(60, 90))
    ('3.1-123 h', '1-1.5 min')
    """
    unit, name = (3600, "h") if span.high >= 3600 else (60, "min")
    return f"{in_short(span.low / unit)}-{in_short(span.high / unit)} {name}"


def in_short(number: float) -> str:
    """Two digits, or all of those before the point.

    >>> in_short(0.0123), in_short(1234.5)
    ('0.012', '1234')
    """
    return f"{number:.0f}" if number >= 99.5 else f"{number:.2g}"
