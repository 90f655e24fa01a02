"""Several processes: one batch shared by all, and weights laid out over them."""
