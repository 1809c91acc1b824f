"""Checkpoints: what one holds, how it is put on disk, and which one to use."""

from agentlab.runs.checkpoints.store import Checkpoint, Checkpoints

__all__ = ["Checkpoint", "Checkpoints"]
