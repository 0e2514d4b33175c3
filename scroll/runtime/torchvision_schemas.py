"""Lets a CUDA build of torchvision load beside a CPU build of torch.

The registry's torchvision is built for CUDA; beside CPU-only torch its import dies with "operator torchvision::nms does
not exist" and takes timm, segmentation-models-pytorch and transformers' SegFormer with it. Declaring the schemas of the
missing operators is enough: nothing here calls them.
"""

import sys

SCHEMAS = (
    ("nms", "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
    ("qnms", "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
)


def import_torchvision() -> None:
    """Import torchvision; only where that very error is met, declare the schemas and import it again."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        _declare()
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        import torchvision  # noqa: F401


_kept_alive: list[object] = []  # a library's declarations vanish with the object


def _declare() -> None:
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in SCHEMAS:
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    _kept_alive.append(library)
