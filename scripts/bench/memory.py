"""The planner's traced peak of memory beside what torch's allocator really holds, network by network, on the CPU in fp32."""

import argparse
import gc
from itertools import accumulate
from typing import Any

from torch.profiler import ProfilerActivity, profile

from scroll.config.schema import MemberSettings
from scroll.errors import InputError
from stage1_3d.memory.trace import drawn_batch, traced_pass
from stage1_3d.network import build_network
from stage1_3d.train import loss_of

GIB = 2**30
LEVELS = {"channels": [32, 64, 128, 256, 320], "strides": [[1, 1, 1], *[[2, 2, 2]] * 4]}
NETWORKS: dict[str, tuple[str, dict[str, object]]] = {
    "unet3d": ("unet3d", LEVELS),
    "resenc_unet": ("resenc_unet", LEVELS | {"blocks": [1, 3, 4, 6, 6]}),
    "resenc_unet, scse": (
        "resenc_unet",
        LEVELS | {"blocks": [1, 3, 4, 6, 6], "squeeze_excitation": "scse"},
    ),
    "segresnet": ("segresnet", {}),
    "unetr": ("unetr", {}),
    "swinunetr, 12 features": ("swinunetr", {"feature_size": 12, "checkpointing": False}),
    "swinunetr, 12 features, checkpointing": ("swinunetr", {"feature_size": 12}),
    "primus": ("primus", {}),
    "cnn3d": ("cnn3d", {"channels": [16, 32, 32, 32], "stride_yx": 2, "dilations": [1, 1, 2, 4]}),
    "resenc_unet, 8 to 80 channels": (
        "resenc_unet",
        LEVELS | {"channels": [8, 16, 32, 64, 80], "blocks": [1, 3, 4, 6, 6]},
    ),
    "segresnet, 8 filters": ("segresnet", {"filters": 8}),
    "resnet3d": ("resnet3d", {}),
    "resnet3d, attending to depth": ("resnet3d", {"decoder": "3d"}),
    "stem3d_unet2d": ("stem3d_unet2d", {}),
    "stem3d_unet2d, segformer": ("stem3d_unet2d", {"body": "segformer"}),
}
SIZES = (32, 64, 64), (64, 96, 96), (64, 128, 128)


def run(arguments: argparse.Namespace) -> None:
    """Measure and print: one pass forward and backward of one sample, Dice and BCE voxel by voxel."""
    networks = arguments.networks or list(NETWORKS)
    if unknown := [name for name in networks if name not in NETWORKS]:
        raise InputError(f"--networks {unknown[0]}: there are {', '.join(NETWORKS)}")
    print(f"{'network':<40}{'patch':<16}{'traced':>8}{'real':>8}  GiB")
    for name in networks:
        network, options = NETWORKS[name]
        for size in SIZES:
            member = MemberSettings.model_validate(
                {"network": network, "options": options, "patch_size": size, "supervision": "band"}
            )
            traced = max(sum(causes) for causes in traced_pass(member, 1, False).moments)
            real = _really_held(member)
            edges = " x ".join(map(str, size))
            print(f"{name:<40}{edges:<16}{traced / GIB:>8.3f}{real / GIB:>8.3f}  {traced / real - 1:+.1%}", flush=True)


def _really_held(member: Any) -> int:
    """The most bytes that one pass holds: what was there before, and the peak of all that the allocator was asked for since."""
    network, batch = build_network(member).train(), drawn_batch(member, 1)
    before = sum(t.numel() * t.element_size() for t in (*network.parameters(), *network.buffers(), *batch.values()))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        loss_of(member)(network, batch).backward()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    del network, batch
    gc.collect()
    return before + max(accumulate((size for _, size in changes), initial=0))
