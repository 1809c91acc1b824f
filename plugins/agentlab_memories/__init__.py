"""Replay memories: uniform and prioritised, of whole observations or of single frames."""
