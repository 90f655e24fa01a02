"""The conformance suite: what every sound plugin does, as checks that anyone can run."""
