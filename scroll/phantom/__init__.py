"""A synthetic scroll with known answers: fragments, cubes and surfaces. A score on it shows that the pipeline works.

It is never evidence about real scrolls, and no architecture may be ranked by it.
"""
