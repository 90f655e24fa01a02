"""Questions that train: what a recipe's stages do to a space, asked by binding and evaluating again and again."""
