"""What of a tower learns in a stage, and how."""
