"""Networks and trainings of a minute, for measurements that need many runs."""

SMALL_CNN: dict[str, object] = {
    "network": "cnn3d", "options": {"channels": [8, 16, 16], "stride_yx": 2, "dilations": [1, 2, 4]},
}  # fmt: skip
SMALL_UNET: dict[str, object] = {
    "network": "unet3d", "options": {"channels": [8, 16, 32], "strides": [[1, 2, 2], [2, 2, 2], [2, 2, 2]]},
}  # fmt: skip
SMALL_SEGFORMER: dict[str, object] = {
    "depths": [1] * 4, "hidden_sizes": [16, 32, 48, 64], "decoder_hidden_size": 48, "strides": [2] * 4, "dropout": 0.0,
}  # fmt: skip


def training_of(steps: int, warmup_steps: int, **changes: object) -> dict[str, object]:
    """So many steps of three patches, validated and kept once, at the end."""
    return {
        "steps": steps, "train_batch_size": 3, "validation_patches": 8, "validate_every": steps, "checkpoint_every": steps,
        "learning_rate": 5e-3, "warmup_steps": warmup_steps, "precision": "fp32", "loader": {"workers": 0, "pin_memory": False},
    } | changes  # fmt: skip
