"""What a space is worth: exact retrieval between all pairs of modalities, with its protocol and its chance level."""
