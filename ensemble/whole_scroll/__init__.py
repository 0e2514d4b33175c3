"""The ensemble over a whole scroll, shard by shard."""
