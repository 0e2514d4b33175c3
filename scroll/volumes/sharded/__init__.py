"""Many chunks in one file: the sharding codec of zarr 3, written and read in place."""
