"""CT volume to per-voxel probability to flattened stack."""
