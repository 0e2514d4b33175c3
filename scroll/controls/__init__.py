"""Copies of a layer stack on which a run should find nothing, and ink laid into one, all made as they are read."""
