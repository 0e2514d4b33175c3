"""How good a prediction is: surface Dice, the ink score and the counts under them; numpy and numba, no torch."""
