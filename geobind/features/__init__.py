"""Features of what does not learn: computed once, kept on disk, found again by what decides them."""
