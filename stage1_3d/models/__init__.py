"""The networks of stage one: a name in the settings -> the module that builds it.

Each module holds `Options` (what a YAML may set), `divisor(options)` (patch sizes must be multiples of it, per axis z, y, x)
and `build(options, patch_size)`: a network from (B, 1, Z, Y, X) CT to (B, 1, Z, Y, X) logits. With `deep_supervision`, where
there is that option, it gives a list of such logits while training: of every level that is trained on, finest first.
`check(options, patch_size)`, where a module has it, refuses what no divisor can say. Networks of `MAPS` see a window of layers and
return one map of the sheet, see over_depth.py.
"""

NETWORKS = {
    "cnn3d": "stage1_3d.models.cnn3d",
    "unet3d": "stage1_3d.models.unet3d",
    "resenc_unet": "stage1_3d.models.resenc_unet",
    "segresnet": "stage1_3d.models.segresnet",
    "unetr": "stage1_3d.models.unetr",
    "swinunetr": "stage1_3d.models.swinunetr",
    "primus": "stage1_3d.models.primus",
    "resnet3d": "stage1_3d.models.resnet3d",
    "timesformer": "stage1_3d.models.timesformer",
    "stem3d_unet2d": "stage1_3d.models.stem3d_unet2d",
}
MAPS = ("resnet3d", "timesformer", "stem3d_unet2d")
EXTRAS = {"timesformer": "timesformer-pytorch"}  # the optional package that a network needs, where it needs one
