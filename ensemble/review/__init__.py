"""Looking at finished runs: montage, comparison, validation, and how to make them again."""
