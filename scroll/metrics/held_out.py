"""What a validation mask holds out, scored: F0.5 with its interval, by candidate, sheet by sheet and of all sheets together."""

from scroll.metrics.bootstrap import Blocks
from scroll.runtime.record import ByName, Record


class F05(Record):
    """F0.5 and its 95 % interval."""

    f05: float
    low: float
    high: float


class HeldOutRow(Record):
    """A candidate or blend: on all sheets together, and on each of them."""

    all: F05
    sheets: ByName[F05]


class HeldOut(Record):
    """The table: rows by candidate or blend, the sheets that have a validation mask, and the blocks of all of them."""

    sheets: tuple[str, ...]
    rows: ByName[HeldOutRow]
    blocks: Blocks
