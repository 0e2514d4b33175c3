"""The memory of a training step as a function of its batch, from passes traced with two batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from scroll.errors import InputError

GIB = 2**30
BYTES_A_NUMBER = 4  # weights, gradients and optimiser states are float32 in every precision
# numbers a parameter that an optimiser keeps, and those it makes and drops again in a step (AdamW: the root of its variance)
STATE = {"adamw": 2, "muon": 1, "sgd": 1}
PASSING = {"adamw": 1, "muon": 1, "sgd": 1}
Line = tuple[
    tuple[float, ...], tuple[float, ...]
]  # bytes with batch 0, and for each sample: weights, gradients, inputs, activations


@dataclass(frozen=True)
class Held:
    """GiB by cause at one moment of a step."""

    weights: float
    gradients: float
    optimiser: float
    average: float
    activations: float
    inputs: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.gradients + self.optimiser + self.average + self.activations + self.inputs


@dataclass(frozen=True)
class Work:
    """What is computed for a sample, what its operations read and write, each by itself, and how many those are in a pass."""

    flop: float
    moved_bytes: float
    operations: int = 0


@dataclass(frozen=True)
class Footprint:
    """What a step holds, for any batch: every moment grows linearly with the batch, and the peak is the highest of them.

    Attributes:
        parameters: numbers in the network.
        optimiser_gib: its states.
        passing_gib: what the optimiser makes and drops again in its own step.
        average_gib: the averaged weights.
        moments: (bytes with batch 0, bytes a sample) by cause, of those moments that can be the highest.
        work: of one sample's forward and backward pass.
        forward: of its forward pass alone.
    """

    parameters: int
    optimiser_gib: float
    passing_gib: float
    average_gib: float
    moments: tuple[Line, ...]
    work: Work
    forward: Work

    def at(self, batch: int) -> Held:
        """What is held at the peak of a step with so many samples."""
        fixed, each = max(self.moments, key=lambda moment: sum(moment[0]) + batch * sum(moment[1]))
        weights, gradients, inputs, activations = (
            (base + batch * more) / GIB for base, more in zip(fixed, each, strict=True)
        )
        held = Held(weights, gradients, self.optimiser_gib, self.average_gib, activations, inputs)
        whole = self.parameters * BYTES_A_NUMBER / GIB
        stepping = Held(weights, whole, self.optimiser_gib, self.average_gib, self.passing_gib, inputs)
        return max(held, stepping, key=lambda one: one.total)

    @property
    def per_sample_gib(self) -> float:
        """What one more sample adds where the batch is large."""
        return max(sum(each) for _, each in self.moments) / GIB

    def largest_batch(self, for_tensors_gib: float) -> int:
        """The most samples whose peak fits; 0 where not even one does.

        The trace knows neither cuDNN's workspace nor what a cautious allocator leaves free: an upper bound.
        """
        if self.at(1).total > for_tensors_gib:
            return 0
        kept = self.optimiser_gib + self.average_gib
        room = [
            (for_tensors_gib - kept - sum(fixed) / GIB) / (sum(each) / GIB)
            for fixed, each in self.moments
            if sum(each) > 0
        ]
        return max(1, floor(min(room) + 1e-9))


def footprint(
    parameters: int, optimiser: str, traced: Sequence[tuple[int, Sequence[Sequence[int]]]], work: Work, forward: Work
) -> Footprint:
    """From two traces, each (batch, moments), bytes by cause; `work` and `forward` are of one sample.

    Both passes do the same operations in the same order, so that moment n of one is moment n of the other.

    Raises:
        InputError: they did not.
    """
    (small, first), (large, second) = traced
    if len(first) != len(second):
        raise InputError(
            f"traced with batch {small} the network made {len(first)} tensors, with batch {large} {len(second)}: what it does "
            "depends on the batch, so that its memory cannot be planned; try it with scripts/bench_gpu.py"
        )
    lines: set[Line] = set()
    for before, after in zip(first, second, strict=True):
        each = tuple((b - a) / (large - small) for a, b in zip(before, after, strict=True))
        fixed = tuple(a - small * more for a, more in zip(before, each, strict=True))
        lines.add((fixed, each))
    size = parameters * BYTES_A_NUMBER / GIB
    return Footprint(
        parameters, STATE[optimiser] * size, PASSING[optimiser] * size, size, tuple(_upper(lines)), work, forward
    )


def _upper(lines: set[Line]) -> list[Line]:
    """Those that no other surpasses both with batch 0 and by the sample, from the steepest on."""
    kept: list[Line] = []
    for line in sorted(lines, key=lambda one: (sum(one[1]), sum(one[0])), reverse=True):
        if not kept or sum(line[0]) > sum(kept[-1][0]):
            kept.append(line)
    return kept
