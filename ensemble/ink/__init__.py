"""Weights, threshold, submission and report of the ink competition."""
