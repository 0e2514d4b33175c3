"""A member, its flattening and stage two, trained on as one network."""
