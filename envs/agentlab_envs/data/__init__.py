"""Data sets as environments."""
