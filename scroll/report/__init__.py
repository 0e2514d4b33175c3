"""Run folders and predictions to one static HTML page, and the pictures on it."""
