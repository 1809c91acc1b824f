"""Gymnasium environments as host environments."""
