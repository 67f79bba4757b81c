"""Ensemble methods on predicted probabilities: averaging, boosting, stacking."""
