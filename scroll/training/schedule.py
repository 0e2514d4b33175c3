"""The learning rate as a pure function of the step."""

import math


def learning_rate_factor(step: int, steps: int, warmup_steps: int) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the peak, 0 < factor <= 1.

    >>> [round(learning_rate_factor(s, steps=10, warmup_steps=2), 2) for s in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.05]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2
