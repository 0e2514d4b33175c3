"""How much memory this process holds, and held at the most, where the system tells."""

import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

GIB = 2**30
PAGE = resource.getpagesize()


def forget_peak() -> None:
    """Let the peak begin again, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_resident_gib() -> float:
    """The most since the process began, or since `forget_peak`."""
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (GIB if sys.platform == "darwin" else 2**20)


def resident_gib() -> float:
    """Now; the peak where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / GIB
    except OSError:
        return peak_resident_gib()
