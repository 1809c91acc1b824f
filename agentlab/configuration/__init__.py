"""Tasks as users and files change them."""

from agentlab.configuration.changes import (
    changed,
    dotted,
    kind_of,
    merged,
    of_file,
    parts_of,
    trusted,
    with_objects,
    with_parts,
)
from agentlab.configuration.files import read_config, read_run_config, task_and_seed, unusable_config

__all__ = [
    "changed",
    "dotted",
    "kind_of",
    "merged",
    "of_file",
    "parts_of",
    "read_config",
    "read_run_config",
    "task_and_seed",
    "trusted",
    "unusable_config",
    "with_objects",
    "with_parts",
]
