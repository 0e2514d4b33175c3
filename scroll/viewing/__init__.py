"""Volumes, labels and predictions in the viewers that people have: Neuroglancer in a browser, napari on the desk."""
