"""Replay that prefers recent steps, and a task that learns from it."""
