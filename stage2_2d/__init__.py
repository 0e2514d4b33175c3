"""Flattened stack to probability on the surface."""
