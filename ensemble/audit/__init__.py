"""The audit of sheets: is it ink, would it have been seen, and what do the members look like that say so."""
