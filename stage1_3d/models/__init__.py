"""The networks of stage one: a name in the settings -> the module that builds it.

Each module holds `Options` (what a YAML may set), `divisor(options)` (patch sizes must be multiples of it, per axis z, y, x)
and `build(options, patch_size)`: a network from (B, 1, Z, Y, X) CT to (B, 1, Z, Y, X) logits.
"""

NETWORKS = {
    "cnn3d": "stage1_3d.models.cnn3d",
    "unet3d": "stage1_3d.models.unet3d",
    "unetr": "stage1_3d.models.unetr",
}
