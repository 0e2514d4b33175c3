"""TIFF: pages, axes, what their pixels mean, and how large a voxel is."""
