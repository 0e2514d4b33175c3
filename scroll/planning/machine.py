"""Graphics cards and the rest of a machine, as far as a plan looks at them."""

from dataclasses import dataclass, replace

from scroll.errors import InputError

USABLE = {16: 14.8, 24: 22.5, 80: 78.0}  # GiB of a card that torch can have, measured by what cards report
CONTEXT_GIB = 0.8  # that CUDA, cuDNN and their kernels take before the first tensor
FRAGMENTED = 1.10  # torch reserves so many times what is alive at the peak
# share of the peak that real training reaches, from a careless to a tuned one; an assumption, not a measurement
COMPUTE_SHARE = (0.15, 0.50)
BANDWIDTH_SHARE = (0.40, 0.80)


@dataclass(frozen=True)
class Gpu:
    """A graphics card.

    Attributes:
        tflop_s: peak by precision, dense, with tensor cores where there are any and autocast uses them.
        gb_s: peak of its memory.
        has_tensor_cores: 16 bit computes several times faster than 32 bit.
    """

    name: str
    gib: float
    tflop_s: dict[str, float]
    gb_s: float
    has_bf16: bool
    has_tensor_cores: bool

    @property
    def usable_gib(self) -> float:
        """GiB that torch can have; of sizes that are not in the table, in proportion to the next smaller one that is."""
        below = max((size for size in USABLE if size <= self.gib), default=min(USABLE))
        return USABLE[below] * self.gib / below

    @property
    def for_tensors_gib(self) -> float:
        """What may be alive at the peak.

        >>> round(GPUS["t4"].for_tensors_gib, 3)
        12.655
        """
        return self.usable_gib / FRAGMENTED - CONTEXT_GIB


def _gpu(name: str, gib: float, tflop_s: tuple[float, float, float], gb_s: float, has_tensor_cores: bool = True) -> Gpu:
    by_precision = dict(zip(("fp32", "fp16", "bf16"), tflop_s, strict=True))
    return Gpu(name, gib, by_precision, gb_s, tflop_s[2] > 0, has_tensor_cores)


# makers' data sheets: fp32 without TF32, which torch leaves off for matrix products; 16 bit dense with fp32 sums
GPUS = {
    "t4": _gpu("T4", 16, (8.1, 65.0, 0.0), 320),
    "p100": _gpu("P100", 16, (9.3, 18.7, 0.0), 732, has_tensor_cores=False),
    "4090": _gpu("RTX 4090", 24, (82.6, 165.2, 165.2), 1008),
    "a100": _gpu("A100", 80, (19.5, 312.0, 312.0), 2039),
    "h100": _gpu("H100", 80, (67.0, 989.0, 989.0), 3350),
}
BY_SIZE = ("t4", "4090", "a100")  # 16, 24 and 80 GB: what is planned for where no card is named


@dataclass(frozen=True)
class Machine:
    """What a run may use.

    Attributes:
        ram_gb: of the whole machine.
        hours: that a prediction may take.
    """

    gpu: Gpu
    cpus: int = 12
    ram_gb: float = 170.0
    hours: float = 9.0


def gpu_named(text: str) -> Gpu:
    """A card of the table, or NAME:GiB, which has all but its memory from the table's card of that name, or else from the T4.

    Raises:
        InputError: neither is known, or the size is no number above 1.
    """
    name, colon, size = text.partition(":")
    known = GPUS.get(name.lower())
    if not colon:
        if known is None:
            raise InputError(
                f"--gpu {text}: unknown; there are {', '.join(GPUS)}, or give its memory, such as --gpu {text}:24"
            )
        return known
    try:
        gib = float(size)
    except ValueError:
        gib = 0.0
    if not 1 < gib < 10_000:
        raise InputError(f"--gpu {text}: expected NAME:GiB with a number above 1, such as --gpu l4:24")
    # the slowest of the table with tensor cores: a newer card will better its times
    return replace(known or replace(GPUS["t4"], name=name), gib=gib)


def precision_on(gpu: Gpu, requested: str) -> str:
    """What `training.precision` becomes on this card: what is requested, but auto, and bf16 where there is none, as the card computes.

    >>> precision_on(GPUS["t4"], "bf16"), precision_on(GPUS["a100"], "auto"), precision_on(GPUS["t4"], "fp32")
    ('fp16', 'bf16', 'fp32')
    """
    if requested in ("fp32", "fp16"):
        return requested
    return "bf16" if gpu.has_bf16 else "fp16"
