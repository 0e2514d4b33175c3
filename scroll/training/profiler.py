"""Where the time of a training step goes: waiting for patches, forward, loss, backward, optimiser; and what memory it takes."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

WARM_STEPS = 20  # the first steps compile, allocate and fill caches; they are not counted
REPORT_EVERY = 20  # steps
GPU_EVERY = 10  # steps; a measured step waits for the GPU at the end of each part, and so costs time
WAIT_IS_LOUD = 0.2  # share of the step


class StepClock:
    """Times the parts of each step from step 20 of a process on; a report is due every 20 steps after that."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.step = 0
        self._seconds: dict[str, float] = defaultdict(float)
        self._steps = 0
        self._inner_s = 0.0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()  # what trained before in this process is no part of this peak

    @property
    def is_measured(self) -> bool:
        """Whether the parts of this step are timed."""
        return self.step >= WARM_STEPS and (self.device.type == "cpu" or self.step % GPU_EVERY == 0)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part of the step; what a part inside it takes is counted there alone."""
        if not self.is_measured:
            yield
            return
        began, inner_before = self._now(), self._inner_s
        yield
        spent = self._now() - began
        self._seconds[name] += spent - (self._inner_s - inner_before)
        self._inner_s = inner_before + spent

    def end_step(self) -> bool:
        """Count the step; true when a report is due."""
        self._steps += self.is_measured
        self.step += 1
        return self.step > WARM_STEPS and (self.step - WARM_STEPS) % REPORT_EVERY == 0

    def report(self, flop_a_step: float | None) -> dict[str, float]:
        """Mean seconds of each part since the last report, share of waiting, TFLOP/s, and GPU memory in GiB; starts again."""
        seconds = {name: value / max(1, self._steps) for name, value in self._seconds.items()}
        total = sum(seconds.values())
        report = {f"{name}_s": round(value, 5) for name, value in seconds.items()}
        report |= {
            "step_s": round(total, 5),
            "wait_share": round(seconds.get("wait", 0.0) / total, 4) if total else 0.0,
        }
        if flop_a_step and total:
            report["tflop_a_s"] = round(flop_a_step / total / 1e12, 4)
        if self.device.type == "cuda":
            report["allocated_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 3)
            report["reserved_gib"] = round(torch.cuda.max_memory_reserved() / 2**30, 3)
        self._seconds.clear()
        self._steps = 0
        return report

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


class Timed(nn.Module):
    """The network itself, its forward pass timed; remembers what it was last given."""

    def __init__(self, model: nn.Module, clock: StepClock) -> None:
        super().__init__()
        self.model, self.clock = model, clock
        self.inputs: tuple[Any, ...] | None = None

    def forward(self, *inputs: Any) -> Any:
        """As the network's."""
        self.inputs = inputs
        with self.clock.part("forward"):
            return self.model(*inputs)


@torch.no_grad()
def forward_flop(model: nn.Module, inputs: tuple[Any, ...]) -> float | None:
    """Floating-point operations of one forward pass, by torch's own counter; None where it cannot count the network."""
    from torch.utils.flop_counter import FlopCounterMode

    was_training = model.training
    model.eval()  # no dropout: the random numbers of the training stay where they are
    try:
        with FlopCounterMode(display=False) as counter:
            model(*inputs)
        return float(counter.get_total_flops()) or None
    except Exception:  # noqa: BLE001 - a figure for the curious must not end a training
        return None
    finally:
        model.train(was_training)
