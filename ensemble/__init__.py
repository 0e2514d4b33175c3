"""Probabilities to submission."""
