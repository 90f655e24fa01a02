"""Bind a modality to the anchor: one stage, one trainer, every modality."""
