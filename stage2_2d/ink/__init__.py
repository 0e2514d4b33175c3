"""Stage two on the flattened stacks of fragments and segments."""
