"""Tasks as users and files change them."""

from agentlab.configuration.changes import changed, dotted, merged, of_file, trusted, with_objects
from agentlab.configuration.files import read_config, read_run_config, read_toml, task_and_seed, unusable_config
from agentlab.configuration.leaves import UNSET, Setting, setting_leaves, task_settings

__all__ = [
    "UNSET",
    "Setting",
    "changed",
    "dotted",
    "merged",
    "of_file",
    "read_config",
    "read_run_config",
    "read_toml",
    "setting_leaves",
    "task_and_seed",
    "task_settings",
    "trusted",
    "unusable_config",
    "with_objects",
]
