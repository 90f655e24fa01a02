"""Leaves the interpreter when it is imported."""

raise SystemExit("no licence server answers")
