"""Questions that a space and its results can answer without any training; each answer is a Finding."""
