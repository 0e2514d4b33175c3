"""Label rounds: what may be taken for a label, where a person's label would teach most, and what a person painted."""
