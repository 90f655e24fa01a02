"""Runs: the folder that a bind writes, and looking back at those of the past."""
