"""Many runs at once, each in a process of its own. Imports no TensorFlow."""

from agentlab.sweeps.begun import default_jobs, is_begun, wait_until_free
from agentlab.sweeps.engine import Engine, Job, Outcome
from agentlab.sweeps.engines import ENGINES, EngineOptions
from agentlab.sweeps.local_pool import LocalPool
from agentlab.sweeps.progress import Progress, check_could_begin
from agentlab.sweeps.seeds import parse_seeds

__all__ = [
    "ENGINES",
    "Engine",
    "EngineOptions",
    "Job",
    "LocalPool",
    "Outcome",
    "Progress",
    "check_could_begin",
    "default_jobs",
    "is_begun",
    "parse_seeds",
    "wait_until_free",
]
