"""Checks of input: values, time steps, settings and files, and limits on what they ask for."""
