"""How to read a scroll, cut it, measure it and fit a model to it; knows no particular model and neither stage."""
