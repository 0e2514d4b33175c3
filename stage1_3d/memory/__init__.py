"""What a training step keeps and computes, seen without running it."""
