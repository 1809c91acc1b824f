"""Clocks, threads and processes."""
