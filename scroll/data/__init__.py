"""Fragments, segments and cubes: items, labels, folds, and where patches are cut."""
