"""Checks of what comes from outside: values, time steps, settings, files, and how much they ask for."""
