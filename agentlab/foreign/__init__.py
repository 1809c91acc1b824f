"""Code of other people: one way to call it, and what it raises is said to be its fault."""
