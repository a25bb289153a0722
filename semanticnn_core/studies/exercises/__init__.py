"""Checks of the notebooks' exercises, a file a notebook: each computes the answer from what the notebook holds."""
