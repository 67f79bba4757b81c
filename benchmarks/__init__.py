"""Measurements whose results stand in docs/: speed beside other frameworks, and runs on real images."""
