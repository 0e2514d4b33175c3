"""Stage one on flattened fragments."""
