"""What a training pass of a member keeps in memory and computes, seen without running it: on fake tensors, which have no values."""

import copy
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from scroll.config.schema import MemberSettings
from scroll.planning.cuda_autocast import cuda_rules
from scroll.planning.footprint import Footprint, Work, footprint
from scroll.planning.live_memory import LiveMemory
from scroll.training.loss_terms.voxels import Voxels
from scroll.training.losses import OF_SHAPE

BATCHES = 2, 3  # a batch of one takes short cuts: of instance normalisation's weights, for one


def footprint_of(member: MemberSettings, is_mixed: bool) -> Footprint:
    """The memory and the work of the member's training step, for any batch; `is_mixed`: in bf16 or fp16.

    Raises:
        InputError: unknown network or option, or a patch that it cannot take.
    """
    passes = [traced_pass(member, batch, is_mixed) for batch in BATCHES]
    size, first = BATCHES[0], passes[0]
    return footprint(
        first.parameters,
        member.training.optimiser,
        [(batch, live.moments) for batch, live in zip(BATCHES, passes, strict=True)],
        Work(first.flop / size, first.moved_bytes / size, first.operations),
        Work(first.forward_flop / size, first.forward_moved_bytes / size, first.forward_operations),
    )


def traced_pass(member: MemberSettings, batch_size: int, is_mixed: bool) -> LiveMemory:
    """One forward pass, loss and backward pass of the member's own network on fake tensors; nothing is computed."""
    from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode

    from stage1_3d.network import build_network

    fake = FakeTensorMode()
    built = build_network(member)
    with FakeCopyMode(fake):
        network = copy.deepcopy(built)
    with fake:
        return counted_pass(network, member, drawn_batch(member, batch_size), is_mixed)


def counted_pass(network: nn.Module, member: MemberSettings, batch: dict[str, Tensor], is_mixed: bool) -> LiveMemory:
    """As the training loop does it, and the live memory of it; gradients are there already where passes accumulate."""
    from stage1_3d.train import loss_of

    network.train()
    live = LiveMemory()
    learning = [p for p in network.parameters() if p.requires_grad]
    live.parameters = sum(p.numel() for p in learning)
    live.count([*network.parameters(), *network.buffers()], "weights")
    live.count(batch.values(), "inputs")
    if member.training.accumulate_steps > 1:
        for parameter in learning:
            parameter.grad = torch.zeros_like(parameter)
            live.count([parameter.grad], "gradients")
    hooks = [p.register_post_accumulate_grad_hook(lambda p: live.count([p.grad], "gradients")) for p in learning]
    with live, cuda_rules() if is_mixed else nullcontext():
        with torch.autocast("cpu", torch.bfloat16, enabled=is_mixed):  # fp16 takes as much
            loss = loss_of(member, OF_SHAPE | {"topology": _every_mistake_critical})(network, batch)
        live.end_forward()
        loss.backward()
    for hook in hooks:
        hook.remove()
    return live


def drawn_batch(member: MemberSettings, size: int) -> dict[str, Tensor]:
    """A batch as the loader gives it, all zeros: "ct" (B, 1, Z, Y, X) and labels (B, Y, X), or (B, Z, Y, X) in a band."""
    patch = member.patch_size
    label = patch if member.supervision == "band" else patch[1:]
    batch = {
        "ct": torch.zeros(size, 1, *patch),
        "target": torch.zeros(size, *label, dtype=torch.float32 if member.augment.mixup else torch.bool),
        "ignore": torch.zeros(size, *label, dtype=torch.bool),
    }
    if member.loss.skeleton_recall:
        batch["skeleton"] = torch.zeros(size, *label, dtype=torch.bool)
    return batch


def _every_mistake_critical(voxels: Voxels) -> Tensor:
    """The topology term without its look at the values, which fake tensors have not: it keeps as much whatever is critical."""
    critical = torch.ones_like(voxels.logits, dtype=torch.bool)
    weight = critical.float()
    summed = functional.binary_cross_entropy_with_logits(voxels.logits, voxels.target, weight, reduction="sum")
    return summed / voxels.total_weight
