"""Is what a run found real, and what would it have missed: copies without ink, and ink planted at known contrast."""
