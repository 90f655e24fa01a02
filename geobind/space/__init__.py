"""The space: towers, heads, and the folder they live in."""
