"""Members of the ensemble that were trained elsewhere: their cards, what suits them, what is new to them."""
