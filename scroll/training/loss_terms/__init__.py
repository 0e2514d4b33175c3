"""The terms a loss may be made of; each is a function Voxels -> scalar, 0 where all is right or nothing is known."""
