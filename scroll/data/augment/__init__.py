"""Random changes of a training patch."""
