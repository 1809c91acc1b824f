"""Calls of other people's code; what it raises is reported as its fault."""
