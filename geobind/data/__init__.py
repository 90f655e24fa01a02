"""Items of modalities, the pairs between them, and how they are read and split."""
