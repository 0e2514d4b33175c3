"""Stage one on cubes of the surface competition."""
