"""Reads descriptions of parts from source text: `list` and `info` import no plugin, and so no TensorFlow."""

from agentlab.system.source_text.definitions import Definition, Field, documented, find
from agentlab.system.source_text.modules import UnreadableError, locate

__all__ = ["Definition", "Field", "UnreadableError", "documented", "find", "locate"]
