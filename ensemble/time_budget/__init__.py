"""What fits into the hours of a notebook."""
