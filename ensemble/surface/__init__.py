"""Weights, post-processing, submission and report of the surface competition."""
