"""AdamW, SGD and Muon by name, biases and norms never decay; the learning rate by step; the average of the weights."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scroll.config.schema import TrainingSettings

Group = dict[str, Any]  # of parameters, and what the optimiser does with them


def make_optimiser(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimiser that the settings name, over the model's parameters that learn."""
    if settings.optimiser == "muon":
        return MuonAndAdamW(muon_groups(model, settings.weight_decay), settings.learning_rate, settings.momentum)
    groups = decay_groups(model, settings.weight_decay)
    if settings.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=settings.learning_rate)
    return torch.optim.SGD(
        groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=settings.momentum > 0
    )


def decay_groups(model: nn.Module, weight_decay: float) -> list[Group]:
    """Two groups: weights of two or more axes decay; biases, norms and position tables of one axis do not."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    free = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def muon_groups(model: nn.Module, weight_decay: float) -> list[Group]:
    """Two groups: weights with several outputs decay and go to Muon; the rest, position tables and one-channel heads too, to AdamW."""
    learning = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in learning if p.ndim >= 2 and p.shape[0] > 1]
    rest = [
        p for p in learning if p.ndim < 2 or p.shape[0] == 1
    ]  # one row: its orthogonalised step is as long for any gradient
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


class MuonAndAdamW(torch.optim.Optimizer):
    """torch's Muon on weights, each seen as a matrix (outputs, everything else); AdamW on the rest.

    Steps are scaled to the size of AdamW's, so that one learning rate serves both.

    Source: Jordan et al. 2024, "Muon"; its scaling after Liu et al. 2025, "Muon is scalable for LLM training".
    """

    def __init__(self, groups: list[Group], learning_rate: float, momentum: float) -> None:
        super().__init__(groups, {"lr": learning_rate})
        weights, rest = self.param_groups
        self._matrices = [nn.Parameter(torch.empty(0, 0)) for _ in weights["params"]]
        self._point_at_weights()
        self._muon = torch.optim.Muon(
            self._matrices or [nn.Parameter(torch.empty(1, 1))],
            lr=learning_rate,
            weight_decay=weights["weight_decay"],
            momentum=momentum,
            adjust_lr_fn="match_rms_adamw",
        )
        self._adamw = torch.optim.AdamW(
            rest["params"] or [nn.Parameter(torch.empty(1))], lr=learning_rate, weight_decay=0
        )

    def _point_at_weights(self) -> None:
        """Let each matrix be the weight's own memory, which moves when the model does; gradients along."""
        for matrix, weight in zip(self._matrices, self.param_groups[0]["params"], strict=True):
            matrix.data = weight.detach().flatten(1)
            matrix.grad = None if weight.grad is None else weight.grad.flatten(1)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of both; a closure is not called, for the gradients are there already."""
        self._point_at_weights()
        for inner, group in zip((self._muon, self._adamw), self.param_groups, strict=True):
            for own in inner.param_groups:
                own["lr"] = group["lr"]
            inner.step()
        for matrix, weight in zip(self._matrices, self.param_groups[0]["params"], strict=True):
            if matrix.data_ptr() != weight.data_ptr():  # channels-last weights flatten into a copy
                weight.copy_(matrix.view(weight.shape))
            matrix.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Of both."""
        return {"muon": self._muon.state_dict(), "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of both."""
        self._point_at_weights()  # what is loaded follows each matrix to where its weight now is
        self._muon.load_state_dict(state_dict["muon"])
        self._adamw.load_state_dict(state_dict["adamw"])


def ema(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Exponential average whose memory grows with the steps at first, so that the random start is soon forgotten."""

    @torch.no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        steps = int(count)
        weight = min(decay, (1 + steps) / (10 + steps))
        for mean, now in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - weight)
            else:
                mean.copy_(now)

    return update


def learning_rate_factor(step: int, steps: int, warmup_steps: int) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the peak, 0 < factor <= 1.

    >>> [round(learning_rate_factor(s, steps=10, warmup_steps=2), 2) for s in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.05]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2
