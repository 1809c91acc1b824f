"""Tasks as users and files change them."""

from agentlab.configuration.changes import changed, dotted, merged, of_file, trusted, with_objects
from agentlab.configuration.files import read_config, read_run_config, task_and_seed, unusable_config

__all__ = [
    "changed",
    "dotted",
    "merged",
    "of_file",
    "read_config",
    "read_run_config",
    "task_and_seed",
    "trusted",
    "unusable_config",
    "with_objects",
]
