"""Stage two on the sheets traced in cubes."""
