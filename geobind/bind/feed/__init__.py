"""What a step is fed: which pairs make a batch, and how their items get into it."""
