"""Label rounds: predict, propose, ask, train again."""
