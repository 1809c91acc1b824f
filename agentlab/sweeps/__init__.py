"""Many runs at once, each in a process of its own. Imports no TensorFlow."""

from agentlab.sweeps.local_pool import Job, LocalPool, Outcome
from agentlab.sweeps.seeds import parse_seeds

__all__ = ["Job", "LocalPool", "Outcome", "parse_seeds"]
