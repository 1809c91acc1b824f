"""Observers of side effects: on the process, on random generators, on a model in training."""
