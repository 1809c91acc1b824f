"""Searches by Optuna: what is searched, how, and what for."""
