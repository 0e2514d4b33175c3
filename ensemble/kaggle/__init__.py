"""A trained run packed for a notebook without internet: wheels, weights, settings, and the notebook itself."""
