"""A task of three packages' parts."""
