"""The Memory contract: a memory stores steps and returns batches of them; what it is asked for, and when."""

from agentlab.memory.contract import Memory
from agentlab.memory.latest import Latest, weight_of
from agentlab.memory.layout import Layout, Request
from agentlab.memory.update_schedule import UpdateSchedule

__all__ = ["Latest", "Layout", "Memory", "Request", "UpdateSchedule", "weight_of"]
