"""Windows over a volume, networks as one function, and predictions on disk."""
