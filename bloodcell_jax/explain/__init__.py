"""Explains predictions: feature maps of the layers, attribution maps of the pixels, and their sanity checks."""
